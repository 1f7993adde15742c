"""A steady load on every agent: registrations, writes and reads of a few registers, watches that move between agents, look-ups in DNS."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype
import httpx

from .fleet import SERVICE, Agent, Fleet
from .history import Call, History, Kind

REGISTERS: Final = 4
CALL_LIMIT_S: Final = 12.0
WATCH_S: Final = 600
DNS_LIMIT_S: Final = 3.0
PAUSE_S: Final = 0.04
AFTER_FAILURE_S: Final = 0.2


class Load:
    """Whom it asks follows ``favourites``: half of all calls go there, where there are any."""

    def __init__(self, fleet: Fleet, history: History, rng: random.Random) -> None:
        self._fleet = fleet
        self._history = history
        self._rng = rng
        self.favourites: Sequence[Agent] = ()
        self.written: dict[str, str] = {}
        """Each register's last value that was acknowledged."""
        self._watched: dict[str, str] = {}
        self._news = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """From entering to leaving."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        async with httpx.AsyncClient(timeout=CALL_LIMIT_S, trust_env=False, limits=limits) as self._http:
            names = [f"register-{number}" for number in range(REGISTERS)]
            writing: list[Coroutine[Any, Any, None]] = [self._register(f"{number}") for number in range(2)]
            writing += [self._write(name) for name in names]
            reading: list[Coroutine[Any, Any, None]] = [self._watch(name) for name in names]
            reading += [self._read(names) for _ in range(3)]
            reading += [self._look_up() for _ in range(2)]
            async with asyncio.TaskGroup() as tasks:
                self._writers = [tasks.create_task(each) for each in writing]
                readers = [tasks.create_task(each) for each in reading]
                try:
                    yield self
                finally:
                    await _end([*self._writers, *readers])

    async def write_last(self) -> None:
        """Ends all writing with one more write to each register, which is acknowledged: every watcher has to see it."""
        self.favourites = ()
        for task in self._writers:
            task.cancel()
        for register in self.written:
            body = {"Node": register, "Address": "192.0.2.2", "NodeMeta": {"value": f"{register}/last"}}
            while not await self._put(Kind.WRITE, register, body, f"{register}/last"):
                pass
            self.written[register] = f"{register}/last"

    async def until_watched(self) -> None:
        """Until every watcher knows the last value of its register."""
        while any(self._watched.get(register) != value for register, value in self.written.items()):
            self._news.clear()
            await self._news.wait()

    def _choose(self) -> Agent:
        agents = self.favourites if self.favourites and self._rng.random() < 0.5 else self._fleet.all
        return self._rng.choice(agents)

    async def _register(self, name: str) -> None:
        """Nodes that are never taken away again."""
        number = 0
        while True:
            number += 1
            node = f"kept-{name}-{number}"
            service = {"Service": f"service-{number % 7}", "Port": 1 + number % 60_000}
            await self._put(Kind.REGISTER, node, {"Node": node, "Address": "192.0.2.1", "Service": service}, node)
            await self._pause(4)

    async def _write(self, register: str) -> None:
        """One writer for each register; it reads what it wrote, somewhere else."""
        number = 0
        while True:
            number += 1
            value = f"{register}/{number}"
            body = {"Node": register, "Address": "192.0.2.2", "NodeMeta": {"value": value}}
            if await self._put(Kind.WRITE, register, body, value):
                self.written[register] = value
                await self._get(Kind.READ, register, "")
            await self._pause(3)

    async def _put(self, kind: Kind, subject: str, body: object, value: str) -> bool:
        agent, began = self._choose(), self._history.now_s()
        done, problem = False, "given up"
        try:
            answer = await self._http.put(f"{agent.http}/v1/catalog/register", json=body)
            done, problem = answer.status_code == 200, "" if answer.status_code == 200 else f"{answer.status_code} {answer.text.strip()}"
        except httpx.HTTPError as error:
            problem = type(error).__name__
        finally:
            self._note(kind, agent, subject, began, is_certain=done, value=value, problem=problem)
        if not done:
            await asyncio.sleep(AFTER_FAILURE_S)
        return done

    async def _read(self, registers: Sequence[str]) -> None:
        while True:
            kind, how = self._rng.choice([(Kind.READ, ""), (Kind.READ, ""), (Kind.READ, "?consistent"), (Kind.STALE_READ, "?stale")])
            await self._get(kind, self._rng.choice(registers), how)
            await self._pause(1)

    async def _get(self, kind: Kind, register: str, how: str) -> None:
        agent, began = self._choose(), self._history.now_s()
        value, position, problem = "", 0, ""
        try:
            answer = await self._http.get(f"{agent.http}/v1/catalog/node/{register}{how}")
            if answer.status_code == 200:
                value, position = _seen(answer.json())
            else:
                problem = f"{answer.status_code} {answer.text.strip()}"
        except httpx.HTTPError as error:
            problem = type(error).__name__
        self._note(kind, agent, register, began, is_certain=not problem, value=value, position=position, problem=problem)
        if problem:
            await asyncio.sleep(AFTER_FAILURE_S)

    async def _watch(self, register: str) -> None:
        """Moves to another agent after every answer, and takes its index along."""
        index = "0"
        while True:
            agent, began = self._choose(), self._history.now_s()
            url = f"{agent.http}/v1/catalog/node/{register}?index={index}&wait={WATCH_S}s"
            value, position, problem = "", 0, ""
            try:
                answer = await self._http.get(url, timeout=httpx.Timeout(CALL_LIMIT_S, read=WATCH_S * 1.2))
                if answer.status_code == 200:
                    index = answer.headers["X-Consul-Index"]
                    value, position = _seen(answer.json())
                    self._watched[register] = value
                    self._news.set()
                else:
                    problem = f"{answer.status_code} {answer.text.strip()}"
            except httpx.HTTPError as error:
                problem = type(error).__name__
            self._note(Kind.WATCH, agent, register, began, is_certain=not problem, value=value, position=position, problem=problem)
            if problem:
                await asyncio.sleep(AFTER_FAILURE_S)

    async def _look_up(self) -> None:
        question = f"{SERVICE}.service.consul."
        while True:
            agent, began = self._choose(), self._history.now_s()
            found, problem = "", ""
            try:
                asked = dns.message.make_query(question, "A", flags=0)
                answer = await dns.asyncquery.udp(asked, agent.host.client_address, port=8600, timeout=DNS_LIMIT_S)
                wanted = dns.rdatatype.A
                found = " ".join(sorted(item.to_text() for rrset in answer.answer if rrset.rdtype == wanted for item in rrset))
                problem = "" if found else f"no address, {answer.rcode().name}"
            except (dns.exception.DNSException, OSError) as error:
                problem = type(error).__name__
            self._note(Kind.DNS, agent, SERVICE, began, is_certain=not problem, value=found, problem=problem)
            await self._pause(2)

    def _note(
        self, kind: Kind, agent: Agent, subject: str, began: float, *, is_certain: bool, value: str, position: int = 0, problem: str
    ) -> None:
        ended = self._history.now_s()
        self._history.calls.append(Call(kind, agent.name, subject, began, ended, is_certain, value, position, problem))

    async def _pause(self, times: int) -> None:
        await asyncio.sleep(PAUSE_S * times * self._rng.uniform(0.5, 1.5))


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Asks again until each has ended: ``wait_for``, which libraries use, can swallow a cancellation (Python before 3.12)."""
    pending: Collection[asyncio.Task[None]] = [task for task in tasks if not task.done()]
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1.0)


def _seen(body: Any) -> tuple[str, int]:
    """Value and log index of a register, as ``/v1/catalog/node/NAME`` tells them; nothing where it does not exist yet."""
    if body is None:
        return "", 0
    return body["Node"]["Meta"]["value"], body["Node"]["ModifyIndex"]
