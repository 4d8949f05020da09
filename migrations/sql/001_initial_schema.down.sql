DROP TABLE job_history;
DROP TABLE jobs;
DROP TABLE rate_limits;
DROP TABLE tool_configs;
DROP TABLE app_state;
DROP TABLE schema_migrations;
