"""One log for several machines: each group commit is a message in a stream, which followers apply.

frame           a group commit as followers get it, in one message or several
log_stream      the stream of frames, and where it ends
putting_back    the frames that a log lacks at its end, made from a file that has their content
terms           a new leader applies everything in the log, and begins its term after that
replicating     the leader's side: no group is committed that the log does not have
trailing        the same if the log trails: it gets each group soon after that was answered
following       a follower's side: it reads frames in order, and applies them as they come
applying        frames applied to a member's own file
history         whether a frame belongs to the history of a file
comparing       the last place that a file shares with a log that went on without it
cluster_bucket  the bucket in which members tell of themselves, and the leader of its lease
members         which members are live, and how each is
leader_watch    who leads, and when another member may
lease           the leader's lease: acquired, renewed, released
shared_backup   a backup on the nats-servers, for members that reach no other one
standing        the present state of the cluster, to look at
"""
