"""The verbs that only a leader has."""

import asyncio
from pathlib import Path

from ops.service.composition import Service
from ops.service.roles.leadership import LEADERS_VERBS
from ops.settings import Settings


def test_what_is_refused_where_no_leader_is_is_what_one_is_asked_for(tmp_path: Path):
    async def scenario() -> set[str]:
        async with Service(Settings(data=tmp_path, nats_port=0, no_http=True)) as service:
            return set(service.leading.verbs)

    # A restore is left out: the process carries it out, and its next service leads.
    assert asyncio.run(scenario()) | {"backup.restore"} == set(LEADERS_VERBS)
