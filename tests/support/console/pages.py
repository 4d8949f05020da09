"""The pages of the console by their routes, with addresses of them that a hostile store has: `addresses`."""

from urllib.parse import quote, urlencode

from ops.console.rendering import PREFIX
from ops.console.routes import ROUTES
from tests.support.console.hostile_store import CORRELATION_ID, KEY, LIMIT, ROWS, UNBROKEN

# Routes that answer to GET and are no pages, and a page that only a service in its own process has.
ELSEWHERE = frozenset(
    f"{PREFIX}{path}"
    for path in ("/static/{name}", "/tail/stream", "/login", "/{rest:path}", "/backups/-/restore/end")
)
# Stands for the name of the backup that is there.
BACKUP = "BACKUP"
_KEY = quote(KEY, safe="")
# The addresses of pages that have a name in their path, or several looks.
_ADDRESSES = {
    "/jobs": ("", f"?{urlencode({'state': 'failed'})}", f"?{urlencode({'queue': KEY})}", "?text=nothing"),
    "/jobs/{key:path}": (
        f"/{_KEY}?show=payload",
        f"/{quote('running/' + KEY[:190], safe='')}",
        f"/{quote('completed/' + KEY[:190], safe='')}?show=result",
        "/leftwards",
    ),
    "/jobs/-/bulk": (f"?{urlencode({'verb': 'cancel', 'queue': KEY})}",),
    "/queues/{key:path}": (f"/{_KEY}", "/default"),
    "/workers": ("", f"?{urlencode({'worker': UNBROKEN[:200]})}"),
    "/schedules/{key:path}": (f"/{quote(KEY[:180], safe='')}",),
    "/events": ("", f"?{urlencode({'stream': f'jobs/{KEY}'})}"),
    "/events/{position}": tuple(f"/{ROWS + number}" for number in (1, 15)),
    "/events/-/chain": (f"?{urlencode({'correlation_id': CORRELATION_ID})}",),
    "/tool_configs/{key:path}": (f"/{_KEY}", f"/{_KEY}?rollback=1"),
    "/tool_configs/-/edit": (f"?{urlencode({'tool': KEY})}",),
    "/rate_limits/{key:path}": (f"/{quote(':'.join(LIMIT.values()), safe='')}",),
    "/app_state/{key:path}": (f"/{_KEY}?position={ROWS + 130}",),
    "/backups/{name}": (f"/{BACKUP}",),
    "/dead_letters/{sequence}": ("/1",),
    # Visits of other pages write lines to the audit log.
    "/audit": ("?action=backup.create",),
}


def addresses() -> list[str]:
    """The addresses of all pages; a page without a name in its path needs no entry above."""
    return [
        f"{PREFIX}{path.partition('/{')[0]}{rest}"
        for path in _paths()
        for rest in _ADDRESSES.get(path, () if "{" in path else ("",))
    ]


def without_address() -> list[str]:
    """The paths of pages that need an address above, and have none."""
    return [path for path in _paths() if "{" in path and path not in _ADDRESSES]


def _paths() -> list[str]:
    return [
        entry.path.removeprefix(PREFIX)
        for entry in ROUTES
        if "GET" in entry.methods and entry.path.startswith(PREFIX) and entry.path not in ELSEWHERE
    ]
