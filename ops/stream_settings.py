"""The settings of subjects, streams and buckets on the broker: their names and their limits."""

from typing import Annotated, Any

import msgspec

from bus.transport.stream_limits import BYTES_A_MESSAGE, Limits, StreamLimits
from hyperpage_client.contract.subjects import BusNames
from ops.broker_settings import SettingsError
from ops.http_settings import HttpSettings

MIB = 1024 * 1024


class StreamSettings(HttpSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings up to those of subjects, streams and buckets."""

    prefix: str = "hyperpage"
    """First token(s) of every subject; streams and buckets are named after it. Default `hyperpage`."""

    inbox_prefix: str = "_INBOX."
    """The beginning of valid reply subjects; a request with another reply subject is dropped. Default
    `_INBOX.`."""

    commands_stream_mib: Annotated[int, msgspec.Meta(ge=0)] = 512
    """How much room waiting durable commands may take, in MiB; beyond that, the broker refuses more, and
    tells the sender so. 0: the stream keeps the limit that it has. Default 512."""

    results_stream_mib: Annotated[int, msgspec.Meta(ge=0)] = 512
    """How much room the answers to durable commands may take, in MiB; beyond that, the oldest are deleted
    before their time. 0: the stream keeps the limit that it has. Default 512."""

    results_kept_hours: Annotated[float, msgspec.Meta(gt=0)] = 24.0
    """For how many hours those answers are kept. Default 24."""

    dead_letters_stream_mib: Annotated[int, msgspec.Meta(ge=0)] = 128
    """How much room dead letters may take, in MiB; messages that are no commands may take half of it. Beyond
    that, such messages are answered but not kept, and other dead letters wait among the commands. 0: the
    stream keeps the limit that it has. Default 128."""

    mirror_stream_mib: Annotated[int, msgspec.Meta(ge=0)] = 1024
    """How much room each mirror may take, in MiB; beyond that, it is not kept up to date. 0: the bucket keeps
    the limit that it has. Default 1024."""

    events_stream_mib: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How much room the stream of events may take, in MiB; beyond that, the oldest are deleted there, and
    stay in the store. Default 0: the stream keeps the limit that it has; without one, it keeps everything."""

    events_kept_days: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """For how many days events stay in that stream; they stay in the store for ever. Default 0: the stream
    keeps the limit that it has; without one, it keeps everything."""

    stream_consumers: Annotated[int, msgspec.Meta(ge=0)] = 1000
    """How many consumers each stream that applications read may have at once; 0: the stream keeps the limit
    that it has. Default 1000."""

    @property
    def names(self) -> BusNames:
        """The names of subjects, streams and buckets.

        Raises:
            SettingsError: a prefix is invalid.
        """
        return self._names(_mirrored_tables())

    def require_prefixes(self) -> None:
        """Returns if both prefixes are valid; this does not load the tables.

        Raises:
            SettingsError: one of them is invalid.
        """
        self._names(())

    def _names(self, mirrored_tables: tuple[str, ...]) -> BusNames:
        try:
            return BusNames(
                prefix=self.prefix, inbox_prefix=self.inbox_prefix, mirrored_tables=mirrored_tables
            )
        except ValueError as error:
            raise SettingsError(str(error)) from None

    @property
    def stream_limits(self) -> StreamLimits:
        """The limits of the streams and buckets on the broker."""
        consumers = self.stream_consumers
        # In a cluster, streams have copies: a new leader needs them even if the last one's machine is lost.
        replicas = self.replication_replicas if self.is_replicated else 0
        return StreamLimits(
            events=Limits(
                size_bytes=self.events_stream_mib * MIB,
                kept_seconds=self.events_kept_days * 86_400,
                consumers=consumers,
                replicas=replicas,
            ),
            commands=_room(self.commands_stream_mib, replicas=replicas),
            results=_room(
                self.results_stream_mib,
                kept_seconds=self.results_kept_hours * 3_600,
                consumers=consumers,
                replicas=replicas,
            ),
            dead_letters=_room(self.dead_letters_stream_mib, replicas=replicas),
            mirrors=_room(self.mirror_stream_mib, consumers=consumers, replicas=replicas),
            mirrored_tables=len(_mirrored_tables()),
            log=Limits(size_bytes=self.replication_log_mib * MIB),
        )


def _mirrored_tables() -> tuple[str, ...]:
    # Imported here, since an option of the command line may say which aggregates there are.
    from projections.tables import MIRRORED_TABLES

    return MIRRORED_TABLES


def _room(size_mib: int, **limits: Any) -> Limits:
    size_bytes = size_mib * MIB
    return Limits(size_bytes=size_bytes, messages=size_bytes // BYTES_A_MESSAGE, **limits)
