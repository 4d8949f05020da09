"""The embedded nats-server: starts, answers, keeps what it has, and ends with its service."""

import asyncio
import errno
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

import bus.broker.server
from bus.broker.child import NatsChild
from bus.broker.home import NatsHome
from bus.broker.server import NatsServer, NatsServerError, PortTakenError, StoreInUseError, find_nats_server
from bus.broker.tether import tethered
from bus.broker.users import ADMIN, APP, RELAY, USERS, private_inbox
from tests.support.machines.nats_process import send_signal
from tests.support.patience import patiently, until, wait_for
from tests.support.repository import ROOT

SERVICE = """
import asyncio, sys
from pathlib import Path
from bus.broker.server import NatsServer

async def serve():
    server = NatsServer(data=Path(sys.argv[1]), port=0)
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


def test_it_starts_and_jetstream_answers(tmp_path: Path):
    async def scenario():
        async with NatsServer(data=tmp_path, port=0) as server:
            assert server.alive
            relay = await connect(server, RELAY)
            account = await relay.jetstream().account_info()
            await relay.close()
            return account.streams

    assert asyncio.run(scenario()) == 0


def test_it_works_in_a_folder_whose_name_needs_quoting(tmp_path: Path):
    async def scenario():
        async with NatsServer(data=tmp_path / 'dä ta\'s "$x"', port=0) as server:
            return server.alive

    assert asyncio.run(scenario())


def test_what_is_secret_is_readable_by_its_owner_alone(tmp_path: Path):
    async def scenario():
        async with NatsServer(data=tmp_path, port=0):
            return modes(tmp_path / "nats")

    found = asyncio.run(scenario())

    assert found.pop("") == 0o700
    assert {found[name] for name in ("credentials.json", "nats-server.conf", "nats-server.log")} == {0o600}


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of a process")
def test_nats_server_gets_no_secret_of_ours_writes_for_its_owner_alone_and_leaves_no_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HYPERPAGE_NATS_RELAY", "nats://relay:s3cret@elsewhere:4222")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    before = os.umask(0o022)

    async def scenario():
        async with NatsServer(data=tmp_path, port=0) as server:
            relay = await connect(server, RELAY)
            await relay.jetstream().add_stream(name="HYPERPAGE_EVENTS", subjects=["hyperpage.evt.v1.>"])
            await relay.jetstream().publish("hyperpage.evt.v1.jobs.1.enqueued", b"{}")
            await relay.close()
            process = Path(f"/proc/{server.process_id}")
            return (process / "environ").read_bytes(), (process / "limits").read_text()

    try:
        environment, limits = asyncio.run(scenario())
    finally:
        os.umask(before)

    # Variables of libraries may be set, and the LC_CTYPE that Python sets when it starts the server.
    names = {one.partition(b"=")[0].decode() for one in environment.split(b"\0")[:-1]}
    assert names - {"LD_LIBRARY_PATH", "LC_CTYPE", "GOGC", "GOMAXPROCS", "GOMEMLIMIT"} == {"TZ"}
    assert re.search(r"^Max core file size\s+0\s+0\s", limits, re.MULTILINE)
    written = [one for one in tmp_path.rglob("*") if not one.is_symlink()]
    assert any(one.suffix == ".blk" for one in written)
    assert {one for one in written if one.stat().st_mode & 0o077} == set()


def test_nobody_enters_without_credentials_and_nothing_but_clients_is_listened_for(tmp_path: Path):
    async def scenario():
        async with NatsServer(data=tmp_path, port=0) as server:
            with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
                await nats.connect(f"nats://127.0.0.1:{server.port}", allow_reconnect=False)
            (report,) = (tmp_path / "nats").glob("*.ports")
            return server.port, report.read_text()

    port, report = asyncio.run(scenario())

    # A monitoring port would be a second key of the report.
    assert report == f'{{"nats":["nats://127.0.0.1:{port}"]}}'


def test_a_restart_keeps_port_credentials_and_messages(tmp_path: Path):
    async def once(store: bool) -> tuple[dict[str, str], int]:
        async with NatsServer(data=tmp_path, port=0) as server:
            relay = await connect(server, RELAY)
            jetstream = relay.jetstream()
            if store:
                await jetstream.add_stream(name="HYPERPAGE_EVENTS", subjects=["hyperpage.evt.v1.>"])
                await jetstream.publish("hyperpage.evt.v1.jobs.1.enqueued", b"{}")
            stream = await jetstream.stream_info("HYPERPAGE_EVENTS")
            await relay.close()
            return {user: server.url_for(user) for user in (APP, ADMIN)}, stream.state.messages

    first = asyncio.run(once(store=True))
    second = asyncio.run(once(store=False))

    assert first == second
    assert len(set(first[0].values())) == 2


def test_a_second_start_on_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bus.broker.server, "LOCK_TIMEOUT_MS", 200)

    async def scenario():
        async with NatsServer(data=tmp_path, port=0) as first:
            with pytest.raises(StoreInUseError, match="in use by another service"):
                await NatsServer(data=tmp_path, port=0).start()
            return first.alive

    assert asyncio.run(scenario())


def test_an_orphan_keeps_its_files_until_it_is_gone(tmp_path: Path):
    """The moment after a service was killed: a child, and no parent that holds the lock."""

    async def scenario():
        home = NatsHome(tmp_path)
        descriptor = await home.lock(0)
        orphan = await NatsChild.spawn(["/bin/sleep", "60"], log=home.log, keep_open=descriptor)
        os.close(descriptor)
        server = NatsServer(data=tmp_path, port=0)
        starting = asyncio.create_task(server.start())
        await asyncio.wait({starting}, timeout=0.3)
        assert not starting.done()

        await orphan.end()
        await asyncio.wait_for(starting, 30)
        alive = server.alive
        await server.stop()
        return alive

    assert asyncio.run(scenario())


def test_stopping_leaves_no_child_and_frees_the_files(tmp_path: Path):
    async def scenario():
        server = NatsServer(data=tmp_path, port=0)
        await server.start()
        await server.stop()
        await server.stop()
        return server

    server = asyncio.run(scenario())

    assert server.process_id is None
    assert not server.alive
    assert is_free(server.port)
    assert is_unlocked(tmp_path)


def test_a_child_that_does_not_listen_to_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.broker.child.STOP_TIMEOUT_MS", 100)

    async def scenario():
        server = NatsServer(data=tmp_path, port=0)
        await server.start()
        send_signal(server, signal.SIGSTOP)
        await server.stop()

    asyncio.run(scenario())

    assert is_unlocked(tmp_path)


def test_the_child_is_gone_five_seconds_after_its_service_was_killed(tmp_path: Path):
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert service.stdout is not None
    port = int(service.stdout.readline())
    assert not is_free(port)

    service.kill()
    service.wait()

    wait_for(lambda: is_free(port) and is_unlocked(tmp_path), patiently(5))


def test_without_a_kernel_that_tells_a_pipe_ends_the_program(tmp_path: Path):
    read_end, write_end = os.pipe()
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (tmp_path / "nats").mkdir()
    (tmp_path / "lock").rename(tmp_path / "nats" / "lock")
    command = tethered(["/bin/sleep", "60"], pipe=read_end)
    program = subprocess.Popen(command, pass_fds=[read_end, lock])
    os.close(lock)
    os.close(read_end)
    assert not is_unlocked(tmp_path)

    os.close(write_end)

    assert program.wait(timeout=30) == -signal.SIGKILL
    wait_for(lambda: is_unlocked(tmp_path), patiently(5))


def test_a_killed_child_is_started_again_on_the_same_port_with_the_same_messages(tmp_path: Path):
    changes: list[bool] = []

    async def scenario():
        async with NatsServer(data=tmp_path, port=0, on_change=changes.append) as server:
            relay = await connect(server, RELAY)
            jetstream = relay.jetstream()
            await jetstream.add_stream(name="HYPERPAGE_EVENTS", subjects=["hyperpage.evt.v1.>"])
            await jetstream.publish("hyperpage.evt.v1.jobs.1.enqueued", b"{}")
            supervision = asyncio.create_task(server.supervise())
            port = server.port

            for _ in range(2):
                send_signal(server, signal.SIGKILL)
                await until(lambda: not server.alive)
                await until(lambda: server.alive)
                assert (server.failure, server.port) == (None, port)

            # The connection that was open all along.
            await until(lambda: relay.is_connected)
            messages = (await jetstream.stream_info("HYPERPAGE_EVENTS")).state.messages
            await relay.close()
        await asyncio.wait_for(supervision, 30)
        return messages, server.restarts

    assert asyncio.run(scenario()) == (1, 2)
    assert changes == [False, True, False, True]


def test_a_restart_that_fails_is_tried_again_until_it_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Leaves time for another listener to take the port.
    monkeypatch.setattr(bus.broker.server, "FIRST_RESTART_DELAY_MS", 500)
    monkeypatch.setattr(bus.broker.server, "LONGEST_RESTART_DELAY_MS", 50)

    async def scenario():
        async with NatsServer(data=tmp_path, port=0) as server:
            supervision = asyncio.create_task(server.supervise())
            send_signal(server, signal.SIGKILL)
            await until(lambda: not server.alive)
            with taken(server.port):
                await until(lambda: "cannot be used" in (server.failure or ""))
                assert not server.alive
            await until(lambda: server.alive)
        await asyncio.wait_for(supervision, 30)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("said", "is_started_again"),
    [
        ("[ERR] JetStream stream 'STREAMS > X' critical write error: no space left on device", True),
        ("[ERR] JetStream failed to store a msg on stream 'STREAMS > X': no space left on device", True),
        ("[WRN] JetStream failed to store a msg on stream 'STREAMS > X': maximum messages exceeded", False),
    ],
)
def test_one_that_cannot_write_is_started_again_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, is_started_again: bool
):
    monkeypatch.setattr(bus.broker.server, "LOOK_INTERVAL_MS", 20)
    monkeypatch.setattr(bus.broker.server, "SHORTEST_LIFE_MS", 20)
    looks = 0

    def has_room(home: NatsHome) -> bool:
        nonlocal looks
        looks += 1
        return looks > 3

    async def scenario() -> int:
        async with NatsServer(data=tmp_path, port=0) as server:
            monkeypatch.setattr(NatsHome, "has_room", has_room)
            supervision = asyncio.create_task(server.supervise())
            port = server.port
            with server.home.log.open("a") as log:
                log.write(f"[1] 2026/11/25 10:00:00.000000 {said}\n")
            if is_started_again:
                await until(lambda: server.restarts == 1)
                assert (server.alive, server.port) == (True, port)
                # It was not started again while there was no room.
                assert looks > 3
            for _ in range(5):
                await asyncio.wait({supervision}, timeout=0.05)
        await asyncio.wait_for(supervision, 30)
        return server.restarts

    assert asyncio.run(scenario()) == is_started_again


def test_an_error_of_somebody_else_is_none_of_the_configuration_that_is_read_again(tmp_path: Path):
    async def scenario() -> None:
        async with NatsServer(data=tmp_path, port=0) as server:
            # Stopped, so that the test's line is in the log before nats-server's own.
            send_signal(server, signal.SIGSTOP)
            reading = asyncio.create_task(server.set_users([]))
            try:
                await asyncio.wait({reading}, timeout=0.05)
                with server.home.log.open("a") as log:
                    log.write(
                        "[1] 2026/11/25 10:00:00.000000 [ERR] 127.0.0.1:1 - cid:9 - authentication error\n"
                    )
                await asyncio.wait({reading}, timeout=0.1)
            finally:
                send_signal(server, signal.SIGCONT)
            await reading

    asyncio.run(scenario())


def test_a_configuration_that_is_refused_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        async with NatsServer(data=tmp_path, port=0) as server:
            write = server._write_configuration
            monkeypatch.setattr(server, "_write_configuration", lambda: write().write_text("port: {"))
            with pytest.raises(NatsServerError, match="Failed to reload server configuration"):
                await server.set_users([])

    asyncio.run(scenario())


def test_one_whose_port_cannot_be_noted_leaves_no_child_that_has_the_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bus.broker.server, "FIRST_RESTART_DELAY_MS", 10)
    remember, refused = NatsHome.remember_port, 0

    def without_room(home: NatsHome, port: int) -> None:
        nonlocal refused
        if refused < 2:
            refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")
        remember(home, port)

    async def scenario() -> None:
        async with NatsServer(data=tmp_path, port=0) as server:
            monkeypatch.setattr(NatsHome, "remember_port", without_room)
            supervision = asyncio.create_task(server.supervise())
            send_signal(server, signal.SIGKILL)
            await until(lambda: server.restarts == 1)
            assert (server.alive, refused) == (True, 2)
        await asyncio.wait_for(supervision, 30)

    asyncio.run(scenario())


def test_a_folder_that_is_wiped_under_a_running_service_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Leaves time to wipe the folder while no nats-server writes to it.
    monkeypatch.setattr(bus.broker.server, "FIRST_RESTART_DELAY_MS", 500)

    async def scenario():
        async with NatsServer(data=tmp_path, port=0) as server:
            supervision = asyncio.create_task(server.supervise())
            url = server.url_for(APP)
            send_signal(server, signal.SIGKILL)
            await until(lambda: not server.alive)
            shutil.rmtree(tmp_path / "nats")
            await until(lambda: server.alive)
        await asyncio.wait_for(supervision, 30)
        async with NatsServer(data=tmp_path, port=0) as next_one:
            return url == next_one.url_for(APP)

    assert asyncio.run(scenario())


def test_stopping_ends_the_attempts_to_start_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bus.broker.server, "FIRST_RESTART_DELAY_MS", 60_000)

    async def scenario():
        server = NatsServer(data=tmp_path, port=0)
        await server.start()
        supervision = asyncio.create_task(server.supervise())
        send_signal(server, signal.SIGKILL)
        await until(lambda: not server.alive)
        await server.stop()
        await asyncio.wait_for(supervision, 30)
        return server.process_id

    assert asyncio.run(scenario()) is None
    assert is_unlocked(tmp_path)


def test_the_usual_port_is_taken_if_it_is_free_else_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A stand-in for 4222, which something else on this machine may use.
    with taken(0) as listener:
        usual: int = listener.getsockname()[1]
        monkeypatch.setattr(bus.broker.server, "USUAL_PORT", usual)
        other = asyncio.run(port_of(NatsServer(data=tmp_path / "a")))
    free = asyncio.run(port_of(NatsServer(data=tmp_path / "b")))

    assert other != usual
    assert free == usual


def test_a_port_that_was_asked_for_is_that_or_an_error(tmp_path: Path):
    with taken(0) as listener:
        port: int = listener.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"port {port} of 127\.0\.0\.1 cannot be used"):
            asyncio.run(port_of(NatsServer(data=tmp_path, port=port)))
        assert is_unlocked(tmp_path)

    assert asyncio.run(port_of(NatsServer(data=tmp_path, port=port))) == port


def out_of_luck(folder: Path) -> Path:
    """A program in the place of nats-server that says so and ends at once."""
    program = folder / "nats-server"
    program.write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    program.chmod(0o700)
    return program


def test_a_child_that_does_not_start_says_why(tmp_path: Path):
    program = out_of_luck(tmp_path)

    with pytest.raises(NatsServerError, match="did not start: out of luck") as caught:
        asyncio.run(NatsServer(data=tmp_path, port=0, program=program).start())

    assert str(tmp_path.resolve() / "nats" / "nats-server.log") in caught.value.hint
    assert is_unlocked(tmp_path)


def test_one_that_is_being_stopped_is_not_said_to_have_failed(tmp_path: Path):
    async def scenario() -> None:
        server = NatsServer(data=tmp_path, port=0)
        await server.stop()
        await server.start()

    with pytest.raises(NatsServerError, match="being stopped") as caught:
        asyncio.run(scenario())

    assert caught.value.hint.startswith("start the service again")
    assert is_unlocked(tmp_path)


def test_a_child_that_ended_before_its_start_returned_says_why_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = out_of_luck(tmp_path)
    start = asyncio.create_subprocess_exec

    async def returns_late(*command: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*command, **options)
        await process.wait()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", returns_late)

    with pytest.raises(NatsServerError, match="did not start: out of luck"):
        asyncio.run(NatsServer(data=tmp_path, port=0, program=program).start())


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NatsServerError, match="there is no nats-server in"):
        find_nats_server()


@pytest.mark.parametrize("content", [b'{"app": ', b'{"app":"\xba"}'])
def test_damaged_credentials_are_not_replaced_silently(tmp_path: Path, content: bytes):
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "credentials.json").write_bytes(content)

    with pytest.raises(NatsServerError, match=r"credentials\.json is damaged"):
        asyncio.run(NatsServer(data=tmp_path, port=0).start())


async def connect(server: NatsServer, user: str) -> Client:
    """A client that comes back quickly; only the application user has its library's default inboxes."""
    inbox = "_INBOX" if user == APP else private_inbox(user)
    return await nats.connect(
        server.url_for(user), inbox_prefix=inbox.encode(), reconnect_time_wait=0.05, max_reconnect_attempts=-1
    )


async def port_of(server: NatsServer) -> int:
    async with server:
        return server.port


def taken(port: int) -> socket.socket:
    """A listener on that port, or on any that is free (0), until the end of the `with`."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def is_unlocked(data: Path) -> bool:
    with (data / "nats" / "lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)).removeprefix("."): path.stat().st_mode & 0o777
        for path in [folder, *folder.iterdir()]
    }


def test_the_services_own_passwords_are_others_after_each_start_where_that_is_asked_for(tmp_path: Path):
    async def once() -> dict[str, str]:
        async with NatsServer(data=tmp_path, port=0, renews_own_logins=True) as server:
            return {user: server.url_for(user) for user in USERS}

    first, second = asyncio.run(once()), asyncio.run(once())

    assert {user for user in USERS if first[user] == second[user]} == {APP, ADMIN}
