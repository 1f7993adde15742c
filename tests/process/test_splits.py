"""Any split of a node works: an edge process with dns and gateway only, which keeps nothing, over TCP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from rostra.v1 import catalog_pb2, catalog_pb2_grpc

from .harness.deployment import HOST, Deployment, core_and_edge
from .harness.system import files_below, listeners, written_files
from .harness.waiting import eventually

pytestmark = pytest.mark.process

BACK_WITHIN_S = 2.4


@pytest.fixture
def split(tmp_path: Path) -> Iterator[Deployment]:
    node = core_and_edge(tmp_path)
    try:
        node.start()
        yield node
    finally:
        node.stop()


def test_an_edge_process_serves_what_the_core_knows_and_finds_it_again_after_a_crash(split: Deployment) -> None:
    edge, core = split.running["edge"], split.running["core"]
    assert {each.port for each in listeners(edge.pid)}.isdisjoint({split.ports.server, split.ports.serf_lan, split.ports.serf_wan})
    assert {each.port for each in listeners(core.pid)}.isdisjoint({split.ports.http, split.ports.dns, split.ports.grpc})
    assert written_files(edge.pid) == []
    assert files_below(split.folder / "home") | files_below(split.folder / "tmp") | files_below(split.folder / "work") == set()

    split.api.register("db-1", "127.0.0.9", Service={"Service": "web", "Port": 80})
    eventually(lambda: split.dns.addresses("web.service.consul") == ["127.0.0.9"], 1.0, "DNS shows it")
    assert split.node in split.cli("members")
    assert split.api.get("/v1/status/leader").json() == f"{HOST}:{split.ports.server}"
    with grpc.insecure_channel(split.grpc_address) as channel:
        nodes = catalog_pb2_grpc.CatalogServiceStub(channel).ListNodes(catalog_pb2.ListNodesRequest(), timeout=30.0).nodes
        assert [node.name for node in nodes] == [split.node, "db-1"]

    core.kill()
    assert split.api.get("/v1/catalog/service/web?stale", within_s=1.0).json()[0]["Address"] == "127.0.0.9"
    split.bring_back("core")
    eventually(lambda: len(split.api.get("/v1/catalog/nodes").json()) == 2, BACK_WITHIN_S, "the core is found again")
    assert edge.is_running
