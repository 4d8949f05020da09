DROP INDEX idx_jobs_budget;
ALTER TABLE jobs DROP COLUMN budget;
