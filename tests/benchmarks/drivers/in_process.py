"""Groups of commands through a writer on a file, in this process: `… in_process GROUPS [FILE]`.

Its instructions are counted from outside. Bodies, ids and groups are the same in each run, even in a slow
one: otherwise, a slow writer would take smaller groups, and commit in another thread.
"""

import math
import random
import sys
import tempfile
import uuid
from pathlib import Path

from tests.support.stores.writing import Sent, Store

COMMANDS_IN_GROUP = 64


def main() -> None:
    chance = random.Random(1)

    def new_id() -> str:
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))

    with (
        tempfile.TemporaryDirectory(prefix="hyperpage-benchmark-") as folder,
        Store(
            Path(sys.argv[2] if len(sys.argv) > 2 else f"{folder}/hyperpage.db"), next_upkeep=math.inf
        ) as store,
    ):
        for _ in range(int(sys.argv[1])):
            bodies = [
                {"id": new_id(), "type": "sync", "name": "Sync a repository", "payload": {"page": 1}}
                for _ in range(COMMANDS_IN_GROUP)
            ]
            store.writer._commits.group_limit = COMMANDS_IN_GROUP
            store.writer._transactions.commit_seconds = 0.0
            replies = store.send_together(*(Sent("jobs.enqueue", body, id=new_id()) for body in bodies))
            store.commits.clear()
            assert not [one.body for one in replies if one.code is not None]


if __name__ == "__main__":
    main()
