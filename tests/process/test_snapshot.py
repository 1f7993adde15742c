"""Backup and restore with real processes: what was saved comes back on every server at one index, and who watches sees it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from rostra.v1 import common_pb2, snapshot_pb2, snapshot_pb2_grpc

from .conftest import Start
from .consensus.servers import Servers
from .harness.deployment import FAST, Deployment
from .harness.http import Api, index_of
from .harness.program import this_rostra
from .harness.running import Running
from .harness.waiting import eventually

pytestmark = pytest.mark.process

COUNT = 150
"""Instances: several pieces of a restore."""
EXTERNAL = {"Service": {"Service": "db", "Port": 5432, "Tags": ["primary"]}, "Check": {"Name": "up", "Status": "passing"}}


def snapshot(api: Api, query: str = "") -> bytes:
    """The file."""
    answer = api.get(f"/v1/snapshot{query}", within_s=20.0)
    assert answer.status_code == 200, answer.text
    return answer.content


def put(api: Api, data: bytes) -> httpx.Response:
    return httpx.put(f"http://{api.address}/v1/snapshot", content=data, timeout=30.0, trust_env=False)


def services(api: Api, mode: str = "") -> Mapping[str, Any]:
    found: Mapping[str, Any] = api.get(f"/v1/catalog/services{mode}").json()
    return found


class Watcher:
    """A client that follows one service by blocking queries, as Consul's clients do; ``seen`` is (index, ports)."""

    def __init__(self, api: Api, service: str) -> None:
        self._url = f"http://{api.address}/v1/health/service/{service}"
        self._stop = threading.Event()
        self.seen: list[tuple[int, list[int]]] = []
        self.problem = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        eventually(lambda: bool(self.seen), 10.0, "the watcher has an answer")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60.0)
        assert self.problem == ""
        indexes = [index for index, _ in self.seen]
        assert indexes == sorted(indexes), "an index went back"

    def shows(self, count: int) -> bool:
        """Whether it has last seen so many instances."""
        return len(self.seen[-1][1]) == count

    def _run(self) -> None:
        index = 0
        with httpx.Client(trust_env=False, timeout=60.0) as client:
            while not self._stop.is_set():
                answer = client.get(self._url, params={"index": str(index), "wait": "2s"})
                if answer.status_code != 200:
                    self.problem = answer.text
                    return
                index = index_of(answer)
                self.seen.append((index, [each["Service"]["Port"] for each in answer.json()]))


def test_what_was_saved_comes_back_and_watchers_see_it(node: Deployment) -> None:
    api = node.api
    api.register("db-1", "127.0.0.9", **EXTERNAL)
    before = index_of(api.get("/v1/catalog/nodes"))
    saved = snapshot(api)
    with Watcher(api, "db") as watcher:
        api.deregister("db-1")
        api.register("db-2", "127.0.0.10", **{**EXTERNAL, "Service": {"Service": "db", "Port": 1}})
        eventually(lambda: watcher.seen[-1][1] == [1], 10.0, "the watcher sees the change")
        assert put(api, saved).status_code == 200
        eventually(lambda: watcher.seen[-1][1] == [5432], 10.0, "the watcher sees the restore")
    assert api.get("/v1/catalog/node/db-2").json() is None
    assert index_of(api.get("/v1/catalog/nodes")) > before
    assert node.dns.addresses("primary.db.service.consul") == ["127.0.0.9"]
    assert [check["Status"] for check in api.get(f"/v1/health/node/{node.node}").json()] == ["passing"]
    assert "consul" in services(api)
    api.deregister("db-1")


def test_an_agent_puts_its_services_back_at_once_when_a_backup_is_older_than_they_are(node: Deployment) -> None:
    """At once: the comparison that comes by itself is a minute away."""
    api = node.api
    saved = snapshot(api)
    answer = api.put("/v1/agent/service/register", {"Name": "late", "Port": 80})
    assert answer.status_code == 200, answer.text
    eventually(lambda: "late" in services(api), 10.0, "the service is in the catalog")
    assert put(api, saved).status_code == 200
    eventually(lambda: "late" in services(api), 10.0, "the service is in the catalog again")
    assert api.put("/v1/agent/service/deregister/late").status_code == 200


def test_a_bad_file_is_refused_by_name_and_changes_nothing(node: Deployment) -> None:
    api = node.api
    saved = snapshot(api)
    index = index_of(api.get("/v1/catalog/nodes"))
    for data, says in (
        (b"hello", "not compressed by gzip"),
        (saved[:-20], "cut off"),
        (saved + b"x", "bytes after its end"),
        (saved[: len(saved) // 2] + b"\0\0\0\0" + saved[len(saved) // 2 + 4 :], "damaged"),
    ):
        answer = put(api, data)
        assert answer.status_code == 400
        assert says in answer.text
    assert index_of(api.get("/v1/catalog/nodes")) == index


def test_the_command_saves_inspects_and_restores(agent: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "backup.snap"
    agent.api.register("db-1", "127.0.0.9", **EXTERNAL)
    assert agent.cli("snapshot", "save", str(file)).startswith("Saved and verified snapshot to index ")
    assert "nodes     2" in agent.cli("snapshot", "inspect", str(file))
    agent.api.deregister("db-1")
    assert agent.cli("snapshot", "restore", str(file)) == "Restored snapshot\n"
    assert services(agent.api)["db"] == ["primary"]
    agent.api.deregister("db-1")


def test_grpc_saves_and_restores_on_the_public_door(node: Deployment) -> None:
    with grpc.insecure_channel(node.grpc_address) as channel:
        stub = snapshot_pb2_grpc.SnapshotServiceStub(channel)
        first, *rest = stub.SaveSnapshot(snapshot_pb2.SaveSnapshotRequest())
        data = b"".join(message.data for message in rest)
        assert first.description.known_leader

        def requests() -> Iterator[snapshot_pb2.RestoreSnapshotRequest]:
            yield snapshot_pb2.RestoreSnapshotRequest(header=common_pb2.RequestHeader())
            for start in range(0, len(data), 100):
                yield snapshot_pb2.RestoreSnapshotRequest(data=data[start : start + 100])

        accepted, restored = stub.RestoreSnapshot(requests())
        assert accepted.WhichOneof("content") == "accepted"
        assert restored.restored.index > first.description.index


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path, 3, first_host=141)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def client(tmp_path: Path, servers: Servers) -> Iterator[Api]:
    """A client agent of the three servers."""
    host, ports = "127.0.0.144", servers.all[0].ports
    joined = [f"-retry-join={server.host}:{ports.serf_lan}" for server in servers.all]
    command = ["agent", "-node=edge", f"-bind={host}", f"-client={host}", f"-data-dir={tmp_path}/edge/data", *joined, "-retry-interval=1s"]
    process = Running(this_rostra(), tmp_path / "edge", [*command, *ports.flags("http", "dns", "grpc", "serf_lan"), *FAST])
    api = Api(f"{host}:{ports.http}")
    try:
        eventually(lambda: "edge" in {node["Node"] for node in api.get("/v1/catalog/nodes").json()}, 30.0, "the client is in the catalog")
        yield api
    finally:
        process.kill()
        api.close()


def test_a_new_cluster_of_three_takes_over_what_another_one_had(start_durable: Start, servers: Servers, client: Api) -> None:
    """The archive is of a cluster with another ID and higher indexes, and has a dead node of one of the new names."""
    old = start_durable(node="s1")
    for number in range(COUNT):
        old.api.register(f"db-{number}", "127.0.0.9", **{**EXTERNAL, "Service": {"Service": "db", "Port": number + 1}})
    assert put_settings(old.api, MaxTrailingLogs=300)
    saved = snapshot(old.api)
    old.stop()
    assert client.put("/v1/agent/service/register", {"Name": "edge-app", "Port": 80}).status_code == 200
    eventually(lambda: "edge-app" in services(servers["s3"].api), 10.0, "the client's service is in the catalog")

    with Watcher(client, "db") as far, Watcher(servers["s2"].api, "db") as near:
        assert put(client, saved).status_code == 200
        assert len(client.get("/v1/catalog/service/db").json()) == COUNT, "who restored reads what was restored"
        assert client.get("/v1/operator/autopilot/configuration").json()["MaxTrailingLogs"] == 300, "and how servers are kept"
        for watcher in (far, near):
            eventually(partial(watcher.shows, COUNT), 20.0, "a watcher sees the restore")

    for server in servers.all:
        found = eventually(partial(_healthy, server.api, {"s1", "s2", "s3", "edge"}), 20.0, "gossip's nodes are back")
        assert found["s1"] == servers["s1"].api.get("/v1/agent/self").json()["Config"]["NodeID"], "the new s1 has the dead one's place"
    assert _states(servers) == {_states(servers).pop()}

    leader = servers.wait_for_leader()
    leader.kill()
    survivor = servers.up[0]
    index = eventually(lambda: index_of(survivor.api.get("/v1/catalog/nodes", within_s=10.0)), 30.0, "another leads")
    survivor.api.register("after", "127.0.0.9")
    assert index_of(survivor.api.get("/v1/catalog/nodes")) > index
    leader.start()
    servers.wait_for_leader()
    eventually(lambda: len(_states(servers)) == 1 and "after" in _names(leader.api), 20.0, "who was away has the same catalog")


def put_settings(api: Api, **changes: object) -> bool:
    """Changes how the servers are kept, and nothing else of it."""
    path = "/v1/operator/autopilot/configuration"
    return api.put(path, {**api.get(path).json(), **changes}).status_code == 200


def _healthy(api: Api, wanted: set[str]) -> dict[str, str] | None:
    """IDs of these nodes by name, once all of them are passing."""
    passing = {check["Node"] for check in api.get("/v1/health/state/passing?stale").json() if check["CheckID"] == "serfHealth"}
    ids = {node["Node"]: node["ID"] for node in api.get("/v1/catalog/nodes?stale").json()}
    return {name: ids[name] for name in wanted} if wanted <= passing else None


def _names(api: Api) -> set[str]:
    return {node["Node"] for node in api.get("/v1/catalog/nodes?stale").json()}


def _states(servers: Servers) -> set[bytes]:
    """What the servers have, each by itself; equal catalogs have equal bytes."""
    return {snapshot(server.api, "?stale") for server in servers.up}
