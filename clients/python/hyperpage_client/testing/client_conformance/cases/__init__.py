"""All cases, in their order.

answers    answers to commands
repeats    ids of commands, and commands that are sent again
refusals   refusals of commands and queries
outages    a service that is busy, away or out of reach
values     values that are sent and read back
reading    how new a client's reads are, and lists
batches    several commands in one message
durable    commands that are stored by the broker
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
