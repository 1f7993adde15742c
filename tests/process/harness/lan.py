"""Hosts of our own on one machine: network namespaces on a bridge, whose links can be cut in one direction or both.

Each host has two addresses. ``address`` is on the network that agents talk over and that faults are made on; ``client_address`` is on
another, never harmed, by which tests ask every agent at any time. A link is cut by an entry in the neighbour table that leads to
nobody: what is sent that way is lost in silence, as on a broken wire, and connections that stand are not told. What a host sends is
delayed by netem; where the kernel has none, by a link too narrow for it (a token bucket, whose queue delays, and drops what is too much).
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import socket
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .program import Program, this_rostra

NOBODY: Final = "02:00:00:00:00:fe"
COMMAND_LIMIT_S: Final = 60.0
NETWORKS: Final = 100
DELAYED: Final = ("netem", "delay", "80ms", "60ms")
LOSSY: Final = ("netem", "loss", "15%")
NARROW: Final = ("tbf", "rate", "400kbit", "burst", "16kb", "latency", "300ms")
"""Milliseconds of waiting for a server under the load of these tests, some hundred when it has more to say."""


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace of its own, with loopback and two interfaces."""

    name: str
    namespace: str
    address: str
    client_address: str

    def program(self) -> Program:
        """rostra, on this host."""
        ours = this_rostra()
        return Program(["ip", "netns", "exec", self.namespace, *ours.command], ours.environment)


def reason_against() -> str:
    """Why there can be no such hosts here; nothing if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            return f"needs {program} (iproute2) on PATH"
    name = f"rostra-{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (OSError, subprocess.SubprocessError) as error:
        return f"no network namespaces: {error}"
    return ""


class Lan:
    """All hosts of one test, on networks that no other test of this machine has meanwhile."""

    def __init__(self, names: Sequence[str]) -> None:
        # Never a name given before: a namespace, and its end of a link, live on until the last process in it is gone.
        self._tag = f"r{secrets.token_hex(3)}"
        self._claim, number = _claim_network()
        self._networks = f"10.{100 + number}.1", f"10.{100 + number}.2"
        self._bridges = f"{self._tag}a", f"{self._tag}b"
        self._cut: set[tuple[str, str]] = set()
        self._shaped: set[str] = set()
        self._has_netem = False
        self.hosts = {
            name: Host(name, f"{self._tag}-{name}", *(f"{network}.{place}" for network in self._networks))
            for place, name in enumerate(names, 1)
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[Lan]:
        """Everything is made on entering, and taken away on leaving."""
        try:
            self._make()
            yield self
        finally:
            for host in self.hosts.values():
                for which in range(len(self._bridges)):
                    _try("link", "del", self._outside(host, which))
                _try("netns", "del", host.namespace)
            for bridge in self._bridges:
                _try("link", "del", bridge)
            self._claim.close()

    @property
    def has_netem(self) -> bool:
        """Whether the kernel can delay and lose packets; known once it runs."""
        return self._has_netem

    @property
    def is_whole(self) -> bool:
        return not self._cut

    def cut(self, sender: str, receiver: str) -> None:
        """From now on nothing that ``sender`` sends reaches ``receiver``."""
        if (sender, receiver) not in self._cut:
            self._cut.add((sender, receiver))
            self._neighbour(sender, receiver, NOBODY)

    def mend(self, sender: str, receiver: str) -> None:
        if (sender, receiver) in self._cut:
            self._cut.discard((sender, receiver))
            self._neighbour(sender, receiver, _mac(0, self._place(receiver)))

    def silence(self, senders: Collection[str], receivers: Collection[str]) -> None:
        """None of the receivers hears any of the senders."""
        for sender in senders:
            for receiver in receivers:
                self.cut(sender, receiver)

    def partition(self, one: Collection[str], other: Collection[str]) -> None:
        """No host of one side hears any of the other."""
        self.silence(one, other)
        self.silence(other, one)

    def delay(self, sender: str) -> None:
        """What it sends arrives late, and not in order where netem does it."""
        self._shape(sender, DELAYED if self._has_netem else NARROW)

    def lose(self, sender: str) -> None:
        """Some packets of what it sends are lost. Needs netem."""
        self._shape(sender, LOSSY)

    def mend_all(self) -> None:
        for sender, receiver in sorted(self._cut):
            self.mend(sender, receiver)
        for sender in sorted(self._shaped):
            _tc(self.hosts[sender].namespace, "del")
        self._shaped.clear()

    def _shape(self, sender: str, how: Sequence[str]) -> None:
        _tc(self.hosts[sender].namespace, "replace", *how)
        self._shaped.add(sender)

    def _make(self) -> None:
        for bridge in self._bridges:
            _ip("link", "add", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
        _ip("address", "add", f"{self._networks[1]}.254/24", "dev", self._bridges[1])
        for host in self.hosts.values():
            _ip("netns", "add", host.namespace)
            _ip("-n", host.namespace, "link", "set", "lo", "up")
            for which, address in enumerate((host.address, host.client_address)):
                self._plug(host, which, address)
        for sender in self.hosts:  # known for good, so that cutting a link is only a change of the entry
            for receiver in self.hosts:
                if receiver != sender:
                    self._neighbour(sender, receiver, _mac(0, self._place(receiver)))
        some = next(iter(self.hosts.values())).namespace
        with contextlib.suppress(OSError):
            _tc(some, "replace", *DELAYED)
            self._has_netem = True
            _tc(some, "del")

    def _plug(self, host: Host, which: int, address: str) -> None:
        place = self._place(host.name)
        outside = self._outside(host, which)
        inside = f"eth{which}"
        peer = ("peer", "name", inside, "address", _mac(which, place), "netns", host.namespace)
        _ip("link", "add", outside, "type", "veth", *peer)
        _ip("link", "set", outside, "master", self._bridges[which], "up")
        _ip("-n", host.namespace, "address", "add", f"{address}/24", "dev", inside)
        _ip("-n", host.namespace, "link", "set", inside, "up")

    def _outside(self, host: Host, which: int) -> str:
        """The name of this machine's end of the host's link."""
        return f"{self._bridges[which]}{self._place(host.name)}"

    def _neighbour(self, sender: str, receiver: str, mac: str) -> None:
        address = self.hosts[receiver].address
        _ip("-n", self.hosts[sender].namespace, "neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "permanent")

    def _place(self, name: str) -> int:
        return list(self.hosts).index(name) + 1


def _claim_network() -> tuple[socket.socket, int]:
    """A number that is nobody else's as long as the socket is open: a name of an abstract socket is given once. Nor is it one of the
    machine's own, or of a run that was ended before it had taken its networks away."""
    known = Path("/proc/net/fib_trie").read_text()
    for number in random.sample(range(NETWORKS), NETWORKS):
        if any(f" 10.{100 + number}.{which}." in known for which in (0, 1, 2)):
            continue
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0rostra-lan-{number}")
        except OSError:
            claim.close()
        else:
            return claim, number
    raise OSError("every network is taken")


def _mac(which: int, place: int) -> str:
    return f"02:00:00:00:{which:02x}:{place:02x}"


def _tc(namespace: str, what: str, *how: str) -> None:
    _run("tc", "-n", namespace, "qdisc", what, "dev", "eth0", "root", *how)


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def _try(*arguments: str) -> None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        _ip(*arguments)
