"""The metrics of `/metrics`, by the conventions of Prometheus: `docs/operating.md` has the list.

    collector   puts the families together; other packages need this module, and `HttpCounts`
    flow        counts and durations: commands, queries, groups, requests over HTTP
    state       states: store, disks, relay, backups, health
    work        jobs by queue, failures, and the calls that platforms let through
    cluster     the cluster that a service is a member of
    http_counts counts of requests over HTTP, kept by the server

Metrics cost commands next to nothing: the parts count for themselves, a group at a time where they can
(`bus/measures.py`), and the counts are turned into families only when a scraper asks.
"""
