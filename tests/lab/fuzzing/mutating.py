"""Changes of sound bytes: flipped, cut, doubled, spliced, and mixed with texts that trouble parsers."""

import random
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from tests.lab.experiment import Broken

# Texts that trouble parsers, to be put in the midst of others.
ODD = [
    b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"null", b"true", b"-0", b"1e999",
    b"9" * 40, b"-9223372036854775809", b"0.1", b"NaN", b"[" * 200, b"[" * 20_000, b'{"a":' * 100, b"{}",
    b"[]", b'""', b'"', b"\r\n", b"\n", b"\r", b" ", b":", b"..", b"*", b">", b"$", b"${env:X}", b"%s%n",
    b"'", b"../../etc/passwd", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"A" * 5_000, b",", b"}", b"]",
]  # fmt: skip
# No reader of a few kilobytes takes longer, on any machine.
SLOWEST_SECONDS = 10.0


class Target(msgspec.Struct, frozen=True):
    """A reader of bytes: `read` returns, or raises one of `refuses`. It accepts the bytes in `sound`."""

    read: Callable[[bytes], object]
    sound: Sequence[bytes]
    refuses: tuple[type[BaseException], ...]


class Mutator:
    """Changes bytes by chance; the same seed makes the same changes."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def mutated(self, sound: Sequence[bytes]) -> bytes:
        """One of the texts, changed in a few places."""
        content = bytearray(self._chance.choice(sound))
        for _ in range(self._chance.choice([0, 1, 1, 1, 2, 4, 16])):
            content = self._changed(content, sound)
        return bytes(content)

    def _changed(self, content: bytearray, sound: Sequence[bytes]) -> bytearray:
        chance = self._chance
        at = chance.randrange(len(content) + 1)
        end = min(len(content), at + chance.choice([0, 1, 1, 2, 4, 16, 200]))
        match chance.randrange(7):
            case 0 if at < len(content):
                content[at] ^= 1 << chance.randrange(8)
            case 1:
                del content[at:end]
            case 2:
                content[at:end] = chance.choice(ODD)
            case 3:
                content[at:at] = content[at:end] * chance.choice([1, 2, 50])
            case 4:
                other = chance.choice(sound)
                begin = chance.randrange(len(other) + 1)
                content[at:end] = other[begin : begin + chance.choice([1, 8, 64])]
            case 5:
                content[at:end] = chance.randbytes(chance.choice([1, 2, 8]))
            case _:
                content = content[:at]
        return content


def attack(targets: Mapping[str, Target], chance: random.Random, times: int) -> dict[str, int]:
    """Gives each target that many changed texts; returns how many were taken, and how many refused.

    Raises:
        Broken: a target raised an error that it does not declare, or took very long.
    """
    counts = {"texts": 0, "taken": 0, "refused": 0}
    for name, target in targets.items():
        mutator = Mutator(chance)
        for text in [*target.sound, *(mutator.mutated(target.sound) for _ in range(times))]:
            began = time.process_time()
            try:
                target.read(text)
                counts["taken"] += 1
            except target.refuses:
                counts["refused"] += 1
            except Exception as error:
                raise Broken(f"{name} raised {type(error).__name__} ({error}) for {_shown(text)}") from error
            counts["texts"] += 1
            if time.process_time() - began > SLOWEST_SECONDS:
                raise Broken(f"{name} took {time.process_time() - began:.1f} s for {_shown(text)}")
    return counts


def _shown(text: bytes) -> str:
    return repr(text) if len(text) < 2_000 else f"{text[:1_000]!r} … {text[-500:]!r} ({len(text)} bytes)"
