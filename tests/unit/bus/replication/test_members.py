"""Who may be named as the next to lead."""

import pytest

from bus.replication.members import LiveMember, Member, NoSuccessorError, Role, require_successor


def live(name: str, *, role: Role = Role.MEMBER, position: int = 100, could_lead: bool = True) -> LiveMember:
    member = Member(
        name=name,
        instance="1",
        role=role,
        position=position,
        hash="",
        version="1",
        address="",
        time_ms=0,
        could_lead=could_lead,
    )
    return LiveMember(member=member, age_ms=0, clock_ahead_ms=0)


OTHERS = [live("b", position=90), live("c", role=Role.FOLLOWER, position=100), live("d", position=80)]
OTHERS.append(live("apart", position=95, could_lead=False))


def test_a_live_member_that_is_near_is_taken() -> None:
    assert require_successor(OTHERS, "b", position=100, most_behind=10).name == "b"


def test_without_a_name_the_one_that_has_most_of_those_that_may_lead_is_taken() -> None:
    assert require_successor(OTHERS, "", position=100, most_behind=10).name == "b"
    with pytest.raises(NoSuccessorError, match="no other live member may lead; start one"):
        require_successor(OTHERS[1:2], "", position=100, most_behind=10)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("e", "no live member e; beside the leader, these are live: b, c, d, apart"),
        ("c", "c is a follower, which never leads"),
        ("b", "b is at position 90, 10 events behind"),
        ("apart", "apart could not lead as it is"),
    ],
)
def test_others_are_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(NoSuccessorError, match=why):
        require_successor(OTHERS, name, position=100, most_behind=9)
