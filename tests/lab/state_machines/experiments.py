"""The experiments with state machines: a few stories from a seed."""

from collections.abc import Callable, Mapping

from tests.lab.experiment import Experiment, Trial
from tests.lab.state_machines import relaying, replicating, restoring, storing


def _stories(played: Callable[..., Mapping[str, int]], stories: int) -> Callable[[Trial], Mapping[str, int]]:
    return lambda trial: played(trial.seed, stories=stories, steps=40)


EXPERIMENTS = (
    Experiment(
        name="stories-of-a-store",
        promise="Whatever is sent to a store, again, too, and however it is opened, its log has no gaps, "
        "its tables are a fold of it, and each answer is the one of a model, byte for byte.",
        means="Hypothesis makes stories of groups, batches, ids that come again, commits on a failing disk, "
        "sudden ends, tables that are changed by hand and rebuilt, and backups, beside a model of its own.",
        run=_stories(storing.played, 60),
    ),
    Experiment(
        name="stories-of-restores",
        promise="A restore brings the state of the moment that was asked for, or touches nothing and says "
        "why: what is damaged is never taken, and no timeline has the number of another.",
        means="Hypothesis makes stories of commands, backups, an archive, damage of either, stores that are "
        "gone, and restores to positions, times, backups and the latest, beside a model of every history.",
        run=_stories(restoring.played, 30),
    ),
    Experiment(
        name="stories-of-a-relay",
        promise="Whatever happens to log, stream and nats-server, the stream is the log in its order, once "
        "each, or the relay says what is to be done; a copy of the file that went another way is refused.",
        means="Hypothesis makes stories of commits, starts, restores, copies, and a real nats-server that is "
        "killed, rolled back, purged, and has messages deleted and forged, or the stream itself.",
        run=_stories(relaying.played, 15),
    ),
    Experiment(
        name="stories-of-replication",
        promise="However leaders change and the log loses its end, of two leaders one stores nothing, each "
        "file that follows is the log or says why not, and what was answered and is in the log is answered "
        "the same again.",
        means="Hypothesis makes stories of three files with one log on a real nats-server that is killed: "
        "terms, commands to those that lead and those that led, followers, lost ends and deleted logs.",
        run=_stories(replicating.played, 12),
    ),
)
