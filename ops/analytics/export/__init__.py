"""Backups and archive into a lake.

exporting       all of this, into a lake
sealed_source   a sealed backup, read into Arrow
archive_source  what the archive has beyond the backups
event_columns   the keys of events that become typed columns
event_files     the log as Parquet
log_files       how these are written
written_log     the log as the lake has it already
row_groups      rows that are gathered until they are a group of such a file
row_versions    every row after every event, as Parquet
table_files     the tables as a backup has them
table_parts     one of them as files
merging         small files of the log become one
"""
