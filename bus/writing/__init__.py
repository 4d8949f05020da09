"""The one thread that writes. It decides commands in groups, and each group is one transaction.

writer         the thread: a `loop_thread`; `waiting` is its queue
group_commits  stores each group as a whole, or refuses it as a whole; `transactions` begin and commit
group          one group of commands: decides them, and writes what they led to
group_size     how many commands are in one group
group_context  what a decider may look up, with the uncommitted changes of its group
content        what one transaction writes; `checkpoints` bring it from the WAL into the file
submission     a command on its way through the writer
aggregates     the states that commands are decided on; `hot_states` keeps those used most recently
jobs           all unfinished jobs, in memory
upkeep         commands that the service itself gives; `cron` says when schedules are due
statistics     the counts of the writer
"""
