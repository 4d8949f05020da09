"""The console's pages: a module for each subject, which names its templates.

overview        whether all is well
jobs            the board, one job, many at once
enqueue         one more, by a form
queues          what waits in each, paused and resumed
schedules       their next runs and their last ones, triggered, paused, deleted
workers         who has which job, and until when
events          streams, one event, causes and effects; tail follows them live
configurations  of tools
rate_limits     of platforms
state           of applications
backups         made, proven, restored
projections     verified and rebuilt
proof           what was shown to hold, of the store and of this version
cluster         who leads, who follows, and handing over
dead_letters    listed, replayed, dropped
aggregates      rows, histories and forms of those that other distributions bring
audit           who did what to the service
login           in and out
"""
