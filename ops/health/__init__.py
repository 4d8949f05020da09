"""How the service is: healthy, degraded or unhealthy, the causes, and the figures behind them.

    machine       what the operating system says: memory, room on disks
    store         what reading the store says: latency, size, migrations, integrity
    chain_watch   the hash chain of the log, recomputed again and again
    store_checks  the whole store looked at, now and then and when damage is met
    room          what takes the room, how fast it grows, and when a disk will be full
    work          what there is to do: jobs by queue, what failed in the last hour, what platforms let through
    handling      types of jobs that are due, and that no worker asks for
    streams       what the broker says of the service's streams
    cause         one reason why a service is degraded or unhealthy, and what it means for what is stored
    causes        what makes a service degraded or unhealthy
    stream_causes the same between it and its nats-server
    cluster       what the cluster that it is a member of says: figures, causes
    figures       the figures of the report
    access        who is let in over HTTP, where an operator has to know of it
    aggregates    those that others bring, and what is kept of ones that are not there any more
    monitor       looks every two seconds, and answers whoever asks, with the whole report

Everybody gets the same answer: `service.status` on the bus, `hyperpage status`, and HTTP.
"""
