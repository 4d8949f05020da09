"""One log for several machines: each group commit is a message in a stream, which followers apply.

frame           a group commit as others get it, in one message or several
log_stream      the stream of frames, and where it ends
putting_back    what a log lacks at its end, out of a file that has it
terms           a leader takes its turn: everything in the log, and its term behind that
replicating     the leader's side: no group is committed that the log does not have
trailing        the same where the log trails: each group is in it soon after it was answered
following       a follower's side: frames in order, applied as they come
applying        what the frames bring, in a file of one's own
history         whether a frame is of the history that a file has
comparing       up to where a file goes with a log that went on without it
cluster_bucket  where members tell of themselves, and who leads
members         who is live, and how each is
leader_watch    who leads, and from when on another one may
lease           the hold of the one who does
shared_backup   a backup on the nats-servers, for those who reach no other one
standing        how all of that is at this moment, for those who look at it
"""
