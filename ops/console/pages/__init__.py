"""The console's pages: a module for each subject, which names its templates.

overview        whether all is well
jobs            the board, one job, many at once
enqueue         a form that enqueues a job
queues          their jobs, pausing, resuming and limiting them
schedules       their next and last runs, triggering, pausing and deleting them
workers         the workers, and the jobs that they run
events          streams, one event, causes and effects; tail follows them live
configurations  of tools
rate_limits     of platforms
state           of applications
backups         made, proven, restored
projections     verified and rebuilt
proof           the checks of this store, and the lab's results for this version
cluster         the leader, the followers, and handing over
dead_letters    listed, replayed, dropped
aggregates      rows, histories and forms of aggregates that other distributions bring
audit           who did what to the service
login           in and out
"""
