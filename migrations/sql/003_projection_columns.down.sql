ALTER TABLE app_state DROP COLUMN position;
ALTER TABLE app_state DROP COLUMN version;

ALTER TABLE tool_configs DROP COLUMN position;
ALTER TABLE tool_configs DROP COLUMN version;

ALTER TABLE rate_limits DROP COLUMN position;
ALTER TABLE rate_limits DROP COLUMN version;
ALTER TABLE rate_limits DROP COLUMN throttle_reason;
ALTER TABLE rate_limits DROP COLUMN throttled_until;
ALTER TABLE rate_limits DROP COLUMN observed_at;
ALTER TABLE rate_limits DROP COLUMN limit_used;
ALTER TABLE rate_limits DROP COLUMN identifier;
ALTER TABLE rate_limits DROP COLUMN resource;

ALTER TABLE jobs DROP COLUMN position;
ALTER TABLE jobs DROP COLUMN version;
ALTER TABLE jobs DROP COLUMN created_position;
ALTER TABLE jobs DROP COLUMN progress;
ALTER TABLE jobs DROP COLUMN cancel_requested;
ALTER TABLE jobs DROP COLUMN error;
ALTER TABLE jobs DROP COLUMN worker;
ALTER TABLE jobs DROP COLUMN max_attempts;
ALTER TABLE jobs DROP COLUMN attempt;
ALTER TABLE jobs DROP COLUMN run_at;
ALTER TABLE jobs DROP COLUMN queue;
ALTER TABLE jobs DROP COLUMN state;
