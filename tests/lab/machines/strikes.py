"""The service, its nats-server or both are killed or frozen in the midst of an act.

Acts are a start, serving, a backup, pruning, a rebuild, a restore; a signal comes at a random moment of it.
"""

import asyncio
import random
import signal
from collections import Counter

from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.machines.applications import Applications
from tests.lab.machines.judging import become_well, require_all
from tests.lab.machines.service_process import Command, ServiceProcess
from tests.lab.machines.starter import Starter, starter

STRIKES = 8
ANSWERS_BETWEEN = (5, 80)
# The time in which most acts are over.
STRUCK_WITHIN_SECONDS = 0.8
FROZEN_AT_MOST_SECONDS = 6.0

ACTS = {
    "serve": (),
    "start": (),
    "back up": ("backup", "create"),
    "prune": ("backup", "prune"),
    "rebuild": ("projections", "rebuild"),
    "restore": ("backup", "restore", "--latest", "--yes"),
    "make a token": ("token", "create", "somebody"),
    "make a user": ("user", "create", "somebody", "--out", "{folder}/somebody.nk"),
}


async def _strike(service: ServiceProcess, applications: Applications, chance: random.Random) -> None:
    """Does one act, and sends a signal in its midst; all is well when this returns."""
    act = chance.choice(list(ACTS))
    what, how = chance.choice(["service", "nats-server", "both"]), chance.choice(["kill", "freeze"])
    command: Command | None = None
    if act == "start":
        service.kill()
        service.launch()
    elif ACTS[act]:
        command = service.command(*(word.format(folder=service.data.parent) for word in ACTS[act]))
    await asyncio.sleep(chance.random() * STRUCK_WITHIN_SECONDS)
    print(f"{act}: {how} {what}", flush=True)
    if how == "kill":
        service.send(what, signal.SIGKILL)
    else:
        service.send(what, signal.SIGSTOP)
        await asyncio.sleep(chance.random() * FROZEN_AT_MOST_SECONDS)
        service.send(what, signal.SIGCONT)
    if what != "nats-server" and how == "kill":
        service.kill()
        try:
            await service.start()
        except Broken:
            if act != "restore" or command is None:
                raise
            # Without a service, the command holds the store, and goes on alone.
            await command.code()
            await service.start()
    if command is not None:
        # The command may have succeeded or failed; but it must end.
        await command.code()
        if act == "restore":
            applications.restored()
    try:
        await become_well(service)
    except Broken:
        if not (act == "start" and what == "nats-server" and service.has_ended):
            raise
        # A start whose nats-server is killed ends with a message; a supervisor would start it again.
        await service.start()
        await become_well(service)


async def _play(trial: Trial, start: Starter) -> dict[str, int]:
    chance = random.Random(trial.seed)
    service = ServiceProcess(trial.folder / "data", starter=start)
    applications = Applications(lambda: service.runtime.nats_url, chance)
    try:
        await service.start()
        async with applications.at_work():
            for _ in range(STRIKES):
                await applications.are_answered(chance.randint(*ANSWERS_BETWEEN))
                await _strike(service, applications, chance)
        found = Counter(await require_all(service, applications, stored=applications.stored))
    finally:
        service.kill()
    return {"strikes": STRIKES, **found}


def _run(trial: Trial) -> dict[str, int]:
    with starter() as start:
        return asyncio.run(_play(trial, start))


EXPERIMENT = Experiment(
    name="strikes-in-the-midst",
    promise="Whatever is killed or frozen, and whenever, is healthy again within 10 s without an operator, "
    "and nothing that was answered or acknowledged is lost or done twice.",
    means="`kill -9` and SIGSTOP of the service, its nats-server or both at random moments of start, "
    "serving, backups, prunes, rebuilds and restores, while applications send and follow.",
    run=_run,
)
