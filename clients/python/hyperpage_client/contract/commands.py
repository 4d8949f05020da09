"""Commands and their answers, as they are sent."""

from typing import Annotated, Any, ClassVar

import msgspec

from hyperpage_client.contract.subjects import split_stream

# The limits of a message with several commands.
MAXIMUM_BATCH_COMMANDS = 1_000
MAXIMUM_BATCH_BYTES = 960 * 1024


class Command(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """A command and its body; `command_name` is what it is sent as, such as `jobs.enqueue`."""

    command_name: ClassVar[str]


class CommandAnswer(msgspec.Struct, frozen=True, gc=False):
    """The answer to an accepted command, with its members in the order of the contract."""

    command_id: str
    stream: str | None
    version: int | None
    position: int | None
    timeline: int
    events: list[str]
    result: Any = None

    @property
    def key(self) -> str:
        """The key of what the command was about, such as a job's id; empty where it was about several."""
        return split_stream(self.stream or "")[1]


class BatchItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One command of a batch, as it is sent."""

    command: str
    id: str | None = None
    expected_version: Annotated[int, msgspec.Meta(ge=0, le=10**18 - 1)] | None = None
    body: msgspec.Raw = msgspec.Raw(b"{}")
