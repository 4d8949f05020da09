"""Backups and archive into a lake.

exporting       all of it: `export`
addition        one backup that becomes part of a lake
archive_source  what the archive has beyond the backups
sealed_source   a sealed backup, read into Arrow
event_files     the log as Parquet
row_versions    every row after every event; folding has processes for it
table_files     the tables as a backup has them, each in parts (table_parts)
written_log     the log as the lake has it already
merging         small files of the log become one
row_groups      how rows become files, a group at a time
"""
