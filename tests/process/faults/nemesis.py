"""What goes wrong: one fault after another, chosen by a seed, each mended again before the next.

Which links are cut, who is killed and for how long follow from the seed; who leads at that moment does not, so a seed repeats the kinds of
faults and their lengths, not every victim.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .fleet import Agent, Fleet
from .history import Fault, History, Shift
from .load import Load

IN_BRIEF: Final = (
    "kill the leader",
    "pause the leader",
    "stop a server",
    "kill a client",
    "cut off the leader",
    "delay packets",
    "lose packets",
    "fill a disk",
)
"""One of each sort, for a run of about a minute."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A fault that is about to happen: whom it hits, for how long, how it begins and how it is mended."""

    agents: Sequence[Agent]
    hold_s: float
    begin: Callable[[], None]
    mend: Callable[[], None]


class Nemesis:
    """``run`` leaves everything mended. ``haste``: faults are so many times shorter, but for what takes time to be found out."""

    def __init__(self, fleet: Fleet, history: History, rng: random.Random, haste: float = 1.0) -> None:
        self._fleet = fleet
        self._history = history
        self._rng = rng
        self._haste = haste
        self.kinds: Mapping[str, Callable[[], Plan]] = {
            "kill a server": self._kill_a_server,
            "kill the leader": self._kill_the_leader,
            "kill a majority": self._kill_a_majority,
            "kill all servers": self._kill_all_servers,
            "kill a client": self._kill_a_client,
            "pause the leader": self._pause_the_leader,
            "pause an agent": self._pause_anyone,
            "stop a server": self._stop_a_server,
            "a client leaves": self._leave_and_return,
            "cut off the leader": self._cut_off_the_leader,
            "split in two": self._split_in_two,
            "the leader is not heard": self._leader_is_not_heard,
            "the leader hears nothing": self._leader_hears_nothing,
            "delay packets": self._delay_packets,
            "lose packets": self._lose_packets,
            "links come and go": self._flap,
            "fill a disk": self._fill_a_disk,
        }

    async def run(self, load: Load, seconds: float, kinds: Collection[str] = ()) -> None:
        """Each of these kinds (all, if none is named) once, in an order that the seed gives, and again while there is time."""
        until = self._history.now_s() + seconds
        for name in self._turns(list(kinds or self.kinds)):
            self._shift(load)
            await asyncio.sleep(self._rng.uniform(0.5, 2.0))
            await self._do(name, await asyncio.to_thread(self.kinds[name]))
            if self._history.now_s() >= until and len(self._history.faults) >= len(kinds or self.kinds):
                break

    def _turns(self, kinds: Sequence[str]) -> Iterator[str]:
        while True:
            yield from self._rng.sample(kinds, len(kinds))

    def _shift(self, load: Load) -> None:
        """From here half of all calls go elsewhere than before."""
        fleet = self._fleet
        label, load.favourites = self._rng.choice(
            [("all", ()), ("the servers", fleet.servers), ("the clients", fleet.clients), ("one agent", self._rng.sample(fleet.all, 1))]
        )
        self._history.shifts.append(Shift(self._history.now_s(), label))

    async def _do(self, name: str, plan: Plan) -> None:
        began = self._history.now_s()
        try:
            await asyncio.to_thread(plan.begin)
            await asyncio.sleep(plan.hold_s)
        finally:
            await asyncio.to_thread(plan.mend)
        mended, wanting = self._history.now_s(), "it did not heal"
        try:
            wanting = await asyncio.to_thread(self._fleet.wait_until_whole)
        finally:
            self._history.note_pressure()
            names = tuple(agent.name for agent in plan.agents)
            self._history.faults.append(Fault(name, names, began, mended, self._history.now_s(), wanting))

    # Processes

    def _kill_a_server(self) -> Plan:
        return self._killing([self._rng.choice(self._fleet.servers)], self._for(0.5, 8))

    def _kill_the_leader(self) -> Plan:
        return self._killing([self._leader()], self._for(2, 8))

    def _kill_a_majority(self) -> Plan:
        count = len(self._fleet.servers) // 2 + 1
        return self._killing(self._rng.sample(self._fleet.servers, count), self._for(1, 5))

    def _kill_all_servers(self) -> Plan:
        return self._killing(self._fleet.servers, self._for(0, 4))

    def _kill_a_client(self) -> Plan:
        """Long enough to be found out, and out of DNS."""
        return self._killing([self._rng.choice(self._fleet.clients)], self._rng.uniform(20, 25))

    def _killing(self, agents: Sequence[Agent], hold_s: float) -> Plan:
        return Plan(agents, hold_s, lambda: _each(agents, Agent.kill), lambda: _each(agents, Agent.start))

    def _stop_a_server(self) -> Plan:
        server = self._rng.choice(self._fleet.servers)
        return Plan([server], self._for(0.5, 4), lambda: _ends_well(server), server.start)

    def _leave_and_return(self) -> Plan:
        client = self._rng.choice(self._fleet.clients)
        return Plan([client], self._for(1, 4), lambda: _ends_well(client), client.start)

    def _pause_the_leader(self) -> Plan:
        return self._pausing(self._leader())

    def _pause_anyone(self) -> Plan:
        return self._pausing(self._rng.choice(self._fleet.all))

    def _pausing(self, agent: Agent) -> Plan:
        return Plan([agent], self._for(0.3, 8), agent.pause, agent.resume)

    # The network

    def _cut_off_the_leader(self) -> Plan:
        return self._dividing([self._leader()])

    def _split_in_two(self) -> Plan:
        return self._dividing(self._rng.sample(self._fleet.all, len(self._fleet.all) // 2))

    def _dividing(self, side: Sequence[Agent]) -> Plan:
        lan, (one, other) = self._fleet.lan, self._sides(side)
        return Plan(side, self._for(3, 12), lambda: lan.partition(one, other), lan.mend_all)

    def _leader_is_not_heard(self) -> Plan:
        leader, lan = self._leader(), self._fleet.lan
        one, other = self._sides([leader])
        return Plan([leader], self._for(3, 10), lambda: lan.silence(one, other), lan.mend_all)

    def _leader_hears_nothing(self) -> Plan:
        leader, lan = self._leader(), self._fleet.lan
        one, other = self._sides([leader])
        return Plan([leader], self._for(3, 10), lambda: lan.silence(other, one), lan.mend_all)

    def _sides(self, side: Sequence[Agent]) -> tuple[list[str], list[str]]:
        return [agent.name for agent in side], [agent.name for agent in self._fleet.all if agent not in side]

    def _delay_packets(self) -> Plan:
        """Of the leader and others, each for itself."""
        lan, leader = self._fleet.lan, self._leader()
        chosen = [leader, *self._rng.sample([agent for agent in self._fleet.all if agent is not leader], 2)]
        return Plan(chosen, self._for(4, 12), lambda: _each(chosen, lambda agent: lan.delay(agent.name)), lan.mend_all)

    def _lose_packets(self) -> Plan:
        """By chance where netem does it; else bursts of loss on some links at a time, over and over."""
        lan, agents, hold_s = self._fleet.lan, self._fleet.all, self._for(4, 10)
        if lan.has_netem:
            return Plan(agents, hold_s, lambda: _each(agents, lambda agent: lan.lose(agent.name)), lan.mend_all)
        return Plan(agents, 0.0, lambda: self._cut_and_mend(hold_s, 2), lan.mend_all)

    def _flap(self) -> Plan:
        """Links that come and go, each for itself, and more of them as it goes on."""
        hold_s = self._for(3, 6)
        return Plan(self._fleet.all, 0.0, lambda: self._cut_and_mend(hold_s, 4), self._fleet.lan.mend_all)

    def _cut_and_mend(self, seconds: float, cut: int) -> None:
        """Some links are cut at each step, and about a third of all mended."""
        lan, rng, until = self._fleet.lan, random.Random(self._rng.random()), time.monotonic() + seconds
        names = [agent.name for agent in self._fleet.all]
        links = [(here, there) for here in names for there in names if here != there]
        while time.monotonic() < until:
            for link in rng.sample(links, cut):
                lan.cut(*link)
            for link in rng.sample(links, len(links) // 3):
                lan.mend(*link)

    # Disks

    def _fill_a_disk(self) -> Plan:
        server = self._rng.choice(self._fleet.servers)
        return Plan([server], self._for(2, 8), server.fill_disk, server.empty_disk)

    def _for(self, low: float, high: float) -> float:
        """Seconds."""
        return self._rng.uniform(low, high) / self._haste

    def _leader(self) -> Agent:
        """Who leads, or anyone when nobody does."""
        return self._fleet.leader() or self._rng.choice(self._fleet.servers)


def _each(agents: Sequence[Agent], what: Callable[[Agent], None]) -> None:
    for agent in agents:
        what(agent)


def _ends_well(agent: Agent) -> None:
    code = agent.stop()
    assert code == 0, f"{agent.name} was asked to stop and ended with {code}:\n{agent.output[-4000:]}"
