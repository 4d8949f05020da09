DROP INDEX idx_app_state_expires_at;
ALTER TABLE tool_configs DROP COLUMN schema;
ALTER TABLE app_state DROP COLUMN expires_at;
