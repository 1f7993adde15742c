"""Finding the pool at start: known peers, addresses that must answer, addresses that are tried until they do."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from rostra.errors import Unavailable
from rostra.gossip.finding import Finder, Search
from rostra.gossip.joining import JoinResult, RetryJoin


class Network:
    """Where members are. Time passes only by sleeping; ``appear`` puts a member somewhere after so many seconds."""

    def __init__(self, *members: str, own: str = "own") -> None:
        self.appear: dict[str, float] = dict.fromkeys(members, 0.0)
        self.own = own
        self.now = 0.0
        self.tried: list[tuple[str, ...]] = []
        self.pauses: list[float] = []
        self.has_others = False

    async def join(self, addresses: Sequence[str]) -> list[JoinResult]:
        self.tried.append(tuple(addresses))
        there = [address for address in addresses if self.appear.get(address, 1e9) <= self.now]
        self.has_others |= bool(there)
        return [JoinResult(address, "" if address in (*there, self.own) else "refused") for address in addresses]

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def find(
        self, *, peers: Sequence[str] = (), start: Sequence[str] = (), retry: RetryJoin | None = None, pause_s: float = 30.0
    ) -> None:
        finder = Finder("lan", self.join, lambda: self.has_others, random.Random(1), self.sleep)
        await finder.find(Search(peers, start, retry, pause_s))


async def test_a_known_peer_that_answers_makes_trying_further_needless() -> None:
    network = Network("b")
    await network.find(peers=["a", "b"], retry=RetryJoin(["c"]))
    assert [set(addresses) for addresses in network.tried] == [{"a", "b"}]


async def test_many_known_peers_are_tried_a_few_at_once() -> None:
    network = Network("p19")
    peers = [f"p{number}" for number in range(20)]
    await network.find(peers=peers)
    assert network.has_others
    assert all(len(addresses) <= 8 for addresses in network.tried)


async def test_addresses_that_must_answer_do_or_it_fails_with_each_reason() -> None:
    network = Network("b")
    await network.find(start=["a", "b"])
    with pytest.raises(Unavailable, match="could not join the LAN pool: a: refused; c: refused"):
        await network.find(start=["a", "c"])


async def test_an_own_address_starts_a_pool_but_is_not_yet_one() -> None:
    network = Network()
    await network.find(start=["own"])
    network.appear["c"] = 5.0
    await network.find(retry=RetryJoin(["own", "c"], interval_s=30.0))
    assert network.has_others
    assert network.now >= 5.0


async def test_tries_come_soon_at_first_and_then_ever_more_rarely() -> None:
    network = Network()
    network.appear["a"] = 200.0
    await network.find(retry=RetryJoin(["a"], interval_s=30.0))
    for pause, nominal in zip(network.pauses, [1, 2, 4, 8, 16, 30, 30, 30], strict=False):
        assert 0.75 * nominal <= pause <= 1.25 * nominal
    assert len(set(network.pauses)) == len(network.pauses), "with jitter"


@pytest.mark.parametrize(("attempts", "at_least_s"), [(1, 0), (2, 30), (4, 90)])
async def test_it_gives_up_no_sooner_than_that_many_tries_an_interval_apart_would(attempts: int, at_least_s: float) -> None:
    network = Network()
    with pytest.raises(Unavailable, match="could not join the LAN pool in"):
        await network.find(retry=RetryJoin(["a"], interval_s=30.0, attempts=attempts))
    assert 0.75 * at_least_s <= network.now <= 1.25 * (at_least_s + 30)


async def test_known_peers_are_tried_again_where_nobody_told_of_others() -> None:
    network = Network()
    network.appear["b"] = 100.0
    await network.find(peers=["a", "b"], pause_s=30.0)
    assert network.has_others
    assert 100.0 <= network.now <= 150.0
    await Network().find()  # with nobody to look for there is nothing to do
