"""Ids are UUIDs of version 7: they hold the time, and are unique."""

import time
import uuid
from itertools import islice

from hyperpage_client.identifiers import new_id, new_ids


def test_an_id_is_a_uuid_of_version_7_of_its_moment():
    before = time.time_ns() // 1_000_000
    ids = [new_id() for _ in range(1_000)]
    after = time.time_ns() // 1_000_000

    assert len(set(ids)) == 1_000
    for one in map(uuid.UUID, ids):
        assert (one.version, one.variant) == (7, uuid.RFC_4122)
        assert before <= one.int >> 80 <= after
    assert [str(uuid.UUID(one)) for one in ids] == ids
    # Every bit but those of moment, version and variant is chance.
    numbers = [uuid.UUID(one).int for one in ids]
    for bit in (*range(62), *range(64, 76)):
        assert {number >> bit & 1 for number in numbers} == {0, 1}


def test_ids_of_one_moment_are_in_order():
    ids = list(islice(new_ids(1_700_000_000_000), 100))

    assert ids == sorted(set(ids))
    assert {uuid.UUID(one).version for one in ids} == {7}
    assert {uuid.UUID(one).int >> 80 for one in ids} == {1_700_000_000_000}
