ALTER TABLE rate_limits DROP COLUMN reserved;
ALTER TABLE rate_limits DROP COLUMN critical_percent;
ALTER TABLE rate_limits DROP COLUMN warning_percent;
ALTER TABLE rate_limits DROP COLUMN policies;
ALTER TABLE rate_limits DROP COLUMN policy;
ALTER TABLE rate_limits DROP COLUMN level;
