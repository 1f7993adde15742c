"""Real Serf and Consul agents on loopback addresses of their own, and our pool beside them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rostra.gossip.keyring import encode_key
from rostra.gossip.pool import Pool, PoolConfig
from rostra.gossip.timing import LAN, Timing
from rostra.model.members import MemberStatus

from ...process.harness.pressure import stretched

_numbers = itertools.count(1)


def loopback() -> str:
    """An address that no other test uses at the same time: there every port is free."""
    process = os.getpid()
    return f"127.{100 + process % 100}.{process // 100 % 250}.{next(_numbers) % 250 + 1}"


async def until(condition: Callable[[], Any], at_most_s: float, what: str) -> float:
    """Ask until it is so; how long it took."""
    started = time.monotonic()
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return time.monotonic() - started
        assert time.monotonic() - started < stretched(at_most_s), f"not within {at_most_s} s: {what}"
        await asyncio.sleep(0.1)


async def output_of(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    return output.decode()


@dataclass
class Agent:
    """A running agent that is not ours."""

    name: str
    address: str
    command: Sequence[str]
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )

    async def stop(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        await self.process.wait()

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)

    async def statuses(self) -> dict[str, str]:
        raise NotImplementedError

    async def sees(self, name: str, status: str) -> bool:
        return (await self.statuses()).get(name) == status


@dataclass
class SerfAgent(Agent):
    port: int = 7946
    events: Path | None = None

    async def run(self, *arguments: str) -> str:
        return await output_of("serf", arguments[0], f"-rpc-addr={self.address}:7373", *arguments[1:])

    async def members(self) -> dict[str, dict[str, Any]]:
        try:
            return {member["name"]: member for member in json.loads(await self.run("members", "-format=json"))["members"]}
        except ValueError:  # not up yet
            return {}

    async def statuses(self) -> dict[str, str]:
        return {name: member["status"] for name, member in (await self.members()).items()}


@dataclass
class ConsulAgent(Agent):
    port: int = 8301

    async def run(self, *arguments: str) -> str:
        return await output_of("consul", *arguments, f"-http-addr={self.address}:8500")

    async def statuses(self) -> dict[str, str]:
        lines = (await self.run("members")).splitlines()[1:]
        return {line.split()[0]: line.split()[2] for line in lines if len(line.split()) > 2}


@dataclass
class Cluster:
    """Everything one test started; all of it is stopped when the test ends."""

    folder: Path
    keys: tuple[bytes, ...] = ()
    agents: list[Agent] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def serf(self, name: str, *, join: str = "", tags: Sequence[str] = ("role=web",)) -> SerfAgent:
        address = loopback()
        command = ["serf", "agent", f"-node={name}", f"-bind={address}:7946", f"-rpc-addr={address}:7373"]
        command += [f"-tag={tag}" for tag in tags]
        if self.keys:
            ring = self.folder / f"{name}.ring"
            ring.write_text(json.dumps([encode_key(key) for key in self.keys]))
            ring.chmod(0o600)
            command.append(f"-keyring-file={ring}")
        events = self.folder / f"{name}.events"
        handler = self.folder / f"{name}.sh"
        handler.write_text(
            f'#!/bin/sh\necho "$SERF_EVENT $SERF_USER_EVENT$SERF_QUERY_NAME $(cat)" >> {events}\nprintf "%s says hello" {name}\n'
        )
        handler.chmod(0o755)
        command += [f"-event-handler=user={handler}", f"-event-handler=query={handler}"]
        if join:
            command.append(f"-join={join}")
        agent = SerfAgent(name, address, command, events=events)
        self.agents.append(agent)
        await agent.start()
        await until(lambda: agent.sees(name, "alive"), 15, f"{name} is up")
        return agent

    async def consul(self, name: str, *, server: bool = True, join: str = "") -> ConsulAgent:
        address = loopback()
        command = ["consul", "agent", f"-node={name}", f"-bind={address}", f"-client={address}", f"-data-dir={self.folder / name}"]
        command += ["-server", "-bootstrap-expect=1"] if server else []
        if self.keys:
            command.append(f"-encrypt={encode_key(self.keys[0])}")
        if join:
            command.append(f"-join={join}")
        agent = ConsulAgent(name, address, command)
        self.agents.append(agent)
        await agent.start()
        await until(lambda: agent.sees(name, "alive"), 30, f"{name} is up")
        return agent

    async def ours(
        self,
        name: str,
        *,
        host: str = "",
        port: int = 7946,
        timing: Timing = LAN,
        tags: dict[str, str] | None = None,
        votes_on_names: bool = False,
    ) -> Pool:
        tags = tags or {"role": "rostra", "dc": "dc1"}
        host = host or loopback()
        pool = Pool(PoolConfig("lan", name, host, port, tags, timing=timing, keys=self.keys, votes_on_names=votes_on_names))
        self.tasks[name] = asyncio.create_task(pool.run(), name=name)
        await asyncio.wait([self.tasks[name], asyncio.ensure_future(pool.ready.wait())], return_when=asyncio.FIRST_COMPLETED)
        assert pool.ready.is_set()
        return pool

    async def crash(self, pool: Pool) -> None:
        """Stop answering, without a word."""
        task = self.tasks.pop(pool.name)
        task.cancel()
        await asyncio.wait([task])

    async def stop(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks.values())
        for agent in self.agents:
            if agent.process is not None and agent.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    await agent.kill()


@contextlib.asynccontextmanager
async def running_cluster(keys: tuple[bytes, ...] = ()) -> AsyncIterator[Cluster]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), keys)
        try:
            yield cluster
        finally:
            await cluster.stop()


def sees(pool: Pool, name: str, status: MemberStatus) -> bool:
    return any(member.name == name and member.status is status for member in pool.members())
