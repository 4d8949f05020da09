"""The cluster that this service is a member of, and handing over the lead: `cluster.html`."""

from typing import Any

import msgspec
from starlette.responses import Response

from bus.contract import codec
from domain.errors import NotFound
from ops.console.rendering import PREFIX
from ops.console.routing import action, page
from ops.console.visit import Visit
from ops.http.routing import backend_of

PATH = f"{PREFIX}/cluster"


async def show_cluster(visit: Visit) -> Response:
    """The leader, the live members and how far each is behind, and how the log is kept."""
    if (cluster := backend_of(visit.request).now.health.cluster) is None:
        raise NotFound("this service is not one of several", hint="docs/cluster.md says how it becomes one")
    return visit.render("cluster.html", cluster=msgspec.json.decode(codec.encode(cluster)))


async def hand_over(visit: Visit) -> Response:
    """Begins to have another member lead."""
    return visit.begin(PATH, "cluster.hand_over", _handed_over, to=visit.form.text("to"))


def _handed_over(answer: dict[str, Any]) -> str:
    return f"{answer['leader']} leads, in term {answer['term']}"


ROUTES = [page("/cluster", show_cluster), action("/cluster/hand_over", hand_over, role="admin")]
