"""One request of a browser to the console: `Visit`, and what its page says."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bus.contract import codec
from bus.contract.headers import ACTOR, COMMAND_ID, EXPECTED_VERSION
from bus.identifiers import new_id
from bus.incident import internal
from domain.errors import Invalid, NotFound, Refusal
from domain.messages import stream_name
from ops.console.files import address_of
from ops.console.rendering import PREFIX, environment
from ops.console.shown_events import Shown, shown
from ops.health.causes import status_of
from ops.http.access.roles import Principal, Role
from ops.http.access.sessions import Session
from ops.http.forms import Form
from ops.http.refusals import HttpRefusal
from ops.http.routing import access_of, actor_of, backend_of
from ops.http.shared_answers import SharedAnswers

HTML = "text/html; charset=utf-8"
MAXIMUM_NOTICES = 10
# Pages ask again every few seconds, each for itself.
SHARED_SECONDS = 2.0

# What stands in the navigation: the last part of the address, the name, and the key behind `g`.
PAGES = (
    ("", "Overview", "o"),
    ("jobs", "Jobs", "j"),
    ("events", "Events", "e"),
    ("tail", "Live", "t"),
    ("tool_configs", "Configurations", "c"),
    ("rate_limits", "Rate limits", "l"),
    ("app_state", "State", "s"),
    ("backups", "Backups", "b"),
    ("projections", "Projections", "p"),
    ("dead_letters", "Dead letters", "d"),
)

logger = logging.getLogger(__name__)

Tone = Literal["good", "bad"]


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A browser's request. `cookie` is the secret of a session that began with it."""

    request: Request
    principal: Principal
    session: Session
    cookie: str | None
    form: Form = Form({})

    def may(self, role: Role) -> bool:
        """Whether who asks has a role."""
        return self.principal.may(role)

    def parameter(self, name: str) -> str | None:
        """What the address says, where it says something."""
        return self.request.query_params.get(name, "").strip() or None

    def number(self, name: str) -> int | None:
        """A number that the address says; none where it says something else."""
        said = self.parameter(name)
        return int(said) if said and is_whole(said) else None

    @property
    def here(self) -> str:
        """The path that was asked for, as it was written: a key may have a slash in it."""
        return path_of(self.request)

    @property
    def now_ms(self) -> int:
        """The time by the service's clock."""
        return backend_of(self.request).parts.now_ms()

    async def query(self, name: str, **fields: Any) -> Any:
        """The answer to a query; fields that are `None` are left out.

        Raises:
            Refusal: there is none.
        """
        body = codec.encode({name: value for name, value in fields.items() if value is not None})
        return msgspec.json.decode(await backend_of(self.request).query(name, body))

    async def row(self, name: str, **fields: Any) -> dict[str, Any] | None:
        """The row that a query asks for; none where there is none."""
        try:
            row: dict[str, Any] = await self.query(name, **fields)
        except NotFound:
            return None
        return row

    async def history(self, table: str, key: str, most: int) -> tuple[list[Shown], bool]:
        """The last events of a row, the newest first, and whether there are more before them."""
        found = await self.query("events.find", stream=stream_name(table, key), limit=most)
        return shown(found["items"]), found["next"] is not None

    async def shared_query(self, name: str, **fields: Any) -> Any:
        """The same, which may be of a second or two ago: for what costs more than a look at a row or some."""
        answers: SharedAnswers = self.request.app.state.shared_answers
        key = (name, *sorted(fields.items()))
        return await answers.get(key, SHARED_SECONDS, lambda: self.query(name, **fields))

    async def command(
        self, name: str, body: Mapping[str, Any], *, expected_version: int | None = None
    ) -> Any:
        """The answer to a command of the visitor's, under the id that the form carries.

        Raises:
            Refusal: it was not carried out.
        """
        headers = {ACTOR: self.principal.name}
        if self.form.has("command_id"):
            # Sent twice, it is done once.
            headers[COMMAND_ID] = self.form.text("command_id")
        if expected_version is not None:
            headers[EXPECTED_VERSION] = str(expected_version)
        self.request.app.state.shared_answers.forget()
        return msgspec.json.decode(await backend_of(self.request).command(name, codec.encode(body), headers))

    async def administer(self, name: str, /, **fields: Any) -> Any:
        """The answer to an administrative request of the visitor's, as it would be in JSON.

        Raises:
            Refusal: it was not carried out.
        """
        body = codec.encode({name: value for name, value in fields.items() if value is not None})
        answer = await backend_of(self.request).administer(name, body, actor_of(self.request))
        return msgspec.json.decode(codec.encode(answer))

    def begin(self, address: str, name: str, say: Callable[[Any], str], /, **fields: Any) -> Response:
        """Has an administrative request carried out after the browser went to a page.

        `say` makes a sentence of the answer; one of the next pages tells it, or why there is none.
        """

        async def carry_out() -> None:
            try:
                self.tell(say(await self.administer(name, **fields)))
            except Refusal as refusal:
                self.tell(said_of(refusal), "bad")
            except Exception as error:
                self.tell(said_of(internal(logger, f"{name} failed", error, path=self.here)), "bad")

        response = self.go(address)
        response.background = BackgroundTask(carry_out)
        return response

    def tell(self, text: str, tone: Tone = "good") -> None:
        """Has the next page say something."""
        self.session.notices.append((tone, text))
        del self.session.notices[:-MAXIMUM_NOTICES]

    def render(self, template: str, status: int = 200, **context: Any) -> Response:
        """A page."""
        backend = backend_of(self.request)
        notices = list(self.session.notices)
        self.session.notices.clear()
        context |= {
            "visit": self,
            "notices": notices,
            "status": status_of(backend.health.causes),
            "position": backend.parts.writer.head.position,
            "now_ms": backend.parts.now_ms(),
            "command_id": new_id(),
        }
        return self._with_cookie(Response(write(template, **context), status, media_type=HTML))

    def go(self, address: str) -> Response:
        """Has the browser ask for a page, as after something was done."""
        return self._with_cookie(RedirectResponse(address, 303))

    def _with_cookie(self, response: Response) -> Response:
        if self.cookie is not None:
            access_of(self.request).set_cookie(self.request, response, self.cookie)
        return response


def write(template: str, **context: Any) -> str:
    """A template as a page."""
    return environment().get_template(template).render(static=address_of, pages=PAGES, **context)


def whole_number(said: str, problem: str, *, path: str) -> int:
    """The number that a field says.

    Raises:
        Invalid: it says something else, which is the `problem`.
    """
    if not is_whole(said):
        raise Invalid(problem, path=path)
    return int(said)


def said_of(refusal: Refusal | HttpRefusal) -> str:
    """A refusal in a sentence."""
    return f"{refusal.message}; {refusal.hint}" if refusal.hint else refusal.message


def local_address(said: str) -> str:
    """An address of the console's that somebody named; its first page where they named another."""
    return said if _is_ours(said) else PREFIX


def is_whole(said: str) -> bool:
    """Whether a text is a number that is none below zero."""
    # Not longer than any number of ours: `int` takes its time with thousands of digits.
    return said.isascii() and said.isdigit() and len(said) < 19


def path_of(request: Request) -> str:
    """The path that was asked for, as it was written."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("ascii")


def _is_ours(address: str) -> bool:
    parts = urlsplit(address)
    is_local = not parts.scheme and not parts.netloc and "\\" not in address and address.isprintable()
    return is_local and (parts.path == PREFIX or parts.path.startswith(f"{PREFIX}/"))
