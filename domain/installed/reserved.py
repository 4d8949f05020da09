"""Names that no table of another package may have. Its columns may not have the keywords among them.

They are in use already beside the tables: in the store's file, in a lake, in subjects and paths.
"""

# Keywords of SQLite or DuckDB, which cannot be names of tables or columns.
_KEYWORDS = (
    "add all alter analyse analyze and anti any array as asc asof asymmetric at authorization "
    "autoincrement between binary both by case cast check collate collation column commit "
    "concurrently constraint create cross current_date current_time current_timestamp default "
    "deferrable delete desc describe distinct do drop else end escape except exists false fetch for "
    "foreign freeze from full glob group having if ilike in index initially inner insert intersect "
    "into is isnull join lambda lateral leading left like limit natural not nothing notnull null "
    "offset on only or order outer overlaps pivot pivot_longer pivot_wider placing positional primary "
    "qualify raise references returning right select semi set show similar some summarize symmetric "
    "table tablesample then to trailing transaction true union unique unpack unpivot update using "
    "values variadic verbose when where window with "
)
# The store's other tables.
_OF_THE_STORE = (
    "aggregate_tables command_answers command_ids command_ids_made events job_history job_leases "
    "schema_migrations snapshots store timelines "
)
# Views and macros of a lake.
_OF_A_LAKE = (
    "attempts changes_before changes_between config_audit event_rate failure_rate failure_spikes "
    "job_latency jobs_ever last_backup_ms last_position position_of rate_limit_burn shown_ms "
    "shown_position sla_misses sla_rate time_of "
)
# Words that stand in the place of a table's name in subjects, paths and pages.
_OF_PLACES = (
    "admin audit backups batch cluster console dead_letters docs event forms health legacy lake login "
    "logout metrics openapi overview projections proof schema session static status system tail workers "
)

KEYWORDS = frozenset(_KEYWORDS.split())
RESERVED = KEYWORDS | frozenset((_OF_THE_STORE + _OF_A_LAKE + _OF_PLACES).split())
# A lake or SQLite makes names of its own with these beginnings and endings, some of them from tables' names.
RESERVED_BEGINNINGS = ("all_", "history_", "idx_", "shown_", "sqlite_")
RESERVED_ENDINGS = ("_at", "_versions")
