"""No shape of a credential takes long, whatever text it is tried on."""

import time
from collections.abc import Iterator

import msgspec
import pytest

from bus.contract.codec import findings_in
from domain.credentials.shapes import SHAPES
from tests.support.domain.credential_corpus import Pieces
from tests.support.domain.spelled_out import spelled_out

# Seven of them are a body of 256 KiB.
PART_BYTES = 256 * 1024 // 7
# The slowest takes a fifth of a second. An expression that goes back and forth would take minutes.
LONGEST_SECONDS = 1.5


def hostile(kind: str, marks: tuple[str, ...], shape: str) -> Iterator[str]:
    """Texts that are nearly full of that shape, or begin like one that never ends."""
    make = Pieces(kind)
    begun = [mark[1:] if mark[0] == "*" else spelled_out(mark, make) for mark in marks]
    nearly = [spelled_out(shape, make) for _ in range(20)]
    for part in (
        " ".join(begun) + " ",
        "/".join(one[: len(one) * 2 // 3] for one in nearly) + "/",
        "-".join(one[: len(one) // 2] for one in nearly) + "-",
    ):
        yield part * (PART_BYTES // len(part))
    for sign in "a0A-":
        yield f" {begun[0]}{sign * PART_BYTES}"


@pytest.mark.parametrize(("kind", "marks", "bits", "shape"), SHAPES, ids=[kind for kind, *_ in SHAPES])
def test_no_shape_takes_longer_than_the_text_is_long(
    kind: str, marks: tuple[str, ...], bits: float, shape: str
):
    text = "".join(hostile(kind, marks, shape))
    body = msgspec.json.encode({"note": text})
    assert len(body) > 240_000
    began = time.process_time()
    findings_in(body)

    assert time.process_time() - began < LONGEST_SECONDS


def test_texts_of_all_shapes_at_once_take_no_longer():
    make = Pieces("all")
    shapes = [spelled_out(shape, make) for _, _, _, shape in SHAPES]
    body = msgspec.json.encode({"note": [one[: len(one) // 2] for one in shapes] * 40})[: 256 * 1024]
    began = time.process_time()
    findings_in(body)

    assert time.process_time() - began < LONGEST_SECONDS
