"""Two datacenters: joined at one server each, they know all servers of both."""

from __future__ import annotations

import re

import pytest

from ..harness.waiting import eventually
from .agents import Agents, json

pytestmark = pytest.mark.process


def test_servers_of_a_datacenter_flood_into_the_wan_pool_and_leave_it_with_the_lan_pool(agents: Agents) -> None:
    first = agents.start("s1", "-server", "-bootstrap-expect=2")
    second = agents.start("s2", "-server", "-bootstrap-expect=2", f"-retry-join={first.lan}")
    client = agents.start("c1", f"-retry-join={first.lan}")
    for server in (first, second):
        server.sees(wan=True, s1__dc1="alive", s2__dc1="alive", c1__dc1=None)
    far = agents.server("far", "-datacenter=dc2", f"-retry-join-wan={second.wan}")
    for server in (first, second, far):
        server.sees(wan=True, s1__dc1="alive", s2__dc1="alive", far__dc2="alive")
    assert set(far.members()) == {"far"}
    assert [line.split()[0] for line in first.cli("members", "-wan").splitlines()[1:]] == ["far.dc2", "s1.dc1", "s2.dc1"]
    eventually(lambda: json(first.api.get("/v1/catalog/datacenters")) == ["dc1", "dc2"], 10, "both datacenters")
    assert json(far.api.get("/v1/catalog/datacenters")) == ["dc2", "dc1"]
    assert json(client.api.get("/v1/catalog/datacenters")) == ["dc1", "dc2"], "a client, which is not in the WAN pool, asks a server"

    def areas() -> set[str]:
        return {area["Datacenter"] for area in json(first.api.get("/v1/coordinate/datacenters"))}

    eventually(lambda: areas() == {"dc1", "dc2"}, 10, "coordinates of both")
    assert re.fullmatch(
        r"Estimated far\.dc2 <-> s1\.dc1 rtt: \d+\.\d{3} ms \(using WAN coordinates\)\n", first.cli("rtt", "-wan", "far.dc2")
    )

    second.kill()
    first.sees(s2="failed")
    far.sees(wan=True, s2__dc1="failed")
    first.cli("force-leave", "s2")
    first.sees(s2="left")
    far.sees(wan=True, s2__dc1="left")
    assert client.try_cli("members", "-wan")[0] == 1


def test_a_client_is_kept_out_of_the_wan_pool(agents: Agents) -> None:
    server = agents.server("s1")
    client = agents.start("c1", f"-retry-join={server.lan}")
    server.sees(c1="alive")
    code, said = server.try_cli("join", "-wan", client.lan)
    assert code == 1
    assert "is not a server's" in said
    assert server.members(wan=True) == {"s1.dc1": "alive"}
