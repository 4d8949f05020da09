"""The table `schedules`. Made by `make client`."""

from typing import Unpack

from hyperpage_client.answers.schedules import ScheduleOnMissed, TriggerResult
from hyperpage_client.commands import schedules as commands
from hyperpage_client.commands.schedules import ScheduledJob
from hyperpage_client.queries.schedules import SchedulesQueries
from hyperpage_client.queries.table import Answer, Sent


class Schedules(SchedulesQueries):
    """The commands and queries of `schedules`."""

    async def set(
        self,
        id: str,
        job: ScheduledJob,
        *,
        every_ms: int | None = None,
        cron: str | None = None,
        time_zone: str = "UTC",
        on_missed: ScheduleOnMissed = "run_once",
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """A schedule as it is from now on: every `every_ms` milliseconds, or by a `cron` expression.

        A cron expression has five fields or is a name for them (`@daily`, `@hourly` …), and is read in the
        `time_zone` (UTC by default).
        """
        command = commands.SetSchedule(
            id=id, job=job, every_ms=every_ms, cron=cron, time_zone=time_zone, on_missed=on_missed
        )
        return await self._send(command, None, about)

    async def delete(self, id: str, **about: Unpack[Sent]) -> Answer[None]:
        """The schedule makes no more jobs, and is gone. Its jobs stay."""
        command = commands.DeleteSchedule(id=id)
        return await self._send(command, None, about)

    async def pause(self, id: str, **about: Unpack[Sent]) -> Answer[None]:
        """The schedule makes no jobs until it is resumed."""
        command = commands.PauseSchedule(id=id)
        return await self._send(command, None, about)

    async def resume(self, id: str, **about: Unpack[Sent]) -> Answer[None]:
        """The schedule makes jobs again, beginning with the next time; those that passed do not count."""
        command = commands.ResumeSchedule(id=id)
        return await self._send(command, None, about)

    async def trigger(self, id: str, **about: Unpack[Sent]) -> Answer[TriggerResult]:
        """A job is made at once, paused or not; the result has the job's id. The schedule's times stay."""
        command = commands.TriggerSchedule(id=id)
        return await self._send(command, TriggerResult, about)
