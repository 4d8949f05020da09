"""Who may be named as the next to lead."""

import pytest

from bus.replication.members import LiveMember, Member, NoSuccessorError, Role, require_successor


def live(name: str, *, role: Role = Role.MEMBER, position: int = 100) -> LiveMember:
    member = Member(
        name=name, instance="1", role=role, position=position, hash="", version="1", address="", time_ms=0
    )
    return LiveMember(member=member, age_ms=0, clock_ahead_ms=0)


MEMBERS = [live("a", role=Role.LEADER), live("b", position=90), live("c", role=Role.FOLLOWER)]


def test_a_live_member_that_is_near_is_taken() -> None:
    assert require_successor(MEMBERS, "b", position=100, most_behind=10).name == "b"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("d", "no live member d; these are live: a, b, c"),
        ("c", "c is a follower, which never leads"),
        ("b", "b is at position 90, 10 events behind"),
    ],
)
def test_others_are_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(NoSuccessorError, match=why):
        require_successor(MEMBERS, name, position=100, most_behind=9)
