"""The console's pages: a module or a folder for each subject, which names its templates.

overview        whether all is well
jobs            jobs, their queues, schedules and workers
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
