"""Restores of a running service's store: requested on the bus, done between two services.

backup.restore ──▶ checked, accepted ──▶ the service drains and ends ──▶ restore ──▶ the next one serves
and answers backup.restored

And `make_sound`, which recovers a store that is damaged or gone before it is opened.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bus.log.chain import Head
from bus.serving.administration import AdministrationVerb, NoArguments
from bus.serving.audit import Act, Actor, acting, summary
from domain.errors import Invalid, NotFound, RuleViolated
from hyperpage_client.identifiers import new_id
from hyperpage_client.tasks import to_its_end
from ops.audit.files import AuditError
from ops.audit.own_acts import own_act
from ops.audit.trail import audit_trail
from ops.backup.requests import Ended, RestoreRequest
from ops.backup.restoring.plan import Plan, plan_restore
from ops.backup.restoring.preparing import prepared_places, require_readable
from ops.backup.restoring.recovery import require_sound_store
from ops.backup.restoring.repair import make_anew
from ops.backup.restoring.repairs import DAY_MS, Repair
from ops.backup.restoring.restore import Restored, restore
from ops.backup.restoring.stopped_stream import highest_timeline_in_stream
from ops.backup.restoring.swap import settle
from ops.settings import Settings
from ops.store.data_directory import DataDirectory
from ops.store.troubles import hint_of, message_of
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.version import service_version

logger = logging.getLogger(__name__)


class Restores:
    """Accepts and carries out the restores of a process. It outlives the services, which restores replace."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Pending while a service runs and no restore was requested; `None` otherwise.
        self._asked: asyncio.Future[None] | None = None
        self._accepted: tuple[str, RestoreRequest, Actor] | None = None
        self._act: Act | None = None
        self.last: Ended | None = None
        self.unrepaired: str | None = None
        """The problem of a store whose repair has failed, or `None`."""
        # When each repair began, by the monotonic clock. Kept here, since their file cannot be written on a
        # full disk, for instance.
        self._repairs_began: list[float] = []

    def verbs(self) -> tuple[AdministrationVerb, ...]:
        """The requests of operators that this object answers."""
        return (
            AdministrationVerb(
                name="backup.restore",
                shape=RestoreRequest,
                carry_out=self._accept,
                ends_later=True,
            ),
            AdministrationVerb(
                name="backup.restored", shape=NoArguments, carry_out=self._tell, changes_nothing=True
            ),
        )

    async def asked(self) -> None:
        """Returns when a restore was requested; the service is to be stopped then."""
        self._asked = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._asked)

    async def carry_out(self) -> None:
        """Carries out the accepted restore, while no service runs; `last` says how it ended."""
        assert self._accepted is not None, "nothing was asked for"
        (token, request, actor), self._accepted = self._accepted, None
        try:
            result = await asyncio.to_thread(self._restore, request)
        except BackupError as error:
            self.last = Ended(token=token, error=error.message, hint=error.hint)
        except Exception as error:  # after any error, the store is as it was, and is to be served
            self.last = Ended(token=token, error=message_of(error), hint=hint_of(error))
        else:
            self.last = Ended(token=token, result=result)
            for reason in result.passed_over.values():
                logger.error("passed over: %s", reason)
            logger.warning("restored to position %d, on timeline %d", result.position, result.timeline)
        if self.last.error is not None:
            logger.error("the store was not restored, and is as it was: %s", self.last.error)
        self._act = Act(
            at=time.time_ns() // 1_000_000,
            actor=actor,
            action="backup.restore",
            request=summary(request),
            outcome="done" if self.last.error is None else "failed",
            code=None if self.last.error is None else "not_restored",
        )
        # Recorded now, and not by the next service, which may fail to start.
        await put_on_record(self._settings, self._act)

    def repairs_of_a_day(self) -> int:
        """How many repairs this process has begun within the last day, failed ones included."""
        return sum(time.monotonic() - began < DAY_MS / 1_000 for began in self._repairs_began)

    async def repair(self, problem: str, head: Head) -> None:
        """Makes a damaged store anew while no service runs, with the same log up to the same `head`.

        The damaged file is set aside. If the log cannot be had up to there, the store stays as it is.
        """
        begun = Repair(at=time.time_ns() // 1_000_000, problem=problem, position=head.position)
        said = {"problem": problem, "position": head.position}
        self._repairs_began.append(time.monotonic())
        try:
            made = await asyncio.to_thread(self._make_anew, begun, head)
        except Exception as error:  # after any error, the store is as it was, and is to be served
            logger.error("%s; it could not be made anew, and is as it was: %s", problem, error)  # noqa: TRY400
            self.unrepaired = problem
            self._act = own_act("store.repair", {**said, "reason": str(error)}, failed=True)
        else:
            for reason in made.passed_over.values():
                logger.error("passed over: %s", reason)
            logger.error("%s; it was made anew up to its last position %d", problem, head.position)
            logger.error("the damaged file is %s", made.set_aside)
            self.unrepaired = None
            self._act = own_act("store.repair", {**said, "begins_with": made.backup, "aside": made.set_aside})
        await put_on_record(self._settings, self._act)

    def _make_anew(self, begun: Repair, head: Head) -> Restored:
        with self._settled() as settings:
            return make_anew(settings, begun, version=service_version(), same_as=head)

    @contextmanager
    def _settled(self) -> Iterator[Settings]:
        """Holds the data directory for the length of the block, after settling an unfinished restore."""
        directory = DataDirectory(self._settings.data)
        try:
            settle(self._settings.store_path)
            yield self._settings
        finally:
            directory.release()

    def take_act(self) -> Act | None:
        """The restore or repair before this service, for a notice; each is returned once, then `None`."""
        act, self._act = self._act, None
        return act

    def _restore(self, request: RestoreRequest) -> Restored:
        with self._settled() as settings:
            return restore(
                settings.places,
                request.moment,
                version=service_version(),
                safety=request.safety,
                source=self._source(request),
                highest_timeline=highest_timeline_in_stream(settings),
            )

    def _source(self, request: RestoreRequest) -> Places | None:
        if request.prepared is None:
            return None
        # The name alone, so that no folder outside the data directory is used.
        name = Path(request.prepared).name
        if name in ("", ".."):
            raise Invalid("it is the name of a folder", path="$.prepared")
        folder = self._settings.data / name
        return prepared_places(self._settings.places, folder)

    async def _accept(self, request: RestoreRequest) -> dict[str, Any]:
        if self._settings.is_replicated and not request.dry_run:
            # During the restore, another member would lead with the log from before it.
            raise RuleViolated(
                "one_of_several",
                "this service is one of several with one log",
                hint="stop all of them, restore one on its own machine, and start that one first",
            )
        if self._asked is None and not request.dry_run:
            raise _under_way()
        if sum((request.position is not None, request.time is not None, request.latest)) > 1:
            raise Invalid("to a position, to a time, or to the latest: only one of them", path="$")
        try:
            plan = await asyncio.to_thread(self._plan, request)
        except BackupError as error:
            if error.reason in ("not_found", "unreachable_moment"):
                raise NotFound(error.message, hint=error.hint) from error
            raise RuleViolated(error.reason, error.message, hint=error.hint) from error
        except OSError as error:
            raise RuleViolated("unreachable", message_of(error), hint=hint_of(error)) from error
        if request.dry_run:
            return {"plan": plan}
        # Another request may have been accepted while this one was planned.
        if self._asked is None:
            raise _under_way()
        token = new_id()
        # `call_soon`, so that the service stops only after this answer was handed over. `None` refuses
        # further requests.
        asked, self._asked = self._asked, None
        self._accepted = (token, request, acting.get())
        asyncio.get_running_loop().call_soon(asked.set_result, None)
        return {"token": token, "plan": plan}

    def _plan(self, request: RestoreRequest) -> Plan:
        source = self._source(request)
        # Checked now: the service must not stop for a backup that cannot be read.
        require_readable(source or self._settings.places, request.moment, ())
        return plan_restore(self._settings.places, request.moment, source=source)

    async def _tell(self, _: NoArguments) -> Ended | None:
        return self.last


async def settled(settings: Settings) -> None:
    """Settles a restore that was cut off, and records that. The caller holds the data directory."""
    if (which := settle(settings.store_path)) is not None:
        logger.warning("%s", which)
        await put_on_record(settings, own_act("store.settle", {"said": which}))


async def make_sound(settings: Settings, version: str, *, after_a_crash: bool) -> None:
    """Settles a restore that was cut off, and recovers a store that is damaged or gone.

    Raises:
        DamagedStoreError: the store is damaged or gone, and was left as it is.
        OSError: there is no store, and whether there is a backup of one cannot be seen.
    """
    await settled(settings)
    recovered = await to_its_end(
        partial(require_sound_store, settings, after_a_crash=after_a_crash, version=version)
    )
    if recovered is not None:
        for reason in recovered.passed_over.values():
            logger.error("passed over: %s", reason)
        logger.error("the store is as it was at position %d", recovered.position)
        found = {"position": recovered.position, "timeline": recovered.timeline}
        await put_on_record(settings, own_act("store.recover", found))


async def put_on_record(settings: Settings, act: Act) -> None:
    """Records an act in the audit log while no service runs."""
    trail = audit_trail(settings.data, settings.audit_kept_mib)
    try:
        await asyncio.to_thread(trail.append, act)
    except AuditError as error:
        # The act has happened all the same, so the error is only logged.
        logger.error("%s: %s", act.action, error.strerror)  # noqa: TRY400 - the reason says it all


def _under_way() -> RuleViolated:
    return RuleViolated(
        "restore_under_way",
        "a restore is under way already",
        hint="wait for its end, which `hyperpage status` and the console tell; nothing was"
        " changed by this one",
    )
