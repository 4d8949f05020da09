"""The one thread that writes: commands in groups, each group one transaction.

writer         the thread, which is a loop_thread; waiting is what waits for it
group_commits  each group is stored as a whole, or refused as a whole: one of the transactions
group          one group of commands: decided, and written
group_size     how many commands there are in one
group_context  the things that a decider may look up, uncommitted neighbours included
content        what one transaction writes into the file; checkpoints bring it from the WAL to its place
submission     a command on its way through the writer
aggregates     the states that commands are decided on; hot_states keeps those that are used
jobs           all unfinished jobs at once
upkeep         commands of the service's own accord; cron tells when schedules are due
statistics     the counts of the writer
"""
