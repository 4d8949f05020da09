"""Addresses for processes that can be cut off from each other: network namespaces on a bridge, if root may
make them.

Elsewhere they are addresses of the loopback, and nothing can be cut.
"""

import ctypes
import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_NAMESPACES = Path("/run/netns")
_PREFIX = "hyplab"
_CLONE_NEWNET = 0x40000000


class Network:
    """Several hosts, by name, each with an address that this process reaches, too."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.addresses = addresses

    @property
    def can_cut(self) -> bool:
        return False

    def namespace(self, name: str) -> Path | None:
        """The network namespace of a host's processes; `None` if they share that of this process."""
        return None

    def cut(self, to: str, of: str | None) -> None:
        """Drops all packets to a host, from one host or from all (`None`)."""
        raise NotImplementedError

    def heal(self) -> None:
        """Lets all packets arrive again."""


class _Bridged(Network):
    def __init__(self, addresses: dict[str, str], block: str) -> None:
        super().__init__(addresses)
        self._prefix = f"{_PREFIX}-{os.getpid()}-"
        self._bridge = f"hyp{os.getpid() % 10**7}"
        self._block = block

    @property
    def can_cut(self) -> bool:
        return True

    def namespace(self, name: str) -> Path:
        return _NAMESPACES / f"{self._prefix}{name}"

    def begin(self) -> None:
        lines = [
            f"link add {self._bridge} type bridge",
            f"addr add {self._block}.254/24 dev {self._bridge}",
            f"link set {self._bridge} up",
        ]
        for number, name in enumerate(self.addresses):
            ours, namespace = f"{self._bridge}-{number}", self.namespace(name).name
            lines += [
                f"netns add {namespace}",
                f"link add {ours} type veth peer name eth0 netns {namespace}",
                f"link set {ours} master {self._bridge} up",
                f"-n {namespace} addr add {self.addresses[name]}/24 dev eth0",
                f"-n {namespace} link set eth0 up",
                f"-n {namespace} link set lo up",
            ]
        for line in lines:
            _ip(*line.split())

    def end(self) -> None:
        for name in self.addresses:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", self.namespace(name).name)
        with suppress(subprocess.CalledProcessError):
            _ip("link", "delete", self._bridge)

    def cut(self, to: str, of: str | None) -> None:
        source = [] if of is None else ["-s", self.addresses[of]]
        self._filter(to, "-I", "INPUT", *source, "!", "-i", "lo", "-j", "DROP")

    def heal(self) -> None:
        for name in self.addresses:
            self._filter(name, "-F", "INPUT")

    def _filter(self, name: str, *arguments: str) -> None:
        _ip("netns", "exec", self.namespace(name).name, "iptables", "-w", *arguments)


@cache
def can_bridge() -> bool:
    """True if namespaces can be made, and their packets can be dropped."""
    try:
        with _bridged({"x": ""}) as network:
            network.cut("x", None)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """A network of these hosts for the length of the block."""
    hosts = dict.fromkeys(names, "")
    if can_bridge():
        with _bridged(hosts) as found:
            yield found
        return
    block = f"127.{random.SystemRandom().randrange(1, 255)}.{random.SystemRandom().randrange(1, 255)}"
    yield Network({name: f"{block}.{number}" for number, name in enumerate(hosts, 1)})


@contextmanager
def _bridged(hosts: dict[str, str]) -> Iterator[_Bridged]:
    _remove_leftovers()
    block = f"10.213.{random.SystemRandom().randrange(1, 255)}"
    found = _Bridged({name: f"{block}.{number}" for number, name in enumerate(hosts, 1)}, block)
    try:
        found.begin()
        yield found
    finally:
        found.end()


def _remove_leftovers() -> None:
    """Removes namespaces and links that killed processes have left."""
    for one in _NAMESPACES.glob(f"{_PREFIX}-*") if _NAMESPACES.exists() else ():
        pid = one.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", one.name)
            with suppress(subprocess.CalledProcessError):
                _ip("link", "delete", f"hyp{int(pid) % 10**7}")


def enter(namespace: Path) -> None:
    """Moves this process, which must have only one thread, to the host with that namespace."""
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"{namespace} cannot be entered")
    finally:
        os.close(descriptor)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
