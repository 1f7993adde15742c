"""Who speaks something else than gRPC to a port is found by asking the kernel, and named once."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys

import pytest
from prometheus_client import REGISTRY

from rostra.rpc import strangers
from rostra.rpc.hangups import Hangup, hangups
from rostra.rpc.strangers import Strangers

from ...process.harness.ports import free_port
from ...process.harness.waiting import eventually

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def refused() -> float:
    return REGISTRY.get_sample_value("rostra_server_port_refused_total") or 0.0


class Watched(Strangers):
    """Looks come one after the other, without waiting; the last one is the end."""

    def __init__(self, *looks: set[Hangup] | OSError) -> None:
        self.looks = list(looks)
        self.has_reported = asyncio.Event()
        super().__init__(8300, "10.0.0.9", self.next_look, self.pause)

    def next_look(self, port: int, host: str) -> set[Hangup]:
        assert (port, host) == (8300, "10.0.0.9")
        look = self.looks.pop(0)
        if isinstance(look, OSError):
            raise look
        return look

    async def pause(self, seconds: float) -> None:
        if not self.looks:
            self.has_reported.set()
            await asyncio.Event().wait()

    async def watch(self) -> None:
        await self.start()
        task = asyncio.create_task(self.run())
        await self.has_reported.wait()
        task.cancel()
        await asyncio.wait([task])


A1, A2, A3, B1 = Hangup("10.0.0.1", 1), Hangup("10.0.0.1", 2), Hangup("10.0.0.1", 3), Hangup("10.0.0.2", 1)


async def test_each_peer_is_named_once_and_each_connection_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    before = refused()
    with caplog.at_level(logging.WARNING):
        await Watched({A1}, {A1}, {A1, A2}, OSError("not now"), {A2, A3, B1}).watch()
    assert [record.__dict__["peer"] for record in caplog.records] == ["10.0.0.1", "10.0.0.2"]
    assert refused() - before == 4  # A1 was there before us; A2 was forgotten with the look that failed


async def test_so_many_peers_are_named_and_further_ones_are_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "_NAMED_MAX", 3)
    before = refused()
    with caplog.at_level(logging.WARNING):
        await Watched(set(), {Hangup(f"10.0.1.{number}", 1) for number in range(10)}).watch()
    assert len(caplog.records) == 3
    assert refused() - before == 10


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_kernel_tells_which_connections_were_closed_from_here(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if family == socket.AF_INET6 and not has_ipv6():
        pytest.skip("no IPv6 here")
    port = free_port()  # nobody had it a moment ago, whose connections would still be known
    with socket.create_server((host, port), family=family) as server:
        with socket.create_connection((host, port)) as theirs, server.accept()[0] as ours:
            hung_up_on = Hangup(host, theirs.getsockname()[1])
            assert hangups(port) == set()
            ours.close()
            assert theirs.recv(1) == b""
        eventually(lambda: hangups(port) == hangups(port, host) == {hung_up_on}, 5)
        assert hangups(port, "127.0.0.2") == set(), "what another process of this machine hung up on is not ours"
        with socket.create_connection((host, port)) as theirs, server.accept()[0] as ours:
            theirs.close()
            assert ours.recv(1) == b""
        eventually(lambda: hangups(port) == {hung_up_on}, 5)
    with socket.create_server((host, other := free_port()), family=family):
        assert hangups(other) == set()


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
