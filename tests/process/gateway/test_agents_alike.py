"""A real Consul and a real rostra, each a development agent of the same name, asked the same things in the same order.

What the agent itself answers: its services and checks and their health, maintenance, coordinates, status, operator. Catalog and health
reads are compared in ``tests/interop/gateway``. Masked is what differs by nature: IDs, indexes, hashes, addresses, places of coordinates.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..harness.deployment import HOST, dev_agent
from ..harness.ports import Ports
from ..harness.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.interop("consul"), pytest.mark.timeout(240)]

NODE = "alike"
MASKED = {"ID", "CreateIndex", "ModifyIndex", "ContentHash", "Index", "Address", "Vec", "Error", "Adjustment", "Height", "ProtocolVersion"}
PLACE = re.compile(r"127\.0\.0\.\d+:\d+")


@dataclass(frozen=True)
class Both:
    """The two, by their clients."""

    consul: httpx.Client
    rostra: httpx.Client

    def ask(self, method: str, path: str, body: object = None) -> tuple[httpx.Response, httpx.Response]:
        return self.consul.request(method, path, json=body), self.rostra.request(method, path, json=body)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    ours = dev_agent(tmp_path_factory.mktemp("ours"), node=NODE)
    ports = Ports.free()
    flags = ["-node", NODE, "-bind", HOST, "-client", HOST, "-log-level", "err", *ports.flags()]
    theirs = subprocess.Popen(["consul", "agent", "-dev", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ours.start()
        with (
            httpx.Client(base_url=f"http://{HOST}:{ports.http}", timeout=20, trust_env=False) as consul,
            httpx.Client(base_url=f"http://{ours.http_address}", timeout=20, trust_env=False) as rostra,
        ):
            eventually(lambda: consul.get("/v1/health/state/passing").json(), 30, "Consul serves")
            eventually(lambda: consul.get("/v1/coordinate/nodes").json() and rostra.get("/v1/coordinate/nodes").json(), 60, "coordinates")
            yield Both(consul, rostra)
    finally:
        theirs.kill()
        theirs.wait()
        ours.stop()


def masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: masked(item, key) for key, item in value.items()}
    if isinstance(value, list):
        items = [masked(item, name) for item in value]
        return sorted(items, key=str) if name == "Checks" else items  # Consul's order of these is that of a map
    return f"<{name}>" if name in MASKED and value not in (None, "") else PLACE.sub("<place>", value) if isinstance(value, str) else value


def said(answer: httpx.Response) -> Any:
    """Status, and the body as JSON where it is."""
    # A bad request is 400 here, and what is missing from the path is one (docs/differences.md).
    status = 400 if answer.status_code == 500 and answer.text.startswith("Bad request:") else answer.status_code
    try:
        return status, masked(json.loads(answer.text))
    except ValueError:
        return status, PLACE.sub("<place>", answer.text)


WEB = {
    "ID": "web1", "Name": "web", "Tags": ["b", "a"], "Port": 80, "Address": "10.0.0.1", "Meta": {"k": "v"},
    "Weights": {"Passing": 3, "Warning": 1}, "EnableTagOverride": True, "TaggedAddresses": {"lan": {"Address": "10.0.0.1", "Port": 81}},
    "Checks": [{"CheckID": "alive", "Name": "alive", "TTL": "1h", "Notes": "note"}],
}  # fmt: skip
HEALTH = [
    ("GET", f"/v1/agent/health/service/{path}{query}", None)
    for path in ("id/web1", "id/none", "name/web", "name/none", "id/plain", "id/", "name/")
    for query in ("", "?format=text")
]
AUTOPILOT = "/v1/operator/autopilot/configuration"
KEPT_AS = {"CleanupDeadServers": False, "LastContactThreshold": "300ms", "MaxTrailingLogs": 100, "ServerStabilizationTime": "5s"}
LOOK = [
    ("GET", "/v1/agent/services", None),
    ("GET", "/v1/agent/checks", None),
    ("GET", "/v1/agent/service/web1", None),
    *HEALTH,
]
SCRIPT = [
    *LOOK,
    ("PUT", "/v1/agent/service/register", WEB),
    ("PUT", "/v1/agent/service/register", {"Name": "plain"}),
    *LOOK,
    ("GET", "/v1/agent/services?filter=Service==web", None),
    ("GET", "/v1/agent/services?filter=Service==none", None),
    ("GET", "/v1/agent/checks?filter=Status==critical", None),
    ("GET", "/v1/agent/checks?filter=Status==passing", None),
    ("PUT", "/v1/agent/check/pass/alive?note=well", None),
    *LOOK,
    ("PUT", "/v1/agent/check/warn/alive", None),
    *HEALTH,
    ("PUT", "/v1/agent/check/fail/alive?note=ill", None),
    *HEALTH,
    ("PUT", "/v1/agent/check/update/alive", {"Status": "passing", "Output": "told"}),
    ("PUT", "/v1/agent/check/update/alive", {"Status": "odd"}),
    *LOOK,
    ("PUT", "/v1/agent/service/maintenance/web1?enable=true&reason=why", None),
    *LOOK,
    ("PUT", "/v1/agent/service/maintenance/web1?enable=false", None),
    ("PUT", "/v1/agent/maintenance?enable=true&reason=why", None),
    *LOOK,
    ("PUT", "/v1/agent/maintenance?enable=false", None),
    ("PUT", "/v1/agent/check/register", {"Name": "of the node", "TTL": "1h", "Status": "warning"}),
    ("PUT", "/v1/agent/check/register", {"ID": "second", "Name": "second", "ServiceID": "plain", "TTL": "1h"}),
    *LOOK,
    ("PUT", "/v1/agent/service/register?replace-existing-checks", {"ID": "web1", "Name": "web", "Check": {"TTL": "2h"}}),
    *LOOK,
    ("PUT", "/v1/agent/check/deregister/second", None),
    ("PUT", "/v1/agent/service/deregister/web1", None),
    *LOOK,
    ("GET", "/v1/coordinate/nodes", None),
    ("GET", f"/v1/coordinate/node/{NODE}", None),
    ("GET", "/v1/coordinate/node/none", None),
    ("GET", "/v1/coordinate/nodes?dc=elsewhere", None),
    ("GET", "/v1/coordinate/datacenters", None),
    ("GET", "/v1/catalog/datacenters", None),
    ("GET", "/v1/status/leader", None),
    ("GET", "/v1/status/peers", None),
    ("GET", "/v1/operator/raft/configuration", None),
    ("GET", "/v1/operator/raft/configuration?stale", None),
    ("GET", "/v1/operator/raft/configuration?dc=elsewhere", None),
    ("DELETE", "/v1/operator/raft/peer", None),
    ("DELETE", "/v1/operator/raft/peer?id=a&address=b", None),
    ("PUT", "/v1/agent/reload", None),
    ("PUT", "/v1/agent/force-leave/none", None),
    ("GET", "/v1/agent/monitor?loglevel=bogus", None),
    ("GET", "/v1/agent/members?segment=x", None),
    ("GET", "/v1/agent/service/none", None),
    ("GET", "/v1/agent/service/", None),
    ("PUT", "/v1/agent/check/pass/none", None),
    ("PUT", "/v1/agent/check/warn/none", None),
    ("PUT", "/v1/agent/check/fail/", None),
    ("PUT", "/v1/agent/check/update/none", {"Status": "passing"}),
    ("PUT", "/v1/agent/service/maintenance/none?enable=true", None),
    ("PUT", "/v1/agent/maintenance", None),
    ("PUT", "/v1/agent/maintenance?enable=", None),
    ("PUT", "/v1/agent/maintenance?enable=perhaps", None),
    ("PUT", "/v1/agent/force-leave/none?wan", None),
    ("GET", "/v1/coordinate/node/", None),
    ("GET", "/v1/status/leader?dc=dc1", None),
    ("GET", "/v1/status/peers?dc=elsewhere", None),
    ("DELETE", "/v1/operator/raft/peer?id=a", None),
    ("DELETE", "/v1/operator/raft/peer?address=1.2.3.4:5", None),
    ("GET", "/v1/operator/keyring?relay-factor=9", None),
    ("POST", "/v1/operator/keyring", None),
    ("GET", AUTOPILOT, None),
    ("GET", f"{AUTOPILOT}?dc=elsewhere", None),
    ("PUT", AUTOPILOT, KEPT_AS),
    ("GET", AUTOPILOT, None),
    ("PUT", f"{AUTOPILOT}?cas=1", {"MaxTrailingLogs": 1}),
    ("PUT", f"{AUTOPILOT}?cas=x", {"MaxTrailingLogs": 1}),
    ("PUT", AUTOPILOT, {"Foo": 1}),
    ("PUT", AUTOPILOT, None),
    ("GET", AUTOPILOT, None),
    ("GET", "/v1/operator/autopilot/health?dc=elsewhere", None),
]
REFUSED = [
    ("GET", "/v1/agent/services?filter=(", None),
    ("GET", "/v1/agent/checks?filter=(", None),
    ("GET", "/v1/agent/services?filter=Nope==1", None),
    ("PUT", "/v1/agent/force-leave/", None),
    ("PUT", "/v1/agent/join/127.0.0.1:1", None),
    ("PUT", "/v1/agent/join/127.0.0.1:1?wan", None),
    ("PUT", "/v1/agent/join/", None),
    *((method, "/v1/operator/keyring", {"Key": "x"}) for method in ("POST", "PUT", "DELETE")),
    ("GET", "/v1/operator/keyring", None),
    ("GET", "/v1/operator/keyring?local-only=true", None),
    ("PUT", AUTOPILOT, {"MaxTrailingLogs": "x"}),
    ("PUT", AUTOPILOT, {"LastContactThreshold": "3"}),
]
"""Both refuse these; what is wrong is said in the words of each one's libraries."""

ELSEWHERE = {
    "/": "a page of our own",
    "/dns-query": "not of Consul; tests/unit/gateway/test_dns_over_https.py",
    "/v1/openapi.json": "not of Consul; test_schemathesis.py",
    "/v1/snapshot": "another format on purpose; tests/process/test_snapshot.py",
    "/v1/agent/version": "not in 1.8.7; tests/unit/gateway/test_agent.py",
    "/v1/operator/autopilot/state": "not in 1.8.7; tests/process/cluster/test_membership.py",
    "/v1/operator/raft/transfer-leader": "not in 1.8.7; tests/process/consensus/test_operator.py",
}
"""Endpoints that are not asked here, and why."""


def alike(theirs: tuple[int, Any], ours: tuple[int, Any]) -> bool:
    """What the caller did wrong is 4xx here where Consul has 500, with the same words (docs/differences.md)."""
    return theirs == ours or (theirs[0] == 500 and ours[0] in (400, 404) and theirs[1] == ours[1])


def test_every_step_of_the_script_is_answered_alike(both: Both) -> None:
    differences = []
    for number, (method, path, body) in enumerate(SCRIPT):
        theirs, ours = both.ask(method, path, body)
        if not alike(said(theirs), said(ours)):
            differences.append(f"{number}: {method} {path} {body or ''}\n  consul {said(theirs)}\n  rostra {said(ours)}")
    assert not differences, f"{len(differences)} differences, the first:\n" + "\n".join(differences[:4])


@pytest.mark.parametrize(("method", "path", "body"), REFUSED)
def test_what_one_refuses_the_other_refuses_with_a_reason(both: Both, method: str, path: str, body: object) -> None:
    for answer in both.ask(method, path, body):
        assert answer.status_code >= 400
        assert answer.text.strip()


def test_health_of_the_servers_has_the_same_fields(both: Both) -> None:
    theirs, ours = eventually(lambda: [answer.json() for answer in both.ask("GET", "/v1/operator/autopilot/health")], 20.0)
    assert list(ours) == list(theirs)
    assert list(ours["Servers"][0]) == list(theirs["Servers"][0])


def test_every_endpoint_is_asked_of_both(both: Both) -> None:
    """Here, or where catalog and health are compared; each that is not is named with the reason."""
    asked = {path.partition("?")[0] for _, path, _ in (*SCRIPT, *REFUSED)}
    reads = Path(__file__).parents[2] / "interop" / "gateway" / "test_differential.py"
    asked |= {path.partition("?")[0] for path in re.findall(r'"(/v1/[^"]+)"', reads.read_text())}
    described = both.rostra.get("/v1/openapi.json").json()["paths"]
    forms = {path: re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)) for path in described}
    assert {path for path, form in forms.items() if not any(form.fullmatch(each) for each in asked)} == set(ELSEWHERE)
