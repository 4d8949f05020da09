"""Adding backups and the archive to a lake.

exporting       a whole export: `export`
addition        adds one backup to a lake
archive_source  adds the events that the archive has beyond the backups
sealed_source   reads a sealed backup into Arrow
event_files     writes the log as Parquet
row_versions    writes every row after every event; folding does it in processes of its own
table_files     writes the tables of a backup, each in parts (table_parts)
written_log     reads the log that the lake already has
merging         merges small files of the log
row_groups      writes rows into files, a group at a time
"""
