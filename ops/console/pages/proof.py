"""The checks of this store, and the lab's results for this version: `proof.html`."""

from typing import Any

import msgspec
from starlette.responses import Response

from bus.contract import codec
from ops.console.routing import page
from ops.console.visit import Visit
from ops.http.routing import backend_of
from ops.lab.results import of_this_version, sums


async def show_proof(visit: Visit) -> Response:
    """How far store, stream and backups were checked, and what the lab has tried with this version."""
    backend = backend_of(visit.request)
    parts = backend.now.parts
    listed = (await visit.administer("backup.list"))["items"]
    results = of_this_version(parts.version)
    return visit.render(
        "proof.html",
        drilled=_newest(listed, lambda metadata: metadata["last_drilled"]),
        chained=_newest(listed, lambda metadata: metadata["checks"].get("chain")),
        report=msgspec.json.decode(codec.encode(backend.now.health.report())),
        check=None if (leading := parts.role.leading) is None else leading.projections.last,
        version=parts.version,
        runs=results.runs,
        experiments=sums(results),
    )


def _newest(backups: list[dict[str, Any]], moment: Any) -> dict[str, Any] | None:
    """The undamaged backup with the newest `moment`, with that moment as `at`; `None` if none has one."""
    shown = [
        one | {"at": at}
        for one in backups
        if one["status"] != "damaged" and (at := moment(one["metadata"])) is not None
    ]
    return max(shown, key=lambda one: one["at"], default=None)


ROUTES = [page("/proof", show_proof)]
