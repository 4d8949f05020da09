-- The tables of the system that this one replaces, so that its readers keep working.

CREATE TABLE jobs (
  id TEXT PRIMARY KEY NOT NULL,
  type TEXT NOT NULL,
  name TEXT NOT NULL,
  priority INTEGER NOT NULL,
  status TEXT NOT NULL,
  tool TEXT,
  endpoint TEXT,
  payload TEXT,
  result TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  started_at INTEGER,
  completed_at INTEGER,
  retry_count INTEGER DEFAULT 0 NOT NULL,
  persisted_at INTEGER NOT NULL,
  recovery_attempts INTEGER DEFAULT 0 NOT NULL
);

-- One row an attempt. The id is the position of the event that began the attempt.
CREATE TABLE job_history (
  id INTEGER PRIMARY KEY,
  job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
  attempt INTEGER NOT NULL,
  status TEXT NOT NULL,
  started_at INTEGER,
  completed_at INTEGER,
  duration_ms INTEGER,
  error_message TEXT
);

CREATE TABLE rate_limits (
  id TEXT PRIMARY KEY NOT NULL,
  platform TEXT NOT NULL,
  limit_remaining INTEGER,
  limit_total INTEGER,
  reset_time INTEGER,
  last_updated INTEGER NOT NULL,
  created_at INTEGER DEFAULT (unixepoch() * 1000) NOT NULL
);

CREATE TABLE tool_configs (
  tool_name TEXT PRIMARY KEY NOT NULL,
  enabled INTEGER DEFAULT true NOT NULL,
  config TEXT,
  refresh_interval INTEGER,
  notifications INTEGER DEFAULT true NOT NULL,
  updated_at INTEGER DEFAULT (unixepoch() * 1000) NOT NULL
);

CREATE TABLE app_state (
  key TEXT PRIMARY KEY NOT NULL,
  value TEXT,
  updated_at INTEGER DEFAULT (unixepoch() * 1000) NOT NULL
);

CREATE INDEX idx_jobs_status ON jobs(status);
CREATE INDEX idx_jobs_created_at ON jobs(created_at);
CREATE INDEX idx_job_history_job_id ON job_history(job_id);
CREATE INDEX idx_rate_limits_platform ON rate_limits(platform);

CREATE TABLE schema_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  migration_name TEXT NOT NULL UNIQUE,
  executed_at INTEGER DEFAULT (unixepoch() * 1000) NOT NULL,
  checksum TEXT
);
