DROP INDEX idx_jobs_result_times;
ALTER TABLE jobs DROP COLUMN result_ttl_ms;
