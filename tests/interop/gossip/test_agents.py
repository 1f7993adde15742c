"""Whole rostra agents, started as a user starts them, in one pool with real Serf and Consul agents."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

import rostra
from rostra.gossip.keyring import encode_key

from .peers import Agent, Cluster, loopback, output_of, running_cluster, until

pytestmark = [pytest.mark.interop("consul", "serf"), pytest.mark.timeout(180)]

OLD, NEW = encode_key(bytes(range(16))), encode_key(bytes(range(32)))
STATUSES = {1: "alive", 2: "leaving", 3: "left", 4: "failed"}
_COMMAND = [sys.executable, "-c", "import sys; from rostra.cli.main import main; sys.exit(main())"]
_ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(str(Path(entry).parent) for entry in rostra.__path__))}


@dataclass
class RostraAgent(Agent):
    """One of ours, as a process."""

    log: Path = field(default_factory=Path)

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, env={**os.environ, **_ENVIRONMENT}, stdout=log, stderr=subprocess.STDOUT
            )

    async def run(self, *arguments: str) -> str:
        """Output of a client command, whatever comes of it."""
        command = [*_COMMAND, *arguments, f"-http-addr={self.address}:8500"]
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **_ENVIRONMENT}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        return output.decode()

    async def statuses(self) -> dict[str, str]:
        try:
            return {member["Name"]: STATUSES[member["Status"]] for member in json.loads(await self.run("members", "-format=json"))}
        except ValueError:  # not up yet
            return {}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster((bytes(range(16)),)) as found:
        yield found


async def start(cluster: Cluster, name: str, *flags: str) -> RostraAgent:
    address, data = loopback(), cluster.folder / f"{name}-data"
    command = [
        *_COMMAND,
        "agent",
        f"-node={name}",
        f"-bind={address}",
        f"-client={address}",
        f"-data-dir={data}",
        f"-encrypt={OLD}",
        *flags,
    ]
    agent = RostraAgent(name, address, command, log=cluster.folder / f"{name}.log")
    cluster.agents.append(agent)
    await agent.start()
    await until(lambda: agent.sees(name, "alive"), 30, f"{name} is up")
    return agent


async def test_keys_are_rotated_through_rostra_keyring_across_a_mixed_pool(cluster: Cluster) -> None:
    consul = await cluster.consul("consul")
    serf = await cluster.serf("serf", join=f"{consul.address}:8301", tags=("role=web",))
    server = await start(cluster, "ours", "-server", "-bootstrap", f"-retry-join={consul.address}")
    client = await start(cluster, "client", f"-retry-join={server.address}")
    everyone = ("consul", "serf", "ours", "client")
    for agent in (consul, serf, server, client):
        for name in everyone:
            await until(partial(agent.sees, name, "alive"), 20, f"{agent.name} sees {name}")

    for change in (f"-install={NEW}", f"-use={NEW}", f"-remove={OLD}"):
        assert (await server.run("keyring", change)).startswith("==> ")
        assert "rror" not in await server.run("keyring", "-list")
    assert f"dc1 (LAN):\n  {NEW} [4/4]" in await server.run("keyring", "-list")
    # The real Consul's own WAN pool is another one: its keyring is still the old. In the LAN pool it has followed.
    assert re.search(rf"dc1 \(LAN\):\s+{re.escape(NEW)} \[4/4\]", await consul.run("keyring", "-list"))
    assert json.loads((cluster.folder / "client-data/gossip/lan.keyring").read_text()) == [NEW]
    for agent in (consul, serf, server, client):
        statuses = await agent.statuses()
        assert [statuses[name] for name in everyone] == ["alive"] * 4, agent.name
    assert "member failed" not in server.log.read_text() + client.log.read_text()

    await client.kill()
    await until(partial(serf.sees, "client", "failed"), 30, "serf saw it fail")
    await client.start()  # with the old key in its flags
    for agent in (consul, serf, server):
        await until(partial(agent.sees, "client", "alive"), 40, f"{agent.name} has it back")


async def test_beside_consul_servers_we_warn_and_neither_takes_the_other_for_its_own(cluster: Cluster) -> None:
    consul = await cluster.consul("consul")
    server = await start(cluster, "ours", "-server", "-bootstrap", f"-retry-join={consul.address}")
    await until(partial(consul.sees, "ours", "alive"), 20, "it sees us")
    await until(lambda: "this pool has Consul servers" in server.log.read_text(), 10, "we warn")
    warning = next(line for line in server.log.read_text().splitlines() if "this pool has Consul servers" in line)
    assert "membership and events work" in warning
    assert "Consul clients cannot use our servers" in warning
    assert server.log.read_text().count("this pool has Consul servers") == 1
    assert "server=consul" not in server.log.read_text(), "it is no server of ours"
    assert [line.split()[0] for line in (await consul.run("operator", "raft", "list-peers")).splitlines()[1:]] == ["consul"]
    peers = await asyncio.to_thread(_get, f"http://{server.address}:8500/v1/status/peers")
    assert peers == [f"{server.address}:8300"]
    assert "is not a server's" in await server.run("join", "-wan", consul.address)
    assert _names(await server.run("members", "-wan")) == ["ours.dc1"]
    assert _names(await consul.run("members", "-wan")) == ["consul.dc1"]


async def test_force_leave_and_rtt_work_among_agents_of_all_kinds(cluster: Cluster) -> None:
    consul = await cluster.consul("consul")
    server = await start(cluster, "ours", "-server", "-bootstrap", f"-retry-join={consul.address}")
    serf = await cluster.serf("serf", join=f"{consul.address}:8301")
    for agent in (consul, server):
        await until(partial(agent.sees, "serf", "alive"), 20, f"{agent.name} sees serf")

    async def knows_both() -> bool:
        return "rtt:" in await server.run("rtt", "consul", "serf")

    await until(knows_both, 20, "coordinates of both")
    await serf.kill()
    for agent in (consul, server):
        await until(partial(agent.sees, "serf", "failed"), 40, f"{agent.name} saw it fail")
    assert await server.run("force-leave", "serf") == ""
    for agent in (consul, server):
        await until(partial(agent.sees, "serf", "left"), 20, f"{agent.name} took our word")
    assert await output_of("consul", "force-leave", "-prune", f"-http-addr={consul.address}:8500", "serf") == ""

    async def gone(agent: Agent) -> bool:
        return "serf" not in await agent.statuses()

    for agent in (consul, server):
        await until(partial(gone, agent), 30, f"{agent.name} pruned it")


def _get(url: str) -> object:
    return httpx.get(url, trust_env=False).json()


def _names(table: str) -> list[str]:
    return [line.split()[0] for line in table.splitlines()[1:]]
