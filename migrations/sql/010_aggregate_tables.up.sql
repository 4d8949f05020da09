-- rows stay
-- The tables of aggregates that other distributions bring: their columns, as JSON, and a checksum of what made them.

CREATE TABLE aggregate_tables (
  name TEXT PRIMARY KEY NOT NULL,
  definition TEXT NOT NULL,
  checksum TEXT NOT NULL,
  made_at INTEGER NOT NULL
) STRICT;
