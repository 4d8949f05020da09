ALTER TABLE job_history DROP COLUMN traceback;
ALTER TABLE jobs DROP COLUMN traceback;
