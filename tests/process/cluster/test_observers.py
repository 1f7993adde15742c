"""Catalogs that only observe: dns and gateway live on them, write through them, and move to another within a second when one dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ..harness.callers import Call, Callers
from ..harness.deployment import HOST, Deployment, durable_agent, six_processes
from ..harness.http import Api
from ..harness.names import Resolver
from ..harness.ports import free_port
from ..harness.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

SOON_S = 30.0
MOVE_S = 1.0
BUSY_S = 1.5
OBSERVERS = ("observer-1", "observer-2")


class Observed:
    """A node with two observers and an edge of dns and gateway that knows only them."""

    def __init__(self, node: Deployment) -> None:
        self.node = node
        self.doors = {name: f"{HOST}:{free_port(HOST)}" for name in OBSERVERS}
        http, dns = free_port(HOST), free_port(HOST)
        assert node.data is not None
        sockets = {role: f"-{role}=unix:{node.data}/{role}.sock" for role in ("consensus", "gossip", "local")}
        for name, door in self.doors.items():
            self._add(name, ["catalog", "-observer", f"-grpc-addr={door}", sockets["consensus"], sockets["gossip"]])
        catalogs = ",".join(self.doors.values())
        self._add("edge", ["agent", "-roles=dns,gateway", f"-catalog={catalogs}", sockets["gossip"], sockets["local"],
                           f"-http-port={http}", f"-dns-port={dns}", f"-grpc-port={free_port(HOST)}"])  # fmt: skip
        self.api, self.dns = Api(f"{HOST}:{http}"), Resolver(HOST, dns)

    def _add(self, name: str, command: list[str]) -> None:
        self.node.commands = {**self.node.commands, name: command}
        self.node.metrics_ports[name] = free_port(HOST)

    def upstream(self) -> str:
        """The observer that the edge lives on."""
        lines = [line for line in list(self.node.running["edge"].lines) if "catalog found: upstream=" in line]
        door = lines[-1].partition("upstream=")[2].split()[0]
        return next(name for name, each in self.doors.items() if each == door)

    def came_live(self, how: str) -> float:
        """Topics that the edge got whole (``snapshot``), or ``resumed``."""
        text = httpx.get(f"http://{HOST}:{self.node.metrics_ports['edge']}/metrics", timeout=5.0, trust_env=False).text
        name = f'rostra_views_topics_came_live_total{{how="{how}"}}'
        return next((float(line.split()[1]) for line in text.splitlines() if line.startswith(name)), 0.0)


@pytest.fixture(params=[durable_agent, six_processes], ids=["agent", "a process for each role"])
def observed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Observed]:
    make: Callable[..., Deployment] = request.param
    observed = Observed(make(tmp_path))
    try:
        observed.node.start(within_s=60.0)
        eventually(lambda: observed.api.get("/v1/catalog/nodes").json(), SOON_S, "the edge reads from an observer")
        yield observed
    except BaseException as error:
        error.add_note(observed.node.output)
        raise
    finally:
        observed.api.close()
        observed.node.stop()


def test_an_edge_writes_and_reads_through_observers_and_moves_on_within_a_second_without_a_reload(observed: Observed) -> None:
    observed.api.register("db-1", "127.0.0.9", Service={"Service": "db", "Port": 5432})
    assert observed.node.api.get("/v1/catalog/service/db").json()[0]["Node"] == "db-1", "written through an observer"
    eventually(lambda: observed.dns.addresses("db.service.consul") == ["127.0.0.9"], SOON_S, "DNS of the edge")
    assert observed.api.get("/v1/health/service/db").json()
    first = observed.upstream()
    snapshots = observed.came_live("snapshot")
    calls = {"default": Call("/v1/health/service/db", MOVE_S + BUSY_S, must_succeed=True),
             "consistent": Call("/v1/catalog/nodes?consistent", MOVE_S + BUSY_S, must_succeed=True)}  # fmt: skip
    with Callers(observed.api.address, calls) as callers:
        eventually(lambda: all(record.done > 20 for record in callers.records.values()), SOON_S)
        observed.node.running[first].kill()
        done = callers.records["default"].done
        eventually(lambda: callers.records["default"].done > done + 50, SOON_S, "reads go on")
        assert observed.dns.addresses("db.service.consul") == ["127.0.0.9"]
    assert observed.upstream() != first
    assert observed.came_live("snapshot") == snapshots, "nothing was loaded anew"
    assert observed.came_live("resumed") >= 3
    observed.node.bring_back(first)
    observed.node.running[observed.upstream()].kill()
    eventually(lambda: observed.api.get("/v1/health/service/db").json(), SOON_S, "the first one serves again")
    observed.api.register("db-2", "127.0.0.8", Service={"Service": "db", "Port": 5432})
    assert len(observed.node.api.get("/v1/catalog/service/db").json()) == 2
