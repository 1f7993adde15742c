"""The HTTP endpoints, on a node in one process and in six. Shapes are those of Consul 1.8.7."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from .harness.deployment import HOST, Deployment
from .harness.http import index_of
from .harness.waiting import Stopwatch, eventually

pytestmark = pytest.mark.process

NODE_FIELDS = {"ID", "Node", "Address", "Datacenter", "TaggedAddresses", "Meta", "CreateIndex", "ModifyIndex"}
INSTANCE_FIELDS = {
    "ID", "Node", "Address", "Datacenter", "TaggedAddresses", "NodeMeta", "ServiceKind", "ServiceID", "ServiceName", "ServiceTags",
    "ServiceAddress", "ServiceWeights", "ServiceMeta", "ServicePort", "ServiceEnableTagOverride", "ServiceProxy", "ServiceConnect",
    "CreateIndex", "ModifyIndex",
}  # fmt: skip
SERVICE_FIELDS = {
    "ID", "Service", "Tags", "Address", "Meta", "Port", "Weights", "EnableTagOverride", "Proxy", "Connect", "CreateIndex", "ModifyIndex",
}  # fmt: skip
CHECK_FIELDS = {
    "Node", "CheckID", "Name", "Status", "Notes", "Output", "ServiceID", "ServiceName", "ServiceTags", "Type", "Definition",
    "CreateIndex", "ModifyIndex",
}  # fmt: skip
MEMBER_FIELDS = {
    "Name", "Addr", "Port", "Tags", "Status", "ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur",
}  # fmt: skip
BLOCKING_READS = (
    "/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/consul", "/v1/catalog/node/{node}", "/v1/health/node/{node}",
    "/v1/health/service/consul",
)  # fmt: skip
NOT_SERVED = (
    "/v1/kv/config/a", "/v1/session/list", "/v1/txn", "/v1/event/list", "/v1/query", "/v1/config/service-defaults",
    "/v1/connect/ca/roots",
)  # fmt: skip


def answer(node: Deployment, path: str) -> Any:
    """The JSON of a read that must succeed."""
    found = node.api.get(path)
    assert found.status_code == 200, found.text
    assert found.headers["Content-Type"] == "application/json"
    return found.json()


def test_catalog_nodes_lists_the_node(node: Deployment) -> None:
    (found,) = answer(node, "/v1/catalog/nodes")
    assert set(found) == NODE_FIELDS
    assert (found["Node"], found["Address"], found["Datacenter"]) == (node.node, HOST, "dc1")
    assert found["TaggedAddresses"] == {"lan": HOST, "lan_ipv4": HOST, "wan": HOST, "wan_ipv4": HOST}


def test_catalog_services_maps_names_to_tags(node: Deployment) -> None:
    assert answer(node, "/v1/catalog/services") == {"consul": []}


def test_catalog_service_lists_instances_with_their_nodes(node: Deployment) -> None:
    (found,) = answer(node, "/v1/catalog/service/consul")
    assert set(found) == INSTANCE_FIELDS
    assert (found["ServiceID"], found["ServicePort"], found["Node"]) == ("consul", node.ports.server, node.node)


def test_catalog_node_shows_a_node_with_its_services(node: Deployment) -> None:
    found = answer(node, f"/v1/catalog/node/{node.node}")
    assert set(found) == {"Node", "Services"}
    assert set(found["Node"]) == NODE_FIELDS
    assert set(found["Services"]) == {"consul"}
    assert set(found["Services"]["consul"]) >= SERVICE_FIELDS - {"Proxy", "Connect"}


def test_catalog_datacenters_names_the_own_one(node: Deployment) -> None:
    assert answer(node, "/v1/catalog/datacenters") == ["dc1"]


def test_health_node_lists_the_nodes_checks(node: Deployment) -> None:
    (check,) = answer(node, f"/v1/health/node/{node.node}")
    assert set(check) == CHECK_FIELDS
    assert (check["CheckID"], check["Name"], check["Status"]) == ("serfHealth", "Serf Health Status", "passing")
    assert check["Output"] == "Agent alive and reachable"


def test_health_service_joins_node_service_and_checks(node: Deployment) -> None:
    (entry,) = answer(node, "/v1/health/service/consul")
    assert set(entry) == {"Node", "Service", "Checks"}
    assert set(entry["Node"]) == NODE_FIELDS
    assert set(entry["Service"]) >= SERVICE_FIELDS - {"Proxy", "Connect"}
    assert [set(check) for check in entry["Checks"]] == [CHECK_FIELDS]


def test_status_names_the_leader_and_the_peers_by_their_server_port(node: Deployment) -> None:
    own = f"{HOST}:{node.ports.server}"
    assert answer(node, "/v1/status/leader") == own
    assert answer(node, "/v1/status/peers") == [own]


def test_agent_self_describes_the_agent(node: Deployment) -> None:
    found = answer(node, "/v1/agent/self")
    assert {"Config", "DebugConfig", "Coord", "Member", "Stats", "Meta"} <= set(found)
    assert {"Datacenter", "NodeName", "NodeID", "Server", "Version"} <= set(found["Config"])
    assert (found["Config"]["NodeName"], found["Config"]["Server"]) == (node.node, True)
    assert found["Member"]["Name"] == node.node
    assert len(found["Coord"]["Vec"]) == 8


def test_agent_members_speaks_consuls_words(node: Deployment) -> None:
    (member,) = answer(node, "/v1/agent/members")
    assert set(member) == MEMBER_FIELDS
    assert (member["Name"], member["Addr"], member["Port"], member["Status"]) == (node.node, HOST, node.ports.serf_lan, 1)
    assert (member["Tags"]["role"], member["Tags"]["dc"]) == ("consul", "dc1")
    (server,) = answer(node, "/v1/agent/members?wan=1")
    assert (server["Name"], server["Port"]) == (f"{node.node}.dc1", node.ports.serf_wan)


def test_a_node_is_registered_found_and_deregistered(node: Deployment) -> None:
    service = {"Service": "web", "ID": "web-1", "Port": 80, "Tags": ["v1"]}
    check = {"Name": "alive", "CheckID": "alive", "Status": "passing", "ServiceID": "web-1"}
    registered = node.api.put(
        "/v1/catalog/register", {"Node": "db-1", "Address": "127.0.0.9", "Service": service, "Check": check, "NodeMeta": {"rack": "7"}}
    )
    assert (registered.status_code, registered.json()) == (200, True)
    assert answer(node, "/v1/catalog/services") == {"consul": [], "web": ["v1"]}
    (entry,) = answer(node, "/v1/health/service/web?passing")
    assert (entry["Node"]["Node"], entry["Node"]["Meta"], entry["Service"]["Port"]) == ("db-1", {"rack": "7"}, 80)
    assert [each["CheckID"] for each in entry["Checks"]] == ["alive"]
    gone = node.api.put("/v1/catalog/deregister", {"Node": "db-1"})
    assert (gone.status_code, gone.json()) == (200, True)
    assert answer(node, "/v1/health/service/web") == []
    assert answer(node, "/v1/catalog/node/db-1") is None


def test_a_default_read_sees_every_write_that_was_acknowledged_before(node: Deployment) -> None:
    for number in range(20):
        node.api.register("fresh", f"127.0.1.{number}")
        assert answer(node, "/v1/catalog/node/fresh")["Node"]["Address"] == f"127.0.1.{number}"
    node.api.deregister("fresh")


def test_indexes_are_log_indexes_that_grow_with_each_change(node: Deployment) -> None:
    node.api.register("indexed", "127.0.0.5")
    first = answer(node, "/v1/catalog/node/indexed")["Node"]
    assert first["CreateIndex"] == first["ModifyIndex"] > 0
    node.api.register("indexed", "127.0.0.6")
    second = answer(node, "/v1/catalog/node/indexed")["Node"]
    assert second["CreateIndex"] == first["CreateIndex"]
    assert second["ModifyIndex"] > first["ModifyIndex"]
    node.api.deregister("indexed")
    if "raft" in answer(node, "/v1/agent/self")["Stats"]:  # which the catalog tells consensus every 10 ms

        def is_told() -> bool:
            return int(answer(node, "/v1/agent/self")["Stats"]["raft"]["applied_index"]) >= int(second["ModifyIndex"])

        eventually(is_told, 3.0, "consensus knows what is applied")


@pytest.mark.parametrize("path", BLOCKING_READS)
def test_reads_carry_index_and_freshness(node: Deployment, path: str) -> None:
    for mode in ("", "?consistent", "?stale"):
        found = node.api.get(path.format(node=node.node) + mode)
        assert found.status_code == 200
        assert index_of(found) > 0
        assert found.headers["X-Consul-KnownLeader"] == "true"
        assert int(found.headers["X-Consul-LastContact"]) >= 0


@pytest.mark.parametrize("path", BLOCKING_READS)
def test_pretty_gives_the_same_answer_for_people(node: Deployment, path: str) -> None:
    plain, pretty = (node.api.get(path.format(node=node.node) + mode) for mode in ("?stale", "?stale&pretty"))
    assert "\n    " in pretty.text
    assert plain.json() == pretty.json()


def test_a_blocking_query_returns_when_its_answer_changes(node: Deployment) -> None:
    node.api.register("watched", "127.0.0.5")
    index = index_of(node.api.get("/v1/catalog/node/watched"))
    found: list[httpx.Response] = []
    with httpx.Client(base_url=f"http://{node.http_address}", trust_env=False) as client:
        waiting = threading.Thread(
            target=lambda: found.append(client.get(f"/v1/catalog/node/watched?index={index}&wait=120s", timeout=60.0)), daemon=True
        )
        waiting.start()
        node.api.register("watched", "127.0.0.6")
        waiting.join(60.0)
    assert not waiting.is_alive()
    assert found[0].json()["Node"]["Address"] == "127.0.0.6"
    assert index_of(found[0]) > index
    node.api.deregister("watched")


def test_a_blocking_query_without_a_change_ends_at_its_time(node: Deployment) -> None:
    index = index_of(node.api.get("/v1/catalog/service/consul"))
    watch = Stopwatch()
    found = node.api.get(f"/v1/catalog/service/consul?index={index}&wait=400ms")
    assert watch.elapsed_s > 0.39
    assert watch.is_within(1.5)
    assert index_of(found) == index


def test_unknown_names_give_empty_answers_and_not_404(node: Deployment) -> None:
    assert answer(node, "/v1/catalog/service/nothing") == []
    assert answer(node, "/v1/health/service/nothing") == []
    assert answer(node, "/v1/health/node/nobody") == []
    assert answer(node, "/v1/catalog/node/nobody") is None


@pytest.mark.parametrize("path", NOT_SERVED)
def test_a_consul_path_that_is_not_served_yet_answers_501_and_says_so(node: Deployment, path: str) -> None:
    for method in ("GET", "PUT"):
        found = node.api.ask(method, path)
        assert found.status_code == 501, f"{method} {path}: {found.status_code}"
        assert "not served" in found.text


def test_acl_paths_answer_401_as_a_consul_without_acls(node: Deployment) -> None:
    for path in ("/v1/acl/tokens", "/v1/acl/bootstrap", "/v1/acl/policy/x"):
        found = node.api.get(path)
        assert (found.status_code, found.text.strip()) == (401, "ACL support disabled")


def test_a_path_that_consul_has_not_answers_404(node: Deployment) -> None:
    assert node.api.get("/v1/nothing").status_code == 404
    assert node.api.get("/v1/catalog/nothing").status_code == 404


def test_a_wrong_method_answers_405_with_allow_and_options_lists_the_methods(node: Deployment) -> None:
    for method, path, allowed in (("PUT", "/v1/catalog/nodes", "OPTIONS,GET"), ("GET", "/v1/catalog/register", "OPTIONS,PUT")):
        found = node.api.ask(method, path)
        assert (found.status_code, found.headers["Allow"], found.text) == (405, allowed, f"method {method} not allowed")
        assert node.api.ask("OPTIONS", path).headers["Allow"] == allowed


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v1/catalog/nodes?index=x", 400, "Invalid index"),
        ("/v1/catalog/nodes?index=1&wait=3", 400, "Invalid wait time"),
        ("/v1/catalog/nodes?stale&consistent", 400, "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ("/v1/catalog/service/", 400, "Missing service name"),
        ("/v1/catalog/nodes?dc=elsewhere", 500, "No path to datacenter"),
    ],
)
def test_a_bad_request_is_told_in_consuls_words(node: Deployment, path: str, status: int, text: str) -> None:
    found = node.api.get(path)
    assert (found.status_code, found.text) == (status, text)


@pytest.mark.parametrize(
    ("body", "culprit"),
    [({}, "Node"), ({"Node": "x"}, "Address"), ({"Node": "x", "Address": "127.0.0.1", "Nonsense": 1}, "Nonsense")],
)
def test_a_refused_registration_names_the_field_and_changes_nothing(node: Deployment, body: Mapping[str, object], culprit: str) -> None:
    refused = node.api.put("/v1/catalog/register", body)
    assert refused.status_code == 400
    assert culprit.lower() in refused.text.lower()
    assert len(answer(node, "/v1/catalog/nodes")) == 1


def test_join_over_http_says_when_nobody_answers(node: Deployment) -> None:
    found = node.api.put("/v1/agent/join/127.0.0.1:1")
    assert (found.status_code, found.text) == (500, "127.0.0.1:1: Connection refused")


def test_a_service_of_this_node_reaches_the_catalog_and_a_heartbeat_keeps_it_passing(node: Deployment) -> None:
    registered = node.api.put("/v1/agent/service/register", {"Name": "cache", "Port": 6379, "Check": {"TTL": "30s"}})
    assert registered.status_code == 200, registered.text
    eventually(lambda: node.api.get("/v1/catalog/service/cache").json(), 3.0, "the service is in the catalog")
    assert answer(node, "/v1/health/service/cache?passing") == []
    assert node.api.put("/v1/agent/check/pass/service:cache").status_code == 200
    (entry,) = eventually(lambda: node.api.get("/v1/health/service/cache?passing").json(), 3.0, "the service is passing")
    assert entry["Node"]["Node"] == node.node
    assert node.api.put("/v1/agent/service/deregister/cache").status_code == 200
    eventually(lambda: node.api.get("/v1/catalog/service/cache").json() == [], 3.0, "the service is gone")
