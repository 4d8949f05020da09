"""Members that the lead may be handed to, and the form of frames that all members read."""

import msgspec
import pytest

from bus.replication import members
from bus.replication.members import CommonForm, LiveMember, Member, NoSuccessorError, Role, require_successor


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


def reading(*forms: int) -> list[LiveMember]:
    found = [live(f"m{number}") for number, _ in enumerate(forms)]
    return [
        msgspec.structs.replace(one, member=msgspec.structs.replace(one.member, reads=form))
        for one, form in zip(found, forms, strict=True)
    ]


def test_frames_stay_as_the_oldest_member_reads_them_until_all_have_been_newer_for_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "FORMAT", 3)
    now = 1_000.0
    common = CommonForm(lambda: now)
    forms = [common.form]
    for after, live_ones in (
        # The members have not been seen for a minute yet.
        (1, reading(3, 3)),
        (61, reading(3, 3)),
        (1, reading(3, 2)),
        # One that is started anew is away for a moment.
        (2, reading(3)),
        (1, reading(1, 3)),
        (59, reading(3, 2)),
        (2, reading(3, 3)),
        (60, reading(3, 3)),
    ):
        now += after
        common.note(live_ones)
        forms.append(common.form)
    assert forms == [1, 1, 3, 2, 2, 1, 1, 2, 3]


def test_a_member_that_does_not_tell_reads_the_first_form() -> None:
    told = msgspec.to_builtins(live("a").member)
    del told["reads"]
    assert msgspec.convert(told, Member).reads == 1
