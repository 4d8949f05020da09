"""All cases, in their order.

answers    what a client makes of answers
repeats    ids of commands, and what is sent again
refusals   what it makes of refusals
outages    what it does where the service has no time, or nobody is there
values     values on their way, there and back
reading    how new it is what it reads
batches    several commands in one message
durable    commands that are left with the broker
following  events, each once and in order
workers    jobs: claimed, kept, done, given back
mirrors    the KV buckets
"""

from hyperpage_client.testing.client_conformance.case import Case
from hyperpage_client.testing.client_conformance.cases import (
    answers,
    batches,
    durable,
    following,
    mirrors,
    outages,
    reading,
    refusals,
    repeats,
    values,
    workers,
)

GROUPS = (
    answers.ANSWERS,
    repeats.REPEATS,
    refusals.REFUSALS,
    outages.OUTAGES,
    values.VALUES,
    reading.READING,
    reading.LISTS,
    batches.BATCHES,
    durable.DURABLE,
    following.FOLLOWING,
    workers.WORKERS,
    mirrors.MIRRORS,
)
CASES: tuple[Case, ...] = tuple(case for group in GROUPS for case in group)
