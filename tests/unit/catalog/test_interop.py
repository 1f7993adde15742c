"""The same scripts of registrations to a real Consul and to our apply: the records that come out are alike.

Indexes differ, because Consul's log has entries of its own; what is compared is everything else, and in which order the
indexes moved.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rostra.errors import RostraError
from rostra.model.catalog import Check, Deregistration, HealthStatus, Node, Registration, Service, Weights
from rostra.model.rules import check_command
from tests.process.harness.ports import free_port

from .helpers import ID_1, ID_2, ID_3, Book

Step = dict[str, Any]

SERF_ALIVE = {"CheckID": "serfHealth", "Name": "s", "Status": "passing"}
SCRIPTS: dict[str, Sequence[Step]] = {
    "identity": [
        {"Node": "a", "Address": "1.1.1.1", "ID": ID_1, "Service": {"Service": "web", "Port": 80}},
        {"Node": "A", "Address": "1.1.1.2"},
        {"Node": "a", "Address": "1.1.1.3", "ID": ID_2, "Check": SERF_ALIVE},
        {"Node": "a", "Address": "1.1.1.4", "ID": ID_3},
        {"Node": "b", "Address": "1.1.1.4", "ID": ID_3},
        {"Node": "a", "Address": "1.1.1.5", "ID": ID_3},
        {"Node": "c", "Address": "1.1.1.3", "ID": ID_2},
    ],
    "rename": [
        {"Node": "a", "Address": "1.1.1.1", "ID": ID_1, "Service": {"Service": "web"}, "Checks": [{"Name": "n"}]},
        {"Node": "b", "Address": "1.1.1.1", "ID": ID_1.upper()},
        {"Node": "c", "Address": "1.1.1.9", "Service": {"Service": "kept"}},
        {"Node": "c", "Address": "1.1.1.1", "ID": ID_1},
        {"Node": "C", "Address": "1.1.1.1", "ID": ID_1},
    ],
    "skip": [
        {"Node": "a", "Address": "1.1.1.1", "ID": ID_1},
        {"Node": "a", "SkipNodeUpdate": True, "Address": "9.9.9.9", "Service": {"Service": "s"}},
        {"Node": "a", "SkipNodeUpdate": True, "ID": ID_2, "NodeMeta": {"k": "v"}},
        {"Node": "x", "SkipNodeUpdate": True, "Service": {"Service": "s"}},
        {"Node": "z", "SkipNodeUpdate": True, "Address": "7.7.7.7", "ID": ID_1},
    ],
    "services and checks": [
        {
            "Node": "a",
            "Address": "1.1.1.1",
            "Service": {"Service": "Web", "Tags": ["t", "t", ""], "Meta": {"k": "v"}, "Weights": {"Passing": 10, "Warning": 0}},
            "Checks": [{"Name": "n"}, {"Name": "s", "ServiceID": "WEB", "ServiceName": "lie", "Status": "passing"}],
        },
        {"Node": "a", "Address": "1.1.1.1", "Service": {"Service": "web", "Weights": {"Passing": 0, "Warning": 5}}},
        {"Node": "a", "Address": "1.1.1.1", "Service": {"ID": "WEB", "Service": "www"}},
        {"Node": "a", "Address": "1.1.1.1", "Checks": [{"CheckID": "N", "Name": "other", "Notes": "x"}]},
        {"Node": "a", "Address": "1.1.1.1", "Check": {"Name": "c", "ServiceID": "none"}},
        {"Node": "q", "Address": "1.1.1.1", "Check": {"Name": "c", "ServiceID": "none"}},
        {"Node": "a", "Address": "1.1.1.1", "Check": {"Node": "b", "Name": "c"}},
        {"Node": "a", "Address": "1.1.1.1", "Service": {"ID": "x"}},
    ],
    "deregistrations": [
        {"Node": "a", "Address": "1.1.1.1", "Service": {"Service": "web"}, "Checks": [{"Name": "n"}, {"Name": "s", "ServiceID": "web"}]},
        {"Deregister": {"Node": "A", "ServiceID": "WEB", "CheckID": "n"}},
        {"Deregister": {"Node": "none"}},
        {"Deregister": {"Node": "a", "ServiceID": "none"}},
        {"Deregister": {"ServiceID": "web"}},
        {"Deregister": {"Node": "a", "CheckID": "N"}},
        {"Node": "b", "Address": "1.1.1.1", "Service": {"Service": "web"}},
        {"Deregister": {"Node": "B"}},
    ],
    "bad input": [
        {},
        {"Node": "a"},
        {"Address": "1.1.1.1"},
        {"Node": "a", "Address": "x", "ID": "zz"},
        {"Node": "a", "Address": "x", "ID": "1" * 36},
        {"Node": "a", "Address": "x", "ID": ID_1[:-1] + "g"},
        {"Node": "a", "Address": "x", "Service": {"Service": "s", "Address": "0.0.0.0"}},
        {"Node": "a", "Address": "x", "Service": {"Service": "s", "Meta": {"k y": "x"}}},
        {"Node": "a", "Address": "x", "Service": {"Service": "s", "Meta": {"consul-x": "x"}}},
        {"Node": "a", "Address": "x", "Service": {"Service": "s", "Meta": {"k" * 129: "x"}}},
    ],
}


class Consul:
    """A real agent, emptied between scripts."""

    def __init__(self, port: int) -> None:
        self._port = port

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", method=method, data=data)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def get(self, path: str) -> Any:
        return json.loads(self.request("GET", path)[1])

    def do(self, step: Step) -> str:
        path = "/v1/catalog/deregister" if "Deregister" in step else "/v1/catalog/register"
        status, text = self.request("PUT", path, step.get("Deregister", step))
        return "" if status == 200 else text.strip()

    def names(self) -> list[str]:
        return sorted(node["Node"] for node in self.get("/v1/catalog/nodes") if node["Node"] != "real")

    def clear(self) -> None:
        for name in self.names():
            self.do({"Deregister": {"Node": name}})

    def records(self) -> dict[str, Any]:
        return {name: self._record(name) for name in self.names()}

    def _record(self, name: str) -> dict[str, Any]:
        found, checks = self.get(f"/v1/catalog/node/{name}"), self.get(f"/v1/health/node/{name}")
        node = found["Node"]
        return {
            "node": (node["Node"], node["ID"], node["Address"], node["Meta"] or {}),
            "services": sorted(
                (
                    each["ID"],
                    each["Service"],
                    each["Tags"],
                    each["Port"],
                    each["Meta"] or {},
                    each["Weights"]["Passing"],
                    each["Weights"]["Warning"],
                )
                for each in found["Services"].values()
            ),
            "checks": sorted(
                (each["Node"], each["CheckID"], each["Name"], each["Status"], each["Notes"], each["ServiceID"], each["ServiceName"])
                for each in checks
            ),
        }


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory, require: Any) -> Iterator[Consul]:
    require("consul")
    folder: Path = tmp_path_factory.mktemp("consul")
    http, *others = (free_port() for _ in range(4))
    ports = {"dns": -1, "grpc": -1, "http": http, **dict(zip(("serf_lan", "serf_wan", "server"), others, strict=True))}
    (folder / "ports.json").write_text(json.dumps({"ports": ports}))
    command = ["consul", "agent", "-dev", "-node", "real", "-config-file", str(folder / "ports.json")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            peer, deadline = Consul(http), time.monotonic() + 120
            while not _is_up(peer):
                assert time.monotonic() < deadline, "consul did not start"
                time.sleep(0.05)
            yield peer
        finally:
            process.terminate()


def _is_up(peer: Consul) -> bool:
    try:
        return any(node["Node"] == "real" for node in peer.get("/v1/catalog/nodes"))
    except (OSError, ValueError):
        return False


class Ours:
    """Our rules and our apply behind the same small interface."""

    def __init__(self) -> None:
        self.book = Book()

    def do(self, step: Step) -> str:
        command = _command(step)
        try:
            check_command(command)
        except RostraError as refusal:
            return str(refusal)
        error = self.book.do(command).outcome.error
        return "" if error is None else str(error)

    def records(self) -> dict[str, Any]:
        store = self.book.state.store
        return {
            node.name: {
                "node": (node.name, node.id, node.address, dict(node.meta)),
                "services": sorted(
                    (each.id, each.name, list(each.tags), each.port, dict(each.meta), each.weights.passing, each.weights.warning)
                    for each in store.services_on(node.name.lower())
                ),
                "checks": sorted(
                    (each.node, each.check_id, each.name, each.status.value, each.notes, each.service_id, each.service_name)
                    for each in store.checks_on(node.name.lower())
                ),
            }
            for node in store.nodes
        }


def _command(step: Step) -> Registration | Deregistration:
    if "Deregister" in step:
        body = step["Deregister"]
        return Deregistration(body.get("Node", ""), body.get("ServiceID", ""), body.get("CheckID", ""))
    node = Node(step.get("Node", ""), step.get("Address", ""), step.get("ID", ""), meta=step.get("NodeMeta", {}))
    checks = [*step.get("Checks", ()), *([step["Check"]] if "Check" in step else ())]
    service = _service(step["Service"]) if "Service" in step else None
    return Registration(node, step.get("SkipNodeUpdate", False), service, tuple(map(_check, checks)))


def _service(body: dict[str, Any]) -> Service:
    weights = body.get("Weights", {"Passing": 1, "Warning": 1})
    return Service(
        id=body.get("ID") or body.get("Service", ""),
        name=body.get("Service", ""),
        tags=tuple(body.get("Tags", ())),
        address=body.get("Address", ""),
        port=body.get("Port", 0),
        meta=body.get("Meta", {}),
        weights=Weights(weights["Passing"], weights["Warning"]),
    )


def _check(body: dict[str, Any]) -> Check:
    return Check(
        node=body.get("Node", ""),
        check_id=body.get("CheckID") or body["Name"],
        name=body["Name"],
        status=HealthStatus(body.get("Status", "critical")),
        notes=body.get("Notes", ""),
        service_id=body.get("ServiceID", ""),
    )


@pytest.mark.interop("consul")
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_script_leaves_the_same_records_and_says_the_same(consul: Consul, name: str) -> None:
    consul.clear()
    ours = Ours()
    for step in SCRIPTS[name]:
        theirs = consul.do(step)
        assert ours.do(step) == theirs, step
        assert ours.records() == consul.records(), step
