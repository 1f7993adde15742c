"""What three servers promise of DNS: an acknowledged change is seen, a lost leader is not noticed, ignorance is not denial."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..consensus.servers import Server, Servers
from ..harness.names import Resolver
from ..harness.waiting import eventually

pytestmark = pytest.mark.process

SEEN_WITHIN_S = 10.0
"""Generous: ``benchmarks/dns_freshness.py`` measures what it really takes."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = Servers(tmp_path_factory.mktemp("dns"), 3, first_host=171)
    try:
        servers.start()
        for server in servers.all:
            eventually(lambda: resolver(server).addresses("consul.service.consul"), 20.0, "DNS is up")  # noqa: B023
        yield servers
    finally:
        servers.stop()


def resolver(server: Server) -> Resolver:
    return Resolver(server.host, server.ports.dns)


def register(server: Server, name: str, status: str) -> None:
    """Returns when it is acknowledged."""
    check = {"Name": "up", "CheckID": "up", "ServiceID": name, "Status": status}
    server.api.register("box", "10.7.7.7", Service={"Service": name, "Port": 80}, Check=check)


def test_what_is_acknowledged_is_answered_by_the_same_node_at_once_and_by_the_others_soon(three: Servers) -> None:
    """Names that were denied a moment ago are no exception. A write waits for its node's views, but no longer than 50 ms, which a busy
    machine may exceed: so the first question shows most changes, and one after a default read shows them all."""
    shown_at_once = 0

    def expect(server: Server, name: str, addresses: list[str]) -> bool:
        """Whether the first question was enough."""
        first = resolver(server).addresses(f"{name}.service.consul") == addresses
        server.api.get(f"/v1/health/service/{name}")
        assert resolver(server).addresses(f"{name}.service.consul") == addresses
        return first

    for number in range(12):
        server, name = three.all[number % 3], f"fresh{number}.service.consul"
        others = [resolver(other) for other in three.all if other is not server]
        for each in (resolver(server), *others):
            assert each.code(name) == "NXDOMAIN"
        register(server, f"fresh{number}", "passing")
        shown_at_once += expect(server, f"fresh{number}", ["10.7.7.7"])
        for other in others:
            eventually(lambda: other.addresses(name) == ["10.7.7.7"], SEEN_WITHIN_S, f"{name} is seen")  # noqa: B023
        register(server, f"fresh{number}", "critical")
        shown_at_once += expect(server, f"fresh{number}", [])
        for other in others:
            eventually(lambda: other.addresses(name) == [], SEEN_WITHIN_S, f"{name} is seen to be critical")  # noqa: B023
    assert shown_at_once


def test_without_a_leader_names_are_answered_from_what_was_known_and_after_a_restart_not_denied(three: Servers) -> None:
    """The last test of this file: two of the servers are gone after it."""
    register(three.all[0], "lasting", "passing")
    last = three.all[2]
    eventually(lambda: resolver(last).addresses("lasting.service.consul"), SEEN_WITHIN_S)
    for server in three.all[:2]:
        server.kill()
    eventually(lambda: last.leader() == "", 20.0, "the last server knows no leader")
    assert resolver(last).addresses("lasting.service.consul") == ["10.7.7.7"]
    assert resolver(last).code("nobody.service.consul") == "NXDOMAIN"

    last.kill()
    last.start()
    eventually(lambda: last.api.get("/v1/agent/self").status_code == 200, 20.0)
    for name in ("lasting.service.consul", "box.node.consul", "nobody.service.consul", "nobody.node.consul"):
        answer = resolver(last).ask(name, within_s=10.0)
        code = resolver(last).code(name, within_s=10.0)
        assert (code, answer.answer) == ("SERVFAIL", []), name
