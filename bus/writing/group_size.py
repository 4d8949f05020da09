"""How many commands are decided and committed together."""

from bus.writing.submission import GroupTimes

# How many commands a group takes at first. Fewer would not make a commit cheaper for each. With more, the
# senders of the first would wait for the last, and nobody would send the next ones meanwhile.
GROUP_COMMANDS = 128
# How many a group takes at most, if commits are slow.
MAXIMUM_GROUP_COMMANDS = 1_024
# How long deciding a group is to take at most, and how few there are in it for that.
LONGEST_GROUP_SECONDS = 0.1
FEWEST_GROUP_COMMANDS = 4


def limit_after(commands: int, times: GroupTimes) -> int:
    """How many commands the next group takes: deciding them is to take twice as long as the last commit.

    The way to others before it counts for it: all of a group share that. Where deciding takes long, they are
    fewer: those of others come in between.
    """
    deciding, committing = times.decided - times.began, times.committed - times.decided
    if deciding > LONGEST_GROUP_SECONDS:
        return max(int(LONGEST_GROUP_SECONDS * commands / deciding), FEWEST_GROUP_COMMANDS)
    fitting = int(2 * committing * commands / deciding) if deciding > 0 else 0
    return min(max(fitting, GROUP_COMMANDS), MAXIMUM_GROUP_COMMANDS)
