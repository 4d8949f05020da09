"""`Statistics`: the counts of the writer, made once a group."""

import msgspec

from bus.log.page_cache import PageCache
from bus.measures import GROUP_SIZES, Histogram, Tally
from bus.writing.content import Content
from bus.writing.group import Group
from bus.writing.jobs.failures import Failures
from bus.writing.submission import GroupTimes


class Statistics(msgspec.Struct):
    """Counts since the start; `last_failure` is why the last commit failed, `None` if it did not.

    `upkeep_failure` is the same of the last look for upkeep. `busy_since` is when the thread began its
    present group or errand, by the monotonic clock; `None` while it waits. Written by the writer's thread,
    read by any.
    """

    groups: int = 0
    commands: int = 0
    events: int = 0
    failed_commits: int = 0
    last_failure: str | None = None
    upkeep_failure: str | None = None
    busy_since: float | None = None
    outcomes: Tally = msgspec.field(default_factory=Tally)
    group_sizes: Histogram = msgspec.field(default_factory=lambda: Histogram(GROUP_SIZES))
    """In commands, of groups that were stored."""
    group_durations: Histogram = msgspec.field(default_factory=Histogram)
    """In seconds, from the first decision to the disk."""
    commit_durations: Histogram = msgspec.field(default_factory=Histogram)
    """In seconds, of the commit alone, which is the writing to disk."""
    replication_durations: Histogram = msgspec.field(default_factory=Histogram)
    """In seconds, until others had a group; empty where nobody needs to."""
    failures: Failures = msgspec.field(default_factory=Failures)
    cache: PageCache = PageCache()

    def count(self, group: Group, content: Content, times: GroupTimes) -> None:
        """Counts a group that was stored."""
        self.last_failure = None
        self.groups += 1
        self.commands += group.commands
        self.events += len(content.rows)
        self.outcomes.add_all(group.tally)
        self.group_sizes.observe(group.commands)
        self.group_durations.observe(times.committed - times.began)
        if content:
            # A group that writes nothing takes no time: none of these counts.
            self.commit_durations.observe(times.committed - times.replicated)
        if times.replicated > times.decided:
            self.replication_durations.observe(times.replicated - times.decided)
