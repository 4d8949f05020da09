"""All unfinished jobs at once, in memory.

indexes     what is kept of them
awaited_groups  those that wait for groups, and what these have come to
lane        waiting jobs that are alike, in order: those that are due, and those to come
turns       whose turn it is among lanes of several keys
by_type     the lanes of one type in one queue, of which some are held up by limits
counts      what those limits count: jobs that run, attempts that began
permits     what may be handed out in one claim
due         all that wait, in the order in which workers get them
depth       how many each queue has, and since when the oldest is due
dependents  those that wait for others
failures    attempts that failed, as they were counted
seen_workers  those who have asked for jobs lately
throttles   platforms that answer nobody at present, which holds up jobs that draw on their limits
unique      those that no other one may be like
"""
