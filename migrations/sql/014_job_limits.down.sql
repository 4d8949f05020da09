DROP INDEX idx_events_counted;
ALTER TABLE queues DROP COLUMN rate;
ALTER TABLE queues DROP COLUMN concurrency;
ALTER TABLE jobs DROP COLUMN rate;
ALTER TABLE jobs DROP COLUMN concurrency;
