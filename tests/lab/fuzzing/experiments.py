"""The experiments with odd bytes."""

import random

from tests.lab.experiment import Experiment, Trial
from tests.lab.fuzzing.in_files import in_files
from tests.lab.fuzzing.mutating import attack
from tests.lab.fuzzing.over_nats import over_nats

# The number of changed texts that each target reads in a trial.
TEXTS_OVER_NATS, TEXTS_IN_FILES = 200, 400


def _over_nats(trial: Trial) -> dict[str, int]:
    return attack(over_nats(trial.folder), random.Random(trial.seed), TEXTS_OVER_NATS)


def _in_files(trial: Trial) -> dict[str, int]:
    return attack(in_files(trial.folder), random.Random(trial.seed), TEXTS_IN_FILES)


OVER_NATS = Experiment(
    name="odd-bytes-over-nats",
    promise="Whatever comes over NATS, as a body, headers, a query, a request of the operator, an answer of "
    "JetStream's or an event in a stream, is taken, or refused as it is said to be; nothing is a defect.",
    means="Sound texts of each kind are flipped, cut, doubled, spliced and filled with what parsers stumble "
    "over.",
    run=_over_nats,
    small=1,
)
IN_FILES = Experiment(
    name="odd-bytes-in-files",
    promise="Whatever stands in the metadata of a backup, a segment of the archive, users.json, tokens.json, "
    "hyperpage.toml, a database of the system before or the notes on suspects, is taken, or refused with a "
    "word.",
    means="Sound files of each kind are flipped, cut, doubled, spliced and filled with what parsers stumble "
    "over; segments also with checksums that fit.",
    run=_in_files,
    small=1,
)
