"""Fixtures and settings for all tests."""

import os

# No test depends on which other packages with aggregates happen to be installed. It is set before any module
# of ours is imported, since the catalogue is made then.
os.environ["HYPERPAGE_AGGREGATES"] = "none"

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.clock import Clock
from tests.support.examples import IN_FULL, examples
from tests.support.figures import figures_in
from tests.support.machines.bucket_server import CREDENTIALS, BucketServer
from tests.support.services.asking import HttpTalk

# No deadline for one example: on a busy machine it would fail tests that are right. A failure prints how
# to run the very same example again.
settings.register_profile("hyperpage", deadline=None, print_blob=True, max_examples=examples(100))
settings.load_profile("hyperpage")

# More workers need more memory than a usual machine has to spare.
MOST_WORKERS = 8

# A shell's background jobs ignore Ctrl-C, and so would every program that a test sends it to.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Three workers for two cores, since tests wait for disks and servers. Each takes up to 0.8 GB.

    Four take as long, and more tests wait in vain for what other tests' processes delay.
    """
    return min((3 * (os.cpu_count() or 1) + 1) // 2, MOST_WORKERS)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Freezes the collected tests, thousands of objects, so that the garbage collector never scans them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests of Hypothesis `prove` in a run that tries all of their examples."""
    for item in items:
        if IN_FULL and getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("prove")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the figures that tests have counted at the end of a run, also of tests that pass."""
    reports = [one for status in ("passed", "failed") for one in terminalreporter.stats.get(status, [])]
    if figures := figures_in(reports):
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def nats_container_url() -> Iterator[str]:
    """The address of a nats-server with JetStream, in a container that is gone after the session.

    The image is `HYPERPAGE_TEST_NATS_IMAGE`; `.ci/docker-api` makes one where there is no registry to
    pull it from.
    """
    import docker
    from docker.errors import DockerException, ImageNotFound
    from testcontainers.community.nats import NatsContainer

    try:
        client = docker.from_env(timeout=10)
        client.ping()
    except DockerException as error:
        pytest.skip(f"no Docker API to start a container with (`.ci/docker-api make test` has one): {error}")

    image = os.environ.get("HYPERPAGE_TEST_NATS_IMAGE", "nats:2.15")
    try:
        client.images.get(image)
    except ImageNotFound:
        try:
            client.images.pull(image)
        except DockerException as error:
            pytest.skip(f"the image {image} is not here and cannot be pulled: {error}")
    finally:
        client.close()

    with NatsContainer(image, jetstream=True, ready_timeout_secs=30) as container:
        yield container.nats_uri()


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """A real S3-compatible server for the session, with its credentials in the environment of the tests."""
    server = BucketServer(tmp_path_factory.mktemp("bucket-server") / "data")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in CREDENTIALS.items():
            patched.setenv(name, value)
        yield server
    server.stop()


@pytest.fixture
def clock() -> Clock | None:
    """The clock of the service of `talk`: the machine's, unless a test module overrides this fixture."""
    return None


@pytest.fixture
def talk(tmp_path: Path, clock: Clock | None) -> Iterator[HttpTalk]:
    """A service for one test, which is asked on the bus and over HTTP."""
    with HttpTalk(tmp_path, clock=clock) as talk:
        yield talk
