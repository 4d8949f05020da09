"""Every event that was ever stored is read today, and leads to the row that it led to."""

import msgspec
import pytest

from domain.catalogue import UPCASTERS, encode_event
from tests.support.domain import event_samples

SAMPLES = event_samples.read()


def test_each_type_and_version_of_an_event_has_a_sample() -> None:
    assert event_samples.missing(SAMPLES) == [], "add them: make samples"


def test_no_sample_was_ever_written_anew() -> None:
    kept = event_samples.CHECKSUMS.read_text(encoding="ascii").splitlines()

    assert [event_samples.checksum(one) for one in event_samples.LINES.read_bytes().splitlines()] == kept


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: f"{one.story}: {one.position}. {one.type}")
def test_a_sample_is_read_and_an_event_of_today_is_written_as_it_was(sample: event_samples.Sample) -> None:
    event = sample.recorded().event

    if sample.type not in UPCASTERS:
        assert encode_event(event) == (sample.type, bytes(sample.data))


def test_the_samples_fold_to_the_rows_that_they_led_to() -> None:
    before = msgspec.json.decode(event_samples.FOLDED.read_bytes())

    # A row with other content is a change for all stores: if it is meant, `make samples` writes the new rows,
    # and the difference is part of the change.
    assert event_samples.folded(SAMPLES) == before
