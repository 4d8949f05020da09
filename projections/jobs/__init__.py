"""Jobs as they are read: the tables `jobs` and `job_history`, and their queries.

table       the table `jobs`
history     the table `job_history`
board       jobs as people look for them
statistics  attempts, figures of queues and groups
workers     the workers, and the jobs that they have
"""
