"""All unfinished jobs at once, in memory.

indexes     what is kept of them
awaited_groups  those that wait for groups, and what these have come to
lane        waiting jobs in order, due and to come
budgeted    the same where they draw on rate limits
permits     what may be handed out of them in one claim
due         those that wait, in the order in which workers get them
depth       how many each queue has, and since when the oldest is due
dependents  those that wait for others
failures    attempts that failed, as they were counted
throttles   platforms that answer nobody at present, which holds up jobs that draw on their limits
unique      those that no other one may be like
"""
