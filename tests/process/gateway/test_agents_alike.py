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
]


def test_every_step_of_the_script_is_answered_alike(both: Both) -> None:
    differences = []
    for number, (method, path, body) in enumerate(SCRIPT):
        theirs, ours = both.ask(method, path, body)
        if said(ours) != said(theirs):
            differences.append(f"{number}: {method} {path} {body or ''}\n  consul {said(theirs)}\n  rostra {said(ours)}")
    assert not differences, f"{len(differences)} differences, the first:\n" + "\n".join(differences[:4])
