"""The pages of an empty service: the commands that they show work, and fill the pages."""

import html
import re
import shlex
from pathlib import Path

from tests.support.services.command_line import Served

EMPTY = re.compile(r'<div class="empty"><p>.*?</p><p><code>(.*?)</code>', re.DOTALL)


def test_what_an_empty_page_says_fills_it(tmp_path: Path) -> None:
    pages = ("events", "jobs", "tool_configs", "rate_limits", "app_state", "backups", "projections")
    with (
        Served(tmp_path / "data", "--http", "127.0.0.1:0", "--http-open") as served,
        served.http() as http,
    ):
        # All pages are read before a command runs: a command for one page also makes an event for another.
        said = {page: EMPTY.findall(http.get(f"/console/{page}").text) for page in pages}
        for page, commands in said.items():
            assert len(commands) == 1, page
            program, *arguments = shlex.split(html.unescape(commands[0]))
            assert program == "hyperpage"
            served.ask(*arguments)
            assert not EMPTY.findall(http.get(f"/console/{page}").text), commands[0]
