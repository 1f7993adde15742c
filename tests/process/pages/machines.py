"""Machines that cost nothing: network namespaces on one bridge, each with a host name, a loopback device and a /var/lib of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

BRIDGE = "docs0"
HOST_NAME = "laptop"
"""Of the machine on which a page begins."""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)


class Machine:
    """Where commands run. The first is the namespace that this process is in; others are made when they are first named."""

    def __init__(self, name: str = "", number: int = 0) -> None:
        self.prefix: Sequence[str] = ()
        self._holder: subprocess.Popen[bytes] | None = None
        if name:
            self._make(name, number)

    def _make(self, name: str, number: int) -> None:
        """Its address is 10.0.0.NUMBER, in the order in which a page names machines."""
        script = f"hostname {name} && mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/rostra && ip link set lo up && echo && exec sleep 600"
        self._holder = subprocess.Popen(["unshare", "--net", "--uts", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline(), f"no machine {name}"
        pid = str(self._holder.pid)
        self.prefix = ["nsenter", "--net", "--uts", "--mount", f"--target={pid}", f"--wdns={os.getcwd()}"]
        ip("link", "add", f"to-{number}", "type", "veth", "peer", "name", "eth0", "netns", pid)
        ip("link", "set", f"to-{number}", "master", BRIDGE, "up")
        for words in (["addr", "add", f"10.0.0.{number}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            subprocess.run([*self.prefix, "ip", *words], check=True, capture_output=True, timeout=30)

    def close(self) -> None:
        if self._holder is not None:
            with contextlib.suppress(ProcessLookupError):
                self._holder.send_signal(signal.SIGKILL)
            self._holder.wait()


class Machines:
    """All of a page, by name; the one without a name is where it begins."""

    def __init__(self) -> None:
        subprocess.run(["hostname", HOST_NAME], check=True)
        ip("link", "set", "lo", "up")
        self._by_name = {"": Machine()}

    def find(self, name: str) -> Machine:
        if name not in self._by_name:
            if len(self._by_name) == 1:
                ip("link", "add", BRIDGE, "type", "bridge")
                ip("link", "set", BRIDGE, "up")
            self._by_name[name] = Machine(name, len(self._by_name))
        return self._by_name[name]

    def close(self) -> None:
        for machine in self._by_name.values():
            machine.close()
