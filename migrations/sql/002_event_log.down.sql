-- keeps: events
-- keeps: command_answers
DROP TABLE job_leases;
DROP TABLE snapshots;
DROP TABLE store;
DROP TABLE timelines;
DROP TABLE command_answers;
DROP TABLE events;
