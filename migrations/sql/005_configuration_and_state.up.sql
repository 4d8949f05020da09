-- When a value of the state ends, in milliseconds; the JSON Schema that a tool's configuration matches.

ALTER TABLE app_state ADD COLUMN expires_at INTEGER;
ALTER TABLE tool_configs ADD COLUMN schema TEXT;

-- For whoever looks for what has ended; most values never do.
CREATE INDEX idx_app_state_expires_at ON app_state(expires_at) WHERE expires_at IS NOT NULL;
