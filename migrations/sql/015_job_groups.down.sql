DROP INDEX idx_jobs_group;
ALTER TABLE jobs DROP COLUMN after_group;
ALTER TABLE jobs DROP COLUMN group_id;
