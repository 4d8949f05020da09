-- What a job system needs: deadlines, tags, uniqueness, dependencies, queues, schedules.

ALTER TABLE jobs ADD COLUMN timeout_ms INTEGER DEFAULT 900000 NOT NULL;
ALTER TABLE jobs ADD COLUMN deadline_at INTEGER;
ALTER TABLE jobs ADD COLUMN tags TEXT DEFAULT '[]' NOT NULL;
ALTER TABLE jobs ADD COLUMN unique_key TEXT;
ALTER TABLE jobs ADD COLUMN depends_on TEXT DEFAULT '[]' NOT NULL;
ALTER TABLE jobs ADD COLUMN waiting_for TEXT DEFAULT '[]' NOT NULL;
ALTER TABLE jobs ADD COLUMN on_dependency_failure TEXT DEFAULT 'cancel' NOT NULL;
ALTER TABLE jobs ADD COLUMN schedule_id TEXT;

ALTER TABLE job_history ADD COLUMN queue TEXT;
ALTER TABLE job_history ADD COLUMN due_at INTEGER;

-- Rows that are there already, as their events say it.
UPDATE jobs
SET deadline_at = 900000 + (SELECT max(started_at) FROM job_history WHERE job_id = jobs.id)
WHERE status = 'running';

UPDATE job_history
SET queue = (SELECT queue FROM jobs WHERE jobs.id = job_id),
    due_at = (
      SELECT coalesce(data ->> 'next_run_at', data ->> 'run_at', recorded_at)
      FROM events
      WHERE stream = 'jobs/' || job_id AND position < job_history.id
        AND type IN (
          'job.enqueued.v1', 'job.attempt_failed.v1', 'job.snoozed.v1', 'job.interrupted.v1',
          'job.retried.v1', 'job.rescued.v1'
        )
      ORDER BY version DESC
      LIMIT 1
    );

-- Small, or empty, where what they are for is not used: jobs that are not finished are not in the second one.
CREATE INDEX idx_jobs_unique_key ON jobs(unique_key, created_position) WHERE unique_key IS NOT NULL;
CREATE INDEX idx_jobs_finished ON jobs(state, completed_at, queue) WHERE completed_at IS NOT NULL;
-- Everything that statistics over a window of time look at.
CREATE INDEX idx_job_history_completed ON job_history(completed_at, queue, status, duration_ms, started_at, due_at)
WHERE completed_at IS NOT NULL;

CREATE TABLE queues (
  name TEXT PRIMARY KEY NOT NULL,
  paused INTEGER NOT NULL,
  reason TEXT,
  paused_at INTEGER,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  position INTEGER NOT NULL
);

CREATE TABLE schedules (
  id TEXT PRIMARY KEY NOT NULL,
  paused INTEGER NOT NULL,
  every_ms INTEGER,
  cron TEXT,
  time_zone TEXT NOT NULL,
  on_missed TEXT NOT NULL,
  job TEXT NOT NULL,
  next_run_at INTEGER,
  last_run_at INTEGER,
  last_job_id TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  version INTEGER NOT NULL,
  position INTEGER NOT NULL
);
