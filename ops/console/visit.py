"""One request of a browser to the console: `Visit`, with everything that pages need."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bus.contract import codec
from bus.incident import internal
from domain.errors import Invalid, NotFound, Refusal
from domain.messages import stream_name
from hyperpage_client.contract.headers import ACTOR, COMMAND_ID, EXPECTED_VERSION
from hyperpage_client.identifiers import new_id
from ops.console.files import address_of
from ops.console.rendering import PREFIX, environment, words
from ops.console.shown_events import Shown, shown
from ops.console.typed import kept
from ops.health.cause import status_of
from ops.http.access.roles import Principal, Role
from ops.http.access.sessions import CSRF_FIELD, Session
from ops.http.forms import Form
from ops.http.refusals import HttpRefusal
from ops.http.routing import access_of, actor_of, backend_of, bus_principal_of
from ops.http.shared_answers import SharedAnswers
from projections.jobs.board import summaries
from projections.tables import INSTALLED_TABLES

HTML = "text/html; charset=utf-8"
MAXIMUM_NOTICES = 10
# How old a shared answer may be: each open page asks again every few seconds.
SHARED_SECONDS = 2.0
# The hint for a form, in place of one about schemas: users of forms see labels, and no schema.
_IN_A_FORM = "nothing was changed: correct it, and send it again"
# Fields that the page fills in, and not the visitor.
_NOT_TYPED = frozenset({CSRF_FIELD, "command_id", "version", "verb", "back"})

# The navigation: the last part of the address, the name, the key to press after `g`, and the role needed.
PAGES: tuple[tuple[str, str, str, Role], ...] = (
    ("", "Overview", "o", "read"),
    ("jobs", "Jobs", "j", "read"),
    ("queues", "Queues", "q", "read"),
    ("schedules", "Schedules", "h", "read"),
    ("workers", "Workers", "w", "read"),
    ("events", "Events", "e", "read"),
    ("tail", "Live", "t", "read"),
    ("tool_configs", "Configurations", "c", "read"),
    ("rate_limits", "Rate limits", "l", "read"),
    ("app_state", "State", "s", "read"),
    ("backups", "Backups", "b", "read"),
    ("projections", "Projections", "p", "read"),
    ("dead_letters", "Dead letters", "d", "read"),
    ("proof", "Proof", "v", "read"),
    ("cluster", "Cluster", "n", "read"),
    ("audit", "Audit", "a", "admin"),
)

# Below them, the tables of aggregates that other distributions bring: the first nine have a key, too.
AGGREGATE_PAGES: tuple[tuple[str, str, str], ...] = tuple(
    (table.name, words(table.name), str(place) if place < 10 else "")
    for place, table in enumerate(INSTALLED_TABLES, 1)
)

logger = logging.getLogger(__name__)


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A browser's request. `cookie` is the secret of the session if this request began it, else `None`."""

    request: Request
    principal: Principal
    session: Session
    cookie: str | None
    form: Form = Form({})

    def may(self, role: Role) -> bool:
        """Whether the visitor has a role."""
        return self.principal.may(role)

    def may_change(self, role: Role) -> bool:
        """Whether the visitor has a role, and this service can change the store: a follower cannot."""
        return self.may(role) and self.leads

    @property
    def leads(self) -> bool:
        """Whether this service writes to the store, as a leader does."""
        return backend_of(self.request).now.parts.role.leading is not None

    def sees(self, page: str, role: Role) -> bool:
        """Whether a page that needs a role is in the visitor's navigation."""
        parts = backend_of(self.request).now.parts
        is_there = {"dead_letters": parts.role.leading, "cluster": parts.cluster}.get(page, True) is not None
        return is_there and self.may(role)

    def parameter(self, name: str) -> str | None:
        """A parameter of the address; `None` if it is empty or missing."""
        return self.request.query_params.get(name, "").strip() or None

    def number(self, name: str) -> int | None:
        """A parameter of the address as a number; `None` if it is none."""
        said = self.parameter(name)
        return int(said) if said and is_whole(said) else None

    def typed(self, name: str, otherwise: str = "") -> str:
        """The visitor's input in a field of this page's form, if the form was refused just now."""
        return self.session.typed.get(name, otherwise) if self.session.typed_at == self.here else otherwise

    def ticked(self, name: str, otherwise: bool = False) -> bool:
        """Whether the visitor ticked a field of this page's form, if the form was refused just now."""
        return name in self.session.typed if self.session.typed_at == self.here else otherwise

    def keep_typed(self, address: str, refusal: Refusal) -> None:
        """Keeps the input of a refused form for the page at an address, without credentials."""
        self.session.typed = kept(self.form.fields, _NOT_TYPED, refusal)
        self.session.typed_at = urlsplit(address).path

    @property
    def here(self) -> str:
        """The path of the request, still escaped: a key in it may have an escaped slash."""
        return path_of(self.request)

    @property
    def now_ms(self) -> int:
        """The time by the service's clock."""
        return backend_of(self.request).now.parts.now_ms()

    async def query(self, name: str, /, **fields: Any) -> Any:
        """The answer to a query; fields that are `None` are left out.

        Raises:
            Refusal: the query was refused.
        """
        return msgspec.json.decode(await backend_of(self.request).query(name, _body(fields)))

    async def row(self, name: str, /, **fields: Any) -> dict[str, Any] | None:
        """The row that a query asks for; `None` if there is none."""
        try:
            row: dict[str, Any] = await self.query(name, **fields)
        except NotFound:
            return None
        return row

    async def jobs(self, ids: Iterable[str]) -> dict[str, Any]:
        """Jobs by their ids, without their large fields; jobs that are gone are left out."""

        def look() -> dict[str, Any]:
            with backend_of(self.request).in_use() as parts, parts.readers.connection() as connection:
                return summaries(connection, ids)

        return await asyncio.to_thread(look)

    async def history(self, table: str, key: str, most: int) -> tuple[list[Shown], bool]:
        """The last events of a row, newest first, and whether there are more before them."""
        found = await self.query("events.find", stream=stream_name(table, key), limit=most)
        return shown(found["items"]), found["next"] is not None

    async def shared_query(self, name: str, seconds: float | None = None, /, **fields: Any) -> Any:
        """The answer to an expensive query, which may be up to `seconds` old and shared with other pages."""
        answers: SharedAnswers = self.request.app.state.shared_answers
        key = (name, *sorted(fields.items()))
        fresh = SHARED_SECONDS if seconds is None else seconds
        return await answers.get(key, fresh, lambda: self.query(name, **fields))

    async def command(
        self, name: str, body: Mapping[str, Any], *, expected_version: int | None = None
    ) -> Any:
        """The answer to a command of the visitor, under the id that the form carries.

        Raises:
            Refusal: the command was not carried out.
        """
        headers = {ACTOR: self.principal.name}
        if self.form.has("command_id"):
            # So a form that is sent twice is carried out once.
            headers[COMMAND_ID] = self.form.text("command_id")
        if expected_version is not None:
            headers[EXPECTED_VERSION] = str(expected_version)
        self.request.app.state.shared_answers.forget()
        return msgspec.json.decode(
            await backend_of(self.request).command(
                name, codec.encode(body), headers, bus_principal_of(self.request)
            )
        )

    async def administer(self, name: str, /, **fields: Any) -> Any:
        """The answer to an administrative request of the visitor, as decoded JSON.

        Raises:
            Refusal: the request was not carried out.
        """
        answer = await backend_of(self.request).administer(name, _body(fields), actor_of(self.request))
        return msgspec.json.decode(codec.encode(answer))

    async def look(self, name: str, /, **fields: Any) -> Any:
        """A dry run of an administrative request: what it would do. It is not recorded in the audit log.

        Raises:
            Refusal: the request would not be carried out.
        """
        answer = await backend_of(self.request).look(name, _body(fields | {"dry_run": True}))
        return msgspec.json.decode(codec.encode(answer))

    def begin(self, address: str, name: str, say: Callable[[Any], str], /, **fields: Any) -> Response:
        """Sends the browser to a page, then carries out an administrative request in the background.

        `say` turns the answer into a sentence. A later page shows it, or why the request failed.
        """

        async def carry_out() -> None:
            try:
                self.tell(say(await self.administer(name, **fields)))
            except Refusal as refusal:
                self.tell(said_of(refusal), "bad")
                self.keep_typed(address, refusal)
            except Exception as error:
                self.tell(said_of(internal(logger, f"{name} failed", error, path=self.here)), "bad")

        response = self.go(address)
        response.background = BackgroundTask(carry_out)
        return response

    def tell(self, text: str, tone: Literal["good", "bad"] = "good") -> None:
        """Adds a notice, which the next page shows."""
        self.session.notices.append((tone, text))
        del self.session.notices[:-MAXIMUM_NOTICES]

    def render(self, template: str, status: int = 200, **context: Any) -> Response:
        """A page made from a template, with the notices that wait."""
        backend = backend_of(self.request)
        notices = list(self.session.notices)
        self.session.notices.clear()
        context |= {
            "visit": self,
            "notices": notices,
            # Other notes are shown on the pages that they are about.
            "notes": [one for one in backend.now.health.notes if one.wants_doing],
            "status": status_of(backend.now.health.causes),
            "position": backend.now.parts.role.head.position,
            "role_now": backend.now.parts.role,
            "now_ms": backend.now.parts.now_ms(),
            "command_id": new_id(),
        }
        text = write(template, **context)
        # A request of a script, perhaps from another tab, reloads a part of a page without the refused form.
        if self.session.typed_at == self.here and "hx-request" not in self.request.headers:
            self.session.typed, self.session.typed_at = {}, ""
        return self._with_cookie(Response(text, status, media_type=HTML))

    def go(self, address: str) -> Response:
        """A redirection of the browser to a page, as after an action."""
        return self._with_cookie(RedirectResponse(address, 303))

    def _with_cookie(self, response: Response) -> Response:
        if self.cookie is not None:
            access_of(self.request).set_cookie(self.request, response, self.cookie)
        return response


def _body(fields: Mapping[str, Any]) -> bytes:
    return codec.encode({name: value for name, value in fields.items() if value is not None})


def write(template: str, **context: Any) -> str:
    """The text of a page made from a template."""
    known = {"static": address_of, "pages": PAGES, "aggregate_pages": AGGREGATE_PAGES}
    return environment().get_template(template).render(**known, **context)


def whole_number(said: str, problem: str, *, path: str) -> int:
    """The whole number in a field.

    Raises:
        Invalid: the field holds no whole number; `problem` is the message.
    """
    if not is_whole(said):
        raise Invalid(problem, path=path)
    return int(said)


def said_of(refusal: Refusal | HttpRefusal) -> str:
    """A refusal as a sentence, with the path of the wrong value."""
    path = refusal.details.get("path", "$")
    hint = _IN_A_FORM if "`hyperpage schema" in refusal.hint else refusal.hint
    return f"{refusal.message}{'' if path == '$' else f' (at {path})'}; {hint}"


def local_address(said: str) -> str:
    """A requested address, if it is one of the console's; otherwise the console's first page."""
    parts = urlsplit(said)
    is_local = not parts.scheme and not parts.netloc and "\\" not in said and said.isprintable()
    return said if is_local and (parts.path == PREFIX or parts.path.startswith(f"{PREFIX}/")) else PREFIX


def is_whole(said: str) -> bool:
    """Whether a text is a whole number from zero on."""
    # Bounded, since `int` is slow with thousands of digits.
    return said.isascii() and said.isdigit() and len(said) < 19


def path_of(request: Request) -> str:
    """The path of a request, still escaped."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("ascii")
