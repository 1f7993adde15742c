"""Our pool beside a real Consul: listed with tags, seen to leave and to fail, and never taken for one of its own."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator

import httpx
import msgpack
import pytest

from rostra.model.members import MemberStatus

from .peers import Cluster, running_cluster, sees, until

pytestmark = [pytest.mark.interop("consul"), pytest.mark.timeout(180)]

TAGS = {"role": "rostra", "dc": "dc1", "id": "11111111-2222-3333-4444-555555555555", "port": "8300", "build": "0.1.0"}


@pytest.fixture(params=[(), (bytes(range(16)),)], ids=["plain", "encrypted"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with running_cluster(request.param) as found:
        yield found


async def test_user_events_cross_both_ways(cluster: Cluster) -> None:
    server = await cluster.consul("server")
    ours = await cluster.ours("ours", port=8301, tags=TAGS)
    await ours.join([server.address])
    api = f"http://{server.address}:8500"
    await until(lambda: server.sees("ours", "alive"), 10, "it sees us")
    with ours.watch_user_events() as events:

        async def fired() -> bool:
            answer = await asyncio.to_thread(httpx.put, f"{api}/v1/event/fire/deploy", content=b"v7", timeout=30, trust_env=False)
            return answer.status_code == 200

        await until(fired, 60, "it has a leader, and fires an event")
        async for event in events:
            if event.name == "consul:event:deploy":
                break
    body = msgpack.unpackb(event.payload, raw=False)
    assert (body["n"], body["p"]) == ("deploy", b"v7")

    told = {"ID": str(uuid.uuid4()), "n": "rebuild", "p": b"now", "v": 1}
    ours.user_event("consul:event:rebuild", msgpack.packb(told, use_bin_type=True))

    async def listed() -> bool:
        shown = await asyncio.to_thread(httpx.get, f"{api}/v1/event/list?name=rebuild", trust_env=False)
        return [(each["ID"], each["Payload"]) for each in shown.json()] == [(told["ID"], base64.b64encode(b"now").decode())]

    await until(listed, 10, "it lists our event")


async def test_it_lists_us_with_our_tags_and_sees_us_leave_and_fail(cluster: Cluster) -> None:
    server = await cluster.consul("server")
    ours = await cluster.ours("ours", port=8301, tags=TAGS)
    assert [result.error for result in await ours.join([server.address])] == [""]
    await until(lambda: server.sees("ours", "alive"), 10, "it sees us")
    shown = await server.run("members", "-detailed")
    for tag in ("role=rostra", "dc=dc1", "build=0.1.0"):
        assert tag in next(line for line in shown.splitlines() if line.startswith("ours"))
    assert next(member for member in ours.members() if member.name == "server").tags["role"] == "consul"

    client = await cluster.consul("client", server=False, join=server.address)
    await until(lambda: sees(ours, "client", MemberStatus.ALIVE), 10, "its client is here too")
    other = await cluster.ours("other", port=8301, tags={**TAGS, "id": "22222222-2222-3333-4444-555555555555"})
    await other.join([client.address])
    await until(lambda: server.sees("other", "alive"), 10, "it sees the other")

    await ours.leave()
    await until(lambda: server.sees("ours", "left"), 10, "it saw us leave")
    await cluster.crash(other)
    await until(lambda: server.sees("other", "failed"), 40, "it saw the other fail")
    third = await cluster.ours("third", port=8301, tags={**TAGS, "id": "33333333-2222-3333-4444-555555555555"})
    await third.join([server.address])
    await client.kill()
    assert await until(lambda: sees(third, "client", MemberStatus.FAILED), 20, "we saw its client fail") < 12
    peers = await server.run("operator", "raft", "list-peers")
    assert len(peers.splitlines()) == 2  # the heading and itself
    assert "server" in peers
