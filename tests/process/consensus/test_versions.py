"""A build that knows one kind of command more is rolled in, back before its first use, and in again; after the first use an older one
is refused by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from rostra.clients.consensus import ConsensusClient, Proposal, ProposalResult
from rostra.errors import RostraError, Unsupported
from rostra.rpc.channels import connect

from ..harness.program import Program, this_rostra
from ..harness.waiting import eventually
from . import newer
from .servers import Server, Servers, started

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with started(Servers(tmp_path, 3, first_host=71)) as found:
        yield found


def roll(servers: Servers, server: Server, program: Program) -> None:
    """Another build takes a server's place, and its folder."""
    server.kill()
    server.program = program
    server.start()
    servers.wait_for_leader()
    eventually(lambda: server.api.get("/v1/catalog/nodes").status_code == 200, 20, f"{server.name} answers")


def propose(server: Server, data: bytes, level: int) -> ProposalResult:
    async def ask() -> ProposalResult:
        async with connect(f"unix:{server.data}/consensus.sock") as channel, ConsensusClient(channel).propose() as stream:
            await stream.send([Proposal(1, data, 5.0, level=level)])
            (result,) = await stream.receive()
            return result

    return asyncio.run(ask())


def refusal(server: Server, level: int = newer.LEVEL) -> RostraError | None:
    error = propose(server, newer.note("too-early"), level).error
    return error if isinstance(error, Unsupported) else None


def nodes(server: Server) -> set[str]:
    return {node["Node"] for node in server.api.get("/v1/catalog/nodes").json()}


def test_rolled_in_and_back_before_the_first_use_and_not_after(servers: Servers, tmp_path: Path) -> None:
    old, new = this_rostra(), newer.build(tmp_path / "newer")
    first, second, third = servers.all
    first.api.register("old-command", "127.0.0.1")

    for server in (first, second):
        roll(servers, server, new)
    assert isinstance(eventually(lambda: refusal(first), 20, "refused while one server is old"), Unsupported)
    roll(servers, third, new)
    roll(servers, third, old)  # back before the first use: it runs as before
    third.api.register("by-the-old-build", "127.0.0.1")
    refused = eventually(lambda: refusal(second), 20, "refused again")
    assert "understands level" in str(refused)
    assert "too-early" not in nodes(second)

    roll(servers, third, new)
    name = "first-use"

    def used() -> bool:
        result = propose(second, newer.note(name), newer.LEVEL)
        return result.error is None

    eventually(used, 20, "used once every server understands it")
    for server in servers.all:
        eventually(lambda server=server: nodes(server) >= {name, "old-command", "by-the-old-build"}, 20)  # type: ignore[misc]

    third.kill()
    third.program = old
    third.start()
    assert third.running().wait(30) != 0
    assert f"has used commands of level {newer.LEVEL}" in third.running().output
    third.program = new
    third.start()
    servers.wait_for_leader()
    eventually(lambda: name in nodes(third), 20)
