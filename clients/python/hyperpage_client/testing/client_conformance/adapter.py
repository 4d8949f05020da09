"""The program under test: it drives a client, as lines of JSON tell it.

──▶  {"id": 3, "do": "command", "on": 1, "command": "app_state.set", "body": {…}}
◀──  {"id": 3, "ok": {"command_id": …}}   or   {"id": 3, "error": {"code": …}}
◀──  {"id": 4, "event": {…}}              what a follower gets, or a worker does
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Any, Self

import msgspec

from hyperpage_client.documents import encode
from hyperpage_client.tasks import cancel

# A line may hold a page of a thousand rows.
MAXIMUM_LINE_BYTES = 16 * 1024 * 1024
MAXIMUM_SAID_CHARACTERS = 2_000
HELLO_SECONDS = 30.0
LEAVE_SECONDS = 5.0


class AdapterError(Exception):
    """The adapter does not speak as the protocol says, or has ended."""


class Reply(msgspec.Struct, frozen=True):
    """The adapter's reply to a line: its answer, as it came, or else the error."""

    ok: Any = None
    error: dict[str, Any] | None = None


class Adapter:
    """The program, from `start` to `stop`; used in one event loop."""

    def __init__(self, command: Sequence[str]) -> None:
        self.client = ""
        self.parts: frozenset[str] = frozenset()
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._told: dict[int, asyncio.Queue[dict[str, Any]]] = defaultdict(asyncio.Queue)
        self._errors: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listening: list[asyncio.Task[None]] = []
        self._said = ""
        self._fault: str | None = None

    @classmethod
    async def start(cls, command: Sequence[str]) -> Self:
        """An adapter that has said which client it drives.

        Raises:
            AdapterError: it does not start, or does not say that.
        """
        self = cls(command)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=MAXIMUM_LINE_BYTES,
            )
        except OSError as error:
            raise AdapterError(f"{command[0]} cannot be run: {error}") from error
        self._errors = asyncio.create_task(self._listen_to_errors())
        self._listening = [asyncio.create_task(self._listen()), self._errors]
        try:
            reply = await self.ask({"do": "hello"}, within_seconds=HELLO_SECONDS)
            self.client = str(reply.ok["client"])
            self.parts = frozenset(reply.ok["parts"])
        except (KeyError, TypeError) as error:
            await self.stop()
            raise AdapterError('"hello" is answered with {"client": …, "parts": […]}') from error
        except AdapterError:
            await self.stop()
            raise
        return self

    @property
    def has_ended(self) -> bool:
        """Whether it does not answer any more."""
        return self._fault is not None

    async def ask(self, line: dict[str, Any], *, within_seconds: float) -> Reply:
        """The reply to a line.

        Raises:
            AdapterError: there is no reply in that time, or the adapter has ended.
        """
        return await self.reply(self.tell(line), line, within_seconds=within_seconds)

    def tell(self, line: dict[str, Any]) -> int:
        """Sends a line, and returns its number.

        Raises:
            AdapterError: the adapter has ended.
        """
        if self._fault is not None or self._process is None or self._process.stdin is None:
            raise AdapterError(self._fault or "the adapter was not started")
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(encode({"id": number, **line}) + b"\n")
        return number

    async def reply(self, number: int, line: dict[str, Any], *, within_seconds: float) -> Reply:
        """The reply to a line that was sent.

        Raises:
            AdapterError: there is no reply in that time, or the adapter has ended.
        """
        try:
            async with asyncio.timeout(within_seconds):
                return await self._waiting[number]
        except TimeoutError:
            said = f"there was no answer to {line['do']!r} within {within_seconds:g} s"
            raise AdapterError(said + self._said_besides()) from None
        finally:
            self._waiting.pop(number, None)

    def told(self, number: int) -> "asyncio.Queue[dict[str, Any]]":
        """The messages that it sends under the number of a line, beside the reply."""
        return self._told[number]

    async def stop(self) -> None:
        """Closes the adapter's input, which ends it; kills it if it goes on."""
        process = self._process
        if process is not None and process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(LEAVE_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await asyncio.gather(*map(cancel, self._listening))

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                self._take(line)
            # The adapter has ended. Its error output, which is read to its end here, may say why.
            await asyncio.wait({self._errors}, timeout=LEAVE_SECONDS)
            self._end("the adapter has ended")
        except (AdapterError, ValueError) as error:
            self._end(str(error))

    async def _listen_to_errors(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while said := await self._process.stderr.read(4_096):
            self._said = (self._said + said.decode(errors="replace"))[-MAXIMUM_SAID_CHARACTERS:]

    def _take(self, line: bytes) -> None:
        try:
            # Python's own decoder keeps integers of any size as they are.
            said = json.loads(line)
            number = said["id"]
        except (ValueError, KeyError, TypeError) as error:
            raise AdapterError(f"this is no line of the protocol: {line[:200]!r}") from error
        if "ok" not in said and "error" not in said:
            self._told[number].put_nowait(said)
            return
        waiting = self._waiting.get(number)
        if waiting is None or waiting.done():
            # The end of a follower, after the reply at its beginning.
            self._told[number].put_nowait(said)
        else:
            waiting.set_result(Reply(ok=said.get("ok"), error=said.get("error")))

    def _end(self, why: str) -> None:
        self._fault = why + self._said_besides()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(AdapterError(self._fault))

    def _said_besides(self) -> str:
        return f"; it said: {self._said.strip()}" if self._said.strip() else ""
