DROP TABLE schedules;
DROP TABLE queues;

DROP INDEX idx_job_history_completed;
DROP INDEX idx_jobs_finished;
DROP INDEX idx_jobs_unique_key;

ALTER TABLE job_history DROP COLUMN due_at;
ALTER TABLE job_history DROP COLUMN queue;

ALTER TABLE jobs DROP COLUMN schedule_id;
ALTER TABLE jobs DROP COLUMN on_dependency_failure;
ALTER TABLE jobs DROP COLUMN waiting_for;
ALTER TABLE jobs DROP COLUMN depends_on;
ALTER TABLE jobs DROP COLUMN unique_key;
ALTER TABLE jobs DROP COLUMN tags;
ALTER TABLE jobs DROP COLUMN deadline_at;
ALTER TABLE jobs DROP COLUMN timeout_ms;
