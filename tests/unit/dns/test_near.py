"""The nearest instances first, where the settings say so."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import dns.asyncquery
import dns.message

from rostra.dns.choices import Choice, Choices
from rostra.dns.near import Near
from rostra.dns.role import DnsRole
from rostra.dns.settings import DnsSettings
from rostra.errors import Unavailable
from rostra.model.coordinates import Coordinate

from .support import Asker, Catalog, lines, make_instance

HOST = "127.0.0.1"


def at(milliseconds: float) -> Coordinate:
    return Coordinate(vector=(milliseconds / 1000, *[0.0] * 7))


def scattered() -> Catalog:
    """Five nodes, ``n0`` to ``n4``, each with an instance."""
    catalog = Catalog()
    for number in range(5):
        catalog.add(make_instance(catalog.node(f"n{number}", f"10.0.0.{number}"), "web"))
    return catalog


def test_the_nearest_come_first_and_those_that_are_nowhere_last() -> None:
    asker = Asker(scattered())
    far = {"n3": 0.001, "n1": 0.002, "n4": 0.003, "n0": 0.004}
    asker.core.prefer_near(lambda node: far.get(node, float("inf")))
    for _ in range(5):
        answer = asker.records("web.service.consul")
        assert [line.rpartition(".")[2] for line in answer] == ["3", "1", "4", "0", "2"]
        assert [line.rpartition(".")[2] for line in asker.records("web.service.consul", edns=None)] == ["3", "1", "4"]
        assert "n3.node" in asker.records("web.service.consul", "SRV")[0]
    asker.core.prefer_near(None)
    assert len({asker.records("web.service.consul")[0] for _ in range(50)}) > 1


def test_among_those_that_are_equally_far_chance_decides_by_weight() -> None:
    choices = Choices([Choice(b"a", weight=3, node="x"), Choice(b"b", weight=1, node="x"), Choice(b"c", node="y")])
    source, first = random.Random(4), Counter[bytes]()
    for _ in range(2000):
        drawn = choices.draw(source, 3, lambda node: {"x": 0.001}.get(node, 0.002))
        assert drawn[2].body == b"c"
        first[drawn[0].body] += 1
    assert 2.2 < first[b"a"] / first[b"b"] < 4.2


class Pool:
    """Knows where nodes are, at times."""

    def __init__(self) -> None:
        self.known: dict[str, Coordinate] | None = None

    async def list_coordinates(self) -> Mapping[str, Coordinate]:
        if self.known is None:
            raise Unavailable("gossip is away")
        return self.known


async def test_distances_are_those_of_this_node_and_follow_the_coordinates() -> None:
    pool, catalog = Pool(), scattered()
    settings = DnsSettings(addresses=(HOST,), port=0, nearest_first=True)
    role = DnsRole(catalog, settings, source=random.Random(1), near=Near("here", pool, refresh_s=0.01))
    await role.start()
    task = asyncio.create_task(role.run())

    async def firsts() -> set[str]:
        query = dns.message.make_query("web.service.consul", "A", use_edns=0)
        answers = [await dns.asyncquery.udp(query, HOST, port=role.endpoints[0][1], timeout=30) for _ in range(12)]
        return {lines(answer.answer)[0].split()[-1] for answer in answers}

    async def until_first_is(address: str) -> None:
        async with asyncio.timeout(60):
            while await firsts() != {address}:
                pass

    async def until_first_varies() -> None:
        async with asyncio.timeout(60):
            while len(await firsts()) == 1:
                pass

    try:
        await until_first_varies()  # nothing is known of distances
        pool.known = {"here": at(0), "n0": at(9), "n1": at(5), "n2": at(1), "n3": at(7), "n4": at(8)}
        await until_first_is("10.0.0.2")
        pool.known = {**pool.known, "n4": at(0.1)}
        await until_first_is("10.0.0.4")
        pool.known = None
        await until_first_is("10.0.0.4")
        role.reload(replace(settings, nearest_first=False))
        await until_first_varies()
    finally:
        await role.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
