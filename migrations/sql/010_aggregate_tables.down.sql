-- keeps: aggregate_tables
DROP TABLE aggregate_tables;
