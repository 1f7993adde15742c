"""What goes wrong: one fault after another, chosen by a seed, each mended again before the next.

Which links are cut, who is killed and for how long follow from the seed; who leads at that moment does not, so a seed repeats the kinds of
faults and their lengths, not every victim.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .fleet import Agent, Fleet
from .history import Fault, History
from .load import Load


@dataclass(frozen=True, slots=True)
class Plan:
    """A fault that is about to happen: whom it hits, for how long, how it begins and how it is mended."""

    name: str
    agents: Sequence[Agent]
    hold_s: float
    begin: Callable[[], None]
    mend: Callable[[], None]


class Nemesis:
    """``run`` leaves everything mended."""

    def __init__(self, fleet: Fleet, history: History, rng: random.Random) -> None:
        self._fleet = fleet
        self._history = history
        self._rng = rng
        self._kinds: Sequence[Callable[[], Plan]] = (
            self._kill_a_server,
            self._kill_the_leader,
            self._kill_a_majority,
            self._kill_all_servers,
            self._kill_a_client,
            self._pause_the_leader,
            self._pause_anyone,
            self._stop_a_server,
            self._leave_and_return,
            self._cut_off_the_leader,
            self._split_in_two,
            self._leader_is_not_heard,
            self._leader_hears_nothing,
            self._lose_packets,
            self._fill_a_disk,
        )

    async def run(self, seconds: float, load: Load) -> None:
        """Every kind once, in an order that the seed gives, and again while there is time."""
        until = self._history.now_s() + seconds
        waiting: list[Callable[[], Plan]] = []
        while self._history.now_s() < until:
            waiting = waiting or self._rng.sample(self._kinds, len(self._kinds))
            load.favourites = self._rng.choice([(), self._fleet.servers, self._fleet.clients, self._rng.sample(self._fleet.all, 1)])
            await asyncio.sleep(self._rng.uniform(0.5, 2.0))
            await self._do(await asyncio.to_thread(waiting.pop()))

    async def _do(self, plan: Plan) -> None:
        began = self._history.now_s()
        try:
            await asyncio.to_thread(plan.begin)
            await asyncio.sleep(plan.hold_s)
        finally:
            await asyncio.to_thread(plan.mend)
        mended = self._history.now_s()
        try:
            await asyncio.to_thread(self._fleet.wait_until_whole)
        finally:
            names = tuple(agent.name for agent in plan.agents)
            self._history.faults.append(Fault(plan.name, names, began, mended, self._history.now_s()))

    # Processes

    def _kill_a_server(self) -> Plan:
        return self._killing("kill a server", [self._rng.choice(self._fleet.servers)], self._rng.uniform(0.5, 8))

    def _kill_the_leader(self) -> Plan:
        return self._killing("kill the leader", [self._leader()], self._rng.uniform(2, 8))

    def _kill_a_majority(self) -> Plan:
        count = len(self._fleet.servers) // 2 + 1
        return self._killing("kill a majority", self._rng.sample(self._fleet.servers, count), self._rng.uniform(1, 5))

    def _kill_all_servers(self) -> Plan:
        return self._killing("kill all servers", self._fleet.servers, self._rng.uniform(0, 4))

    def _kill_a_client(self) -> Plan:
        """Long enough to be found out, and out of DNS."""
        return self._killing("kill a client", [self._rng.choice(self._fleet.clients)], self._rng.uniform(20, 25))

    def _killing(self, name: str, agents: Sequence[Agent], hold_s: float) -> Plan:
        return Plan(name, agents, hold_s, lambda: _each(agents, Agent.kill), lambda: _each(agents, Agent.start))

    def _stop_a_server(self) -> Plan:
        server = self._rng.choice(self._fleet.servers)
        return Plan("stop a server", [server], self._rng.uniform(0.5, 4), lambda: _ends_well(server), server.start)

    def _leave_and_return(self) -> Plan:
        client = self._rng.choice(self._fleet.clients)
        return Plan("a client leaves", [client], self._rng.uniform(1, 4), lambda: _ends_well(client), client.start)

    def _pause_the_leader(self) -> Plan:
        return self._pausing("pause the leader", self._leader())

    def _pause_anyone(self) -> Plan:
        return self._pausing("pause an agent", self._rng.choice(self._fleet.all))

    def _pausing(self, name: str, agent: Agent) -> Plan:
        return Plan(name, [agent], self._rng.uniform(0.3, 8), agent.pause, agent.resume)

    # The network

    def _cut_off_the_leader(self) -> Plan:
        return self._dividing("cut off the leader", [self._leader()])

    def _split_in_two(self) -> Plan:
        side = self._rng.sample(self._fleet.all, len(self._fleet.all) // 2)
        return self._dividing("split in two", side)

    def _dividing(self, name: str, side: Sequence[Agent]) -> Plan:
        lan, (one, other) = self._fleet.lan, self._sides(side)
        return Plan(name, side, self._rng.uniform(3, 12), lambda: lan.partition(one, other), lan.mend_all)

    def _leader_is_not_heard(self) -> Plan:
        leader, lan = self._leader(), self._fleet.lan
        one, other = self._sides([leader])
        return Plan("the leader is not heard", [leader], self._rng.uniform(3, 10), lambda: lan.silence(one, other), lan.mend_all)

    def _leader_hears_nothing(self) -> Plan:
        leader, lan = self._leader(), self._fleet.lan
        one, other = self._sides([leader])
        return Plan("the leader hears nothing", [leader], self._rng.uniform(3, 10), lambda: lan.silence(other, one), lan.mend_all)

    def _sides(self, side: Sequence[Agent]) -> tuple[list[str], list[str]]:
        return [agent.name for agent in side], [agent.name for agent in self._fleet.all if agent not in side]

    def _lose_packets(self) -> Plan:
        """Links that come and go, each for itself: a burst of loss and delay, as far as one can be made without a traffic shaper."""
        lan, names = self._fleet.lan, [agent.name for agent in self._fleet.all]
        links = [(here, there) for here in names for there in names if here != there]

        def flap() -> None:
            for _ in range(60):
                for link in self._rng.sample(links, 3):
                    lan.cut(*link)
                for link in self._rng.sample(links, len(links) // 3):
                    lan.mend(*link)

        return Plan("links come and go", self._fleet.all, 0.0, flap, lan.mend_all)

    # Disks

    def _fill_a_disk(self) -> Plan:
        server = self._rng.choice(self._fleet.servers)
        return Plan("fill a disk", [server], self._rng.uniform(2, 8), server.fill_disk, server.empty_disk)

    def _leader(self) -> Agent:
        """Who leads, or anyone when nobody does."""
        return self._fleet.leader() or self._rng.choice(self._fleet.servers)


def _each(agents: Sequence[Agent], what: Callable[[Agent], None]) -> None:
    for agent in agents:
        what(agent)


def _ends_well(agent: Agent) -> None:
    code = agent.stop()
    assert code == 0, f"{agent.name} was asked to stop and ended with {code}:\n{agent.output[-4000:]}"
