"""The metrics of `/metrics`, by the conventions of Prometheus: `docs/operating.md` has the list.

    collector   puts the families together, and is all that others need
    flow        what comes and goes: commands, queries, groups, requests over HTTP
    state       how it stands: store, disks, relay, backups, health
    work        jobs by queue, what failed, what platforms let through
    cluster     the same of the cluster that a service is a member of
    http_counts requests over HTTP, as the server counts them

Nothing is done for them while commands run: the parts count for themselves, a group at a time where they can
(`bus/measures.py`), and what they have counted is turned into families when somebody asks.
"""
