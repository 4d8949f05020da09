"""The audit log in real files: written by several, rotated, torn, full; and what is found of each change."""

import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ops.audit.entry import Head, head_in
from ops.audit.files import AuditError, files_in
from ops.audit.listing import ListAudit, listed
from ops.audit.trail import AuditTrail
from ops.audit.verification import Verdict, verify
from tests.support.services.acts import act


def lines(data: Path) -> list[bytes]:
    return b"".join(one.path.read_bytes() for one in files_in(data / "audit")).splitlines(keepends=True)


def first_file(data: Path) -> Path:
    return files_in(data / "audit")[0].path


def verdict(data: Path, *known: Head) -> Verdict:
    return verify(data / "audit", known)


def written(data: Path, count: int = 10, *, kept_bytes: int = 0) -> list[Head]:
    trail = AuditTrail(data, kept_bytes=kept_bytes)
    return [trail.append(act(at=number)) for number in range(1, count + 1)]


def test_what_is_appended_follows_the_line_before_also_in_another_process(tmp_path: Path) -> None:
    heads = written(tmp_path, 3)
    again = AuditTrail(tmp_path)
    assert again.head() == heads[-1]
    heads.append(again.append(act(), act()))
    found = verdict(tmp_path)
    assert found.is_sound
    assert (found.lines, found.first, found.head) == (5, 1, str(heads[-1]))


def test_its_folder_and_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        written(tmp_path, 1)
    finally:
        os.umask(before)
    for path in (tmp_path / "audit", *(tmp_path / "audit").iterdir()):
        assert path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) == 0, path


def test_several_processes_append_at_once_and_no_line_is_lost(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from ops.audit.trail import AuditTrail;"
        "from tests.support.services.acts import act;"
        "trail = AuditTrail(Path(sys.argv[1]), kept_bytes=40_000);"
        "[trail.append(act(name=sys.argv[2])) for _ in range(40)]"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), f"writer-{number}"])
        for number in range(4)
    ]
    assert [one.wait(60) for one in running] == [0, 0, 0, 0]
    found = verdict(tmp_path)
    assert found.is_sound, found
    assert head_in(found.head).sequence >= 160  # type: ignore[union-attr]


def test_each_changed_byte_is_found_and_the_line_is_named(tmp_path: Path) -> None:
    written(tmp_path, 6)
    path, chance = first_file(tmp_path), random.Random(7)
    content = path.read_bytes()
    for _ in range(150):
        place = chance.randrange(len(content) - 1)
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        found = verdict(tmp_path)
        number = content[:place].count(b"\n") + 1
        is_at_end = number == 6
        assert found.wrong is not None or (is_at_end and found.torn_bytes), (
            place,
            bytes(changed[place : place + 1]),
        )
        if found.wrong is not None:
            assert found.wrong.line in (number, number + 1)
    path.write_bytes(content)
    assert verdict(tmp_path).is_sound


@pytest.mark.parametrize("number", range(1, 6))
def test_a_line_that_was_taken_out_is_found(tmp_path: Path, number: int) -> None:
    written(tmp_path, 6)
    kept = lines(tmp_path)
    del kept[number - 1]
    first_file(tmp_path).write_bytes(b"".join(kept))
    found = verdict(tmp_path)
    assert found.wrong is not None
    assert found.wrong.line == (1 if number == 1 else number)


def test_lines_that_were_moved_or_repeated_are_found(tmp_path: Path) -> None:
    written(tmp_path, 6)
    one, two, three, *others = lines(tmp_path)
    for changed in ([two, one, three], [one, three, two], [one, one, two, three], [one, two, three, three]):
        first_file(tmp_path).write_bytes(b"".join([*changed, *others]))
        assert verdict(tmp_path).wrong is not None


def test_a_line_put_in_with_a_hash_that_fits_breaks_the_chain_behind_it(tmp_path: Path) -> None:
    written(tmp_path, 3)
    heads = written(tmp_path / "other", 3)
    forged = AuditTrail(tmp_path / "other").append(act(name="mallory"))
    assert forged.sequence == heads[-1].sequence + 1
    kept = lines(tmp_path)
    kept[1] = lines(tmp_path / "other")[3]
    first_file(tmp_path).write_bytes(b"".join(kept))
    assert verdict(tmp_path).wrong is not None


def test_a_log_that_was_cut_at_its_end_is_found_by_a_head_that_was_kept(tmp_path: Path) -> None:
    heads = written(tmp_path, 6)
    first_file(tmp_path).write_bytes(b"".join(lines(tmp_path)[:4]))
    assert verdict(tmp_path).is_sound, "nothing tells without a head"
    assert verdict(tmp_path, heads[3]).is_sound
    found = verdict(tmp_path, heads[5])
    assert found.wrong is not None
    assert "there was a line 6" in found.wrong.reason
    assert not verdict(tmp_path, Head(0, heads[5].hash)).is_sound
    assert verdict(tmp_path, Head(0, heads[2].hash)).is_sound


def test_a_log_that_was_written_anew_is_found_by_a_head_that_was_kept(tmp_path: Path) -> None:
    heads = written(tmp_path, 6)
    first_file(tmp_path).unlink()
    assert not verdict(tmp_path, heads[2]).is_sound, "all of it is gone"
    trail = AuditTrail(tmp_path)
    for number in range(1, 7):
        trail.append(act(at=number, name="mallory" if number == 3 else "alice"))
    assert verdict(tmp_path).is_sound
    assert verdict(tmp_path, heads[1]).is_sound
    found = verdict(tmp_path, heads[5])
    assert found.wrong is not None
    assert found.wrong.line == 6


@pytest.mark.parametrize("left", [1, 40, -1])
def test_what_a_power_cut_leaves_of_a_line_is_noted_and_taken_for_no_tampering(
    tmp_path: Path, left: int
) -> None:
    written(tmp_path, 3)
    *whole, last = lines(tmp_path)
    first_file(tmp_path).write_bytes(b"".join([*whole, last[:left]]))
    found = verdict(tmp_path)
    assert found.is_sound
    assert (found.lines, found.torn_bytes) == (2, len(last[:left]))
    AuditTrail(tmp_path).append(act())
    found = verdict(tmp_path)
    assert found.is_sound
    assert (found.lines, found.torn_bytes) == (4, 0)
    noted = json.loads(lines(tmp_path)[2])
    assert noted["action"] == "audit.torn"
    assert json.loads(noted["request"])["bytes"] == len(last[:left])


def test_room_for_a_line_that_a_power_cut_has_left_empty_is_a_torn_line(tmp_path: Path) -> None:
    written(tmp_path, 3)
    with first_file(tmp_path).open("ab") as file:
        file.write(bytes(300))
    assert verdict(tmp_path).torn_bytes == 300
    AuditTrail(tmp_path).append(act())
    assert verdict(tmp_path).is_sound
    assert len(lines(tmp_path)) == 5


def test_a_line_that_is_torn_in_the_middle_of_the_log_is_tampering(tmp_path: Path) -> None:
    written(tmp_path, 3)
    one, two, three = lines(tmp_path)
    first_file(tmp_path).write_bytes(one + two[:50] + b"\n" + three)
    found = verdict(tmp_path)
    assert found.wrong is not None
    assert found.wrong.line == 2


def test_a_changed_last_line_stays_found_when_the_log_goes_on(tmp_path: Path) -> None:
    written(tmp_path, 3)
    *whole, last = lines(tmp_path)
    first_file(tmp_path).write_bytes(b"".join([*whole, last.replace(b"alice", b"carol")]))
    AuditTrail(tmp_path).append(act())
    found = verdict(tmp_path)
    assert found.wrong is not None
    assert found.wrong.line == 3


def test_old_files_go_after_a_line_that_says_so_and_the_chain_goes_on(tmp_path: Path) -> None:
    kept_bytes = 16_000
    heads = written(tmp_path, 200, kept_bytes=kept_bytes)
    files = files_in(tmp_path / "audit")
    assert files[0].number > 1
    assert sum(one.size_bytes for one in files) <= kept_bytes
    found = verdict(tmp_path)
    assert found.is_sound, found
    assert found.first > 1
    assert any(b'"action":"audit.prune"' in one for one in lines(tmp_path))
    assert verdict(tmp_path, heads[0], heads[-1]).is_sound, "a head of a file that went is not missed"


@pytest.mark.parametrize("gone", [0, 1, -1])
def test_a_file_that_somebody_else_took_away_is_missed(tmp_path: Path, gone: int) -> None:
    heads = written(tmp_path, 200, kept_bytes=16_000)
    files_in(tmp_path / "audit")[gone].path.unlink()
    assert verdict(tmp_path, heads[-1]).wrong is not None
    if gone != -1:
        assert verdict(tmp_path).wrong is not None


def test_a_disk_that_is_full_takes_no_part_of_a_line(tmp_path: Path) -> None:
    written(tmp_path, 3)
    before = lines(tmp_path)
    program = (
        "import sys, resource, signal; from pathlib import Path; from ops.audit.trail import AuditTrail;"
        "from ops.audit.files import AuditError; from tests.support.services.acts import act;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); size = int(sys.argv[2]) + 100;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY));"
        "trail = AuditTrail(Path(sys.argv[1]));\n"
        "try: trail.append(act())\n"
        "except AuditError: sys.exit(7)"
    )
    size_bytes = first_file(tmp_path).stat().st_size
    assert subprocess.call([sys.executable, "-c", program, str(tmp_path), str(size_bytes)]) == 7
    assert lines(tmp_path) == before
    AuditTrail(tmp_path).append(act())
    assert verdict(tmp_path).is_sound


def test_a_link_or_a_fifo_in_the_place_of_the_log_is_refused_at_once(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"")
    (tmp_path / "a" / "audit").mkdir(parents=True)
    (tmp_path / "a" / "audit" / "audit-000001.jsonl").symlink_to(elsewhere)
    with pytest.raises(AuditError):
        AuditTrail(tmp_path / "a").append(act())
    assert elsewhere.read_bytes() == b""
    (tmp_path / "b" / "audit").mkdir(parents=True)
    os.mkfifo(tmp_path / "b" / "audit" / "audit-000001.jsonl")
    with pytest.raises(AuditError):
        AuditTrail(tmp_path / "b").append(act())
    with pytest.raises(AuditError):
        verdict(tmp_path / "b")


def test_lines_are_listed_from_the_newest_on_by_what_is_asked_for(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path, kept_bytes=1_000_000)
    for number in range(1, 31):
        trail.append(act("token.create" if number % 3 else "dlq.drop", at=number, name=f"user-{number % 2}"))

    def sequences(**wish: object) -> list[int]:
        found, after = [], None
        while True:
            page = listed(trail.folder, ListAudit(**{**wish, "after": after}))  # type: ignore[arg-type]
            found += [one["sequence"] for one in page["items"]]
            if (after := page["next"]) is None:
                return found

    assert sequences() == list(range(30, 0, -1))
    assert sequences(limit=4) == list(range(30, 0, -1))
    assert sequences(action="dlq.drop") == list(range(30, 0, -3))
    assert sequences(action="token.*", actor="user-1", limit=2) == [29, 25, 23, 19, 17, 13, 11, 7, 5, 1]
    assert sequences(since=10, until=12) == [12, 11, 10]


def test_an_answer_is_never_larger_than_a_message(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path)
    trail.append(*(act(request="\x01" * 1_000) for _ in range(400)))
    page = listed(trail.folder, ListAudit(limit=1_000))
    assert 0 < len(page["items"]) < 400
    assert len(json.dumps(page["items"])) < 1024 * 1024
    rest = listed(trail.folder, ListAudit(limit=1_000, after=page["next"]))
    assert rest["items"][0]["sequence"] == page["items"][-1]["sequence"] - 1
