"""A visitor of the console without a browser: a test reads its pages and sends its forms."""

import re
from typing import Any

import httpx

from ops.http.access.tokens import TokenFile
from tests.support.http_clients import asynchronous_client
from tests.support.services.asking import HttpTalk
from tests.support.services.watching import eventually

HOSTILE = "<script>alert(1)</script>'\"&{{ 7 * 7 }}"


def logged_in(talk: HttpTalk, role: str) -> dict[str, str]:
    """The headers of a browser that was logged in with that role."""
    _, secret = TokenFile(talk.data).create(f"a-{role}-token", role)  # type: ignore[arg-type]
    answer = talk.ask("POST", "/console/login", data={"token": secret, "next": "/console/jobs"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/jobs")
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


class Visitor:
    """A visitor who is logged in with a role; the forms carry the token of the session."""

    def __init__(self, talk: HttpTalk, role: str) -> None:
        self._talk = talk
        self._told = ""
        self._cookie = logged_in(talk, role)
        # For the role `read`, too: forms without a button are refused for the role, not for the token.
        self.csrf_token = talk.get("/session", headers=self._cookie).json()["csrf_token"]

    def get(self, path: str) -> httpx.Response:
        return self._talk.get(path, headers=self._cookie)

    def waits_for(self, path: str, text: str) -> None:
        """Returns when a page, or a notice of an earlier page, shows a text: each notice is shown only once.

        It is requested as a page requests parts of itself.
        """
        headers = self._cookie | {"HX-Request": "true"}

        async def is_said() -> bool:
            if text in self._told:
                return True
            async with asynchronous_client(self._talk.url) as client:
                return text in (await client.get(path, headers=headers)).text

        eventually(self._talk, is_said)

    def page(self, path: str) -> str:
        """A page, which must exist."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **fields: Any) -> httpx.Response:
        """The answer to a form."""
        form = {"csrf_token": self.csrf_token, **fields}
        return self._talk.ask("POST", path, headers=self._cookie, data=form)

    def does(self, path: str, **fields: Any) -> str:
        """Sends a form; returns the notices of the page that it leads to."""
        answer = self.post(path, **fields)
        assert answer.status_code == 303, answer.text
        return self.told(answer.headers["location"])

    def told(self, path: str) -> str:
        """The notices of a page."""
        notices = re.findall(r'<p class="notice \w+" role="\w+">(.*?)</p>', self.page(path), re.DOTALL)
        self._told = "\n".join(notices)
        return self._told


def buttons(page: str) -> list[str]:
    """The buttons of a page, without those that every page has."""
    main = page[page.index("<main") : page.index("</main>")]
    return re.findall(r"<(?:button|a class=\"button\")[^>]*>(.*?)<", main)
