"""The health of the service: healthy, degraded or unhealthy, the causes, and the figures behind them.

    machine       figures of the operating system: memory, room on disks
    store         figures from reading the store: latency, size, migrations, integrity
    chain_watch   the hash chain of the log, recomputed again and again
    store_checks  checks of the whole store, now and then and when damage is suspected
    room          the parts that take room, how fast they grow, and when a disk will be full
    work          jobs by queue, failures of the last hour, calls that rate limits have left
    handling      types of jobs that are due, and that no worker asks for
    streams       the broker's figures of the service's streams
    cause         one reason why a service is degraded or unhealthy, and its meaning for what is stored
    causes        the causes in the service and its machine
    stream_causes the causes between a service and its nats-server
    cluster       the figures and causes of the cluster that a service is a member of
    command_rate  how many commands a second come to the writer
    figures       the figures of the report
    access        notes for the operator: open HTTP, repairs
    aggregates    installed aggregates, and the tables of aggregates that are not installed any more
    monitor       looks at the service every two seconds, and makes the whole report

The report is the same for everyone: `service.status` on the bus, `hyperpage status`, and HTTP.
"""
