"""Moving from Consul: the same files, read by a real Consul 1.8.7 and by rostra, come to the same catalog and the same DNS answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.rcode
import dns.rdatatype
import pytest

from ...process.harness.deployment import Deployment, dev_agent
from ...process.harness.program import Program
from ...process.harness.running import Running
from ...process.harness.waiting import eventually

pytestmark = [pytest.mark.interop("consul"), pytest.mark.process]

DEFINITIONS = Path(__file__).parent / "definitions"
NODE = "moving"
SERVICES = ("cache", "elsewhere", "follower", "portless", "sick", "web")
CRITICAL = ("follower", "sick")
"""Where no instance is well Consul answers NXDOMAIN and rostra an empty NOERROR, on purpose (docs/differences.md)."""
OWN = {"ID", "CreateIndex", "ModifyIndex", "NodeMeta", "Meta", "Definition"}
"""Fields that cannot be the same at the top of a record: of the node, of the log, and the node's meta (Consul adds a segment)."""
SOON_S = 30.0


class _Consul(Deployment):
    """A Consul in a deployment's place: it is given the same flags."""

    def start(self, within_s: float = SOON_S) -> None:
        self.program = Program([shutil.which("consul") or "consul"])
        self.running["agent"] = Running(self.program, self.folder, self.commands["agent"])
        eventually(lambda: self.api.get(f"/v1/health/node/{self.node}").json(), within_s, "Consul serves")


@pytest.fixture(scope="module")
def both(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Deployment]]:
    """Consul and rostra, each with the same folder of definitions."""
    require("consul")
    flag = f"-config-dir={DEFINITIONS}"
    rostra = dev_agent(tmp_path_factory.mktemp("rostra"), flag, node=NODE)
    like = dev_agent(folder := tmp_path_factory.mktemp("consul"), flag, node=NODE)
    consul = _Consul(folder, NODE, like.ports, like.commands)
    like.stop()
    try:
        consul.start()
        rostra.start()
        both = (consul, rostra)
        listed = lambda: all(set(SERVICES) <= set(agent.api.get("/v1/catalog/services").json()) for agent in both)  # noqa: E731
        eventually(listed, SOON_S, "all are registered")
        yield both
    finally:
        consul.stop()
        rostra.stop()


def same(both: tuple[Deployment, Deployment], question: Callable[[Deployment], Any]) -> Any:
    """What both answer; they are given time to agree, since each pushes what it has read in its own time."""

    def agreed() -> tuple[Any]:
        theirs, ours = map(question, both)
        assert ours == theirs
        return (ours,)

    (answer,) = eventually(agreed, SOON_S, "both answer the same")
    return answer


def plain(record: Any) -> Any:
    """A record without what cannot be the same; the order of lists of records is not promised. Consul 1.8.7 leaves the type of a check
    of the whole node empty (docs/differences.md)."""
    if isinstance(record, dict):
        of_node = "CheckID" in record and not record["ServiceID"]
        kept = {name: value for name, value in record.items() if name not in OWN or (name == "Meta" and "Service" in record)}
        return {name: "" if of_node and name == "Type" else plain(value) for name, value in kept.items()}
    if isinstance(record, list):
        return sorted(map(plain, record), key=repr)
    return record


def test_the_catalog_lists_the_same_services_with_the_same_tags(both: tuple[Deployment, Deployment]) -> None:
    def tags(agent: Deployment) -> dict[str, list[str]]:
        return {name: sorted(tags) for name, tags in agent.api.get("/v1/catalog/services").json().items()}

    assert set(same(both, tags)) == {"consul", *SERVICES}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("path", ["/v1/catalog/service/", "/v1/health/service/", "/v1/health/checks/"])
def test_each_service_and_its_checks_are_the_same(both: tuple[Deployment, Deployment], path: str, service: str) -> None:
    answer = same(both, lambda agent: plain(agent.api.get(path + service).json()))
    assert answer or (service in ("cache", "elsewhere", "portless") and "checks" in path)


def test_the_agents_own_lists_are_the_same(both: tuple[Deployment, Deployment]) -> None:
    assert set(same(both, lambda agent: agent.api.get("/v1/agent/services").json())) == {"cache-1", "cache-2", *SERVICES} - {"cache"}
    checks = same(both, lambda agent: plain(agent.api.get("/v1/agent/checks").json()))
    assert {"disk", "web-alive", "cache-alive"} <= set(checks)


@pytest.mark.parametrize("kind", ["A", "SRV"])
@pytest.mark.parametrize(
    "name",
    [
        *(f"{service}.service" for service in SERVICES if service not in CRITICAL),
        *("v1.web.service", "_cache._primary.service", "_web._tcp.service", "cache.service.dc1", "none.service", f"{NODE}.node"),
    ],
)
def test_dns_answers_are_the_same(both: tuple[Deployment, Deployment], name: str, kind: str) -> None:
    def answered(agent: Deployment) -> tuple[str, list[str], list[str]]:
        answer = agent.dns.ask(f"{name}.consul", kind)
        records = sorted(rrset_item.to_text() for rrset in answer.answer for rrset_item in rrset)
        addresses = sorted(
            f"{rrset.name} {item}" for rrset in answer.additional if rrset.rdtype == dns.rdatatype.A for item in map(str, rrset)
        )
        return dns.rcode.to_text(answer.rcode()), records, addresses

    same(both, answered)
