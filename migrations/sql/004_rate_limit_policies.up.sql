-- What a limit's row says beside its counts: its level, the policy that the counts are of, all policies as JSON
-- where there is more than that one, and how many calls were reserved as of the row's last event.

ALTER TABLE rate_limits ADD COLUMN level TEXT DEFAULT 'unknown' NOT NULL;
ALTER TABLE rate_limits ADD COLUMN policy TEXT DEFAULT '' NOT NULL;
ALTER TABLE rate_limits ADD COLUMN policies TEXT;
ALTER TABLE rate_limits ADD COLUMN warning_percent INTEGER DEFAULT 80 NOT NULL;
ALTER TABLE rate_limits ADD COLUMN critical_percent INTEGER DEFAULT 95 NOT NULL;
ALTER TABLE rate_limits ADD COLUMN reserved INTEGER DEFAULT 0 NOT NULL;
