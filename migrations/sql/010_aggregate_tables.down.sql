-- drops recorded tables
DROP TABLE aggregate_tables;
