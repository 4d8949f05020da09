"""How many commands are decided and committed together."""

from bus.writing.submission import GroupTimes

# How many commands a group takes at first. With fewer, each would bear more of what a commit costs. With
# more, the senders of the first commands would wait for the last one, and send no new ones meanwhile.
GROUP_COMMANDS = 128
# How many a group takes at most, if commits are slow.
MAXIMUM_GROUP_COMMANDS = 1_024
# How long deciding a group is to take at most. If it takes longer, groups get smaller, down to this many.
LONGEST_GROUP_SECONDS = 0.1
FEWEST_GROUP_COMMANDS = 4


def limit_after(commands: int, times: GroupTimes) -> int:
    """How many commands the next group takes: deciding them is to take twice as long as the last commit.

    Replication counts as part of the commit, since all commands of a group share it. If deciding takes long,
    groups are smaller, so that commands of other senders come in between.
    """
    deciding, committing = times.decided - times.began, times.committed - times.decided
    if deciding > LONGEST_GROUP_SECONDS:
        return max(int(LONGEST_GROUP_SECONDS * commands / deciding), FEWEST_GROUP_COMMANDS)
    fitting = int(2 * committing * commands / deciding) if deciding > 0 else 0
    return min(max(fitting, GROUP_COMMANDS), MAXIMUM_GROUP_COMMANDS)
