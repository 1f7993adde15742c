"""Six processes for one node: any of them is killed with -9 and comes back.

What is promised, and what each test measures: the others find it again within 2 s without their own restart; meanwhile a caller gets a
clear error within 1 s, or within the hold time where a leader may come back, or with ``stale`` the last known answer; never a hang.
"""

from __future__ import annotations

from collections.abc import Iterator

import dns.exception
import grpc
import httpx
import pytest

from rostra.v1 import catalog_pb2, catalog_pb2_grpc, gossip_pb2, gossip_pb2_grpc

from .harness.callers import Call, Callers
from .harness.deployment import HOST, ROLES, Deployment, six_processes
from .harness.system import children
from .harness.waiting import Stopwatch, eventually

pytestmark = pytest.mark.process

BACK_WITHIN_S = 2.0
ERROR_WITHIN_S = 1.0
HOLD_S = 7.0
SLACK_S = 0.4
"""For a busy machine, on top of each promise."""


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    node = six_processes(tmp_path_factory.mktemp("roles"))
    try:
        node.start()
        node.api.register("db-1", "127.0.0.9", Service={"Service": "web", "Port": 80})
        yield node
    finally:
        node.stop()


@pytest.fixture
def six(breakable: Deployment) -> Deployment:
    """The node, whole, whatever the test before left of it."""
    try:
        breakable.start(within_s=4.0)
    except (AssertionError, RuntimeError):
        breakable.kill()
        breakable.start()
    return breakable


def test_there_are_six_processes_and_no_more(six: Deployment) -> None:
    assert len({process.pid for process in six.running.values()}) == len(ROLES)
    assert [children(process.pid) for process in six.running.values()] == [[]] * len(ROLES)


def everything(node: Deployment) -> dict[str, object]:
    """Members, nodes, services, health and DNS answers, as clients read them."""
    paths = (
        "agent/members", "agent/services", "catalog/nodes", "catalog/services", "health/service/consul", "health/service/web",
        "status/leader", "status/peers",
    )  # fmt: skip
    answers = {path: node.api.get(f"/v1/{path}") for path in paths}
    assert {answer.status_code for answer in answers.values()} == {200}, {path: answer.text for path, answer in answers.items()}
    names = (f"{node.node}.node.consul", "web.service.consul", "consul.service.consul")
    return {path: answer.json() for path, answer in answers.items()} | {name: node.dns.addresses(name, within_s=0.3) for name in names}


def calls_during(role: str) -> dict[str, Call]:
    """What callers are promised while this role is away. Where the gateway is, nothing answers without it."""
    quick = ERROR_WITHIN_S + SLACK_S
    return {
        "stale": Call("/v1/health/service/web?stale", quick, must_succeed=role != "gateway"),
        "default": Call("/v1/health/service/web", HOLD_S + SLACK_S, must_succeed=role in ("gossip", "local", "dns")),
        "consistent": Call("/v1/catalog/nodes?consistent", HOLD_S + SLACK_S, must_succeed=role in ("gossip", "local", "dns")),
        "members": Call("/v1/agent/members", quick, must_succeed=role not in ("gossip", "gateway")),
        "self": Call("/v1/agent/self", quick, must_succeed=role in ("consensus", "catalog", "dns")),
        "leader": Call("/v1/status/leader", quick, must_succeed=role in ("gossip", "local", "dns")),
        "peers": Call("/v1/status/peers", quick, must_succeed=role in ("consensus", "catalog", "local", "dns")),
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_is_killed_and_started_again_is_found_by_the_others_and_no_caller_hangs(six: Deployment, role: str) -> None:
    before = everything(six)
    others = {name: process.pid for name, process in six.running.items() if name != role}
    with Callers(six.http_address, calls_during(role)):
        six.running[role].kill()
        six.bring_back(role)
        eventually(lambda: everything(six) == before, BACK_WITHIN_S + SLACK_S, f"all is as before {role} was killed")
    written = Stopwatch()
    six.api.register("after", "127.0.0.11")
    assert written.is_within(ERROR_WITHIN_S)
    eventually(lambda: six.dns.addresses("after.node.consul") == ["127.0.0.11"], ERROR_WITHIN_S, "DNS has followed")
    six.api.deregister("after")
    assert {name: process.pid for name, process in six.running.items() if name != role} == others
    six.assert_alive()


def test_the_whole_node_killed_at_once_comes_back_with_its_catalog(six: Deployment) -> None:
    before = everything(six)
    six.kill()
    six.start()
    eventually(lambda: everything(six) == before, BACK_WITHIN_S + SLACK_S, "all is as before")


def test_roles_may_be_started_in_any_order(six: Deployment) -> None:
    six.kill()
    for role in reversed(ROLES):
        six.start_one(role)
    six.wait_until_ready()


def fails_within(node: Deployment, method: str, path: str, body: object, within_s: float) -> httpx.Response:
    """The error that the caller gets, in time."""
    watch = Stopwatch()
    answer = node.api.ask(method, path, body, within_s=within_s + SLACK_S)
    assert watch.is_within(within_s + SLACK_S)
    assert answer.status_code >= 500, f"{method} {path}: {answer.status_code} {answer.text}"
    assert answer.text.strip(), "an error says what is wrong"
    return answer


REGISTRATION = {"Node": "never", "Address": "127.0.0.12"}


@pytest.mark.parametrize("role", ["consensus", "catalog"])
def test_without_a_leader_or_a_catalog_stale_reads_and_dns_give_the_last_known_answer(six: Deployment, role: str) -> None:
    before = six.api.get("/v1/health/service/web").json()
    assert six.dns.addresses("web.service.consul") == ["127.0.0.9"]
    six.running[role].kill()
    for _ in range(3):
        watch = Stopwatch()
        answer = six.api.get("/v1/health/service/web?stale", within_s=ERROR_WITHIN_S)
        assert answer.status_code == 200
        assert answer.json() == before
        assert six.dns.addresses("web.service.consul", within_s=ERROR_WITHIN_S) == ["127.0.0.9"]
        assert watch.is_within(ERROR_WITHIN_S + SLACK_S)

    def says_so() -> bool:
        found = six.api.get("/v1/health/service/web?stale")
        return found.headers["X-Consul-KnownLeader"] == "false" and found.json() == before

    eventually(says_so, 5.0, "the answer says that no leader is known")


@pytest.mark.parametrize("role", ["consensus", "catalog"])
def test_without_a_leader_or_a_catalog_default_reads_and_writes_fail_within_the_hold_time_then_at_once(six: Deployment, role: str) -> None:
    six.running[role].kill()
    first = fails_within(six, "GET", "/v1/catalog/nodes", None, HOLD_S + ERROR_WITHIN_S)
    assert "No cluster leader" in first.text
    again = fails_within(six, "GET", "/v1/catalog/nodes?consistent", None, ERROR_WITHIN_S)
    assert "No cluster leader" in again.text
    fails_within(six, "PUT", "/v1/catalog/register", REGISTRATION, HOLD_S + ERROR_WITHIN_S)


def test_a_default_read_that_waits_is_answered_when_the_leader_comes_back(six: Deployment) -> None:
    six.running["consensus"].kill()
    six.start_one("consensus")
    answer = six.api.get("/v1/catalog/nodes", within_s=HOLD_S)
    assert answer.status_code == 200
    assert six.node in {node["Node"] for node in answer.json()}


def test_without_gossip_the_catalog_goes_on_and_members_fail_at_once(six: Deployment) -> None:
    six.running["gossip"].kill()
    fails_within(six, "GET", "/v1/agent/members", None, ERROR_WITHIN_S)
    assert six.api.get("/v1/catalog/nodes", within_s=ERROR_WITHIN_S).status_code == 200
    assert six.dns.addresses("web.service.consul", within_s=ERROR_WITHIN_S) == ["127.0.0.9"]
    six.api.register("unbothered", "127.0.0.13")
    six.api.deregister("unbothered")


def test_a_restart_of_gossip_does_not_take_the_node_out_of_the_catalog(six: Deployment) -> None:
    """Absence from the list is never evidence: the checks must not change while gossip is away and comes back."""
    before = six.api.get(f"/v1/health/node/{six.node}").json()
    six.running["gossip"].kill()
    six.bring_back("gossip")
    eventually(lambda: six.api.get("/v1/agent/members").status_code == 200, BACK_WITHIN_S + SLACK_S, "gossip is back")
    assert six.api.get(f"/v1/health/node/{six.node}").json() == before


def test_without_local_its_part_of_the_api_fails_at_once_and_the_catalog_goes_on(six: Deployment) -> None:
    six.running["local"].kill()
    fails_within(six, "GET", "/v1/agent/self", None, ERROR_WITHIN_S)
    fails_within(six, "PUT", "/v1/agent/service/register", {"Name": "never"}, ERROR_WITHIN_S)
    assert six.api.get("/v1/catalog/nodes", within_s=ERROR_WITHIN_S).status_code == 200


def test_without_dns_http_goes_on_and_without_http_dns_does(six: Deployment) -> None:
    six.running["dns"].kill()
    assert six.api.get("/v1/catalog/nodes", within_s=ERROR_WITHIN_S).status_code == 200
    with pytest.raises((dns.exception.Timeout, OSError)):
        six.dns.ask("web.service.consul", within_s=0.3)
    six.bring_back("dns")
    six.running["gateway"].kill()
    with pytest.raises(httpx.ConnectError):
        six.api.get("/v1/catalog/nodes")
    eventually(lambda: six.dns.addresses("web.service.consul", within_s=0.3) == ["127.0.0.9"], BACK_WITHIN_S + SLACK_S, "dns answers")


def test_the_public_grpc_door_says_at_once_what_cannot_be_reached(six: Deployment) -> None:
    with grpc.insecure_channel(six.grpc_address) as channel:
        catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        gossip = gossip_pb2_grpc.GossipServiceStub(channel)
        assert catalog.ListNodes(catalog_pb2.ListNodesRequest(), timeout=HOLD_S).nodes
        six.running["gossip"].kill()
        watch = Stopwatch()
        with pytest.raises(grpc.RpcError) as refused:
            gossip.ListMembers(gossip_pb2.ListMembersRequest(), timeout=HOLD_S)
        assert watch.is_within(ERROR_WITHIN_S + SLACK_S)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert catalog.ListNodes(catalog_pb2.ListNodesRequest(), timeout=HOLD_S).nodes


def test_a_watch_over_http_outlives_the_restart_of_a_role(six: Deployment) -> None:
    """A blocking query that is parked when the catalog goes is answered when it is back and something changed."""
    index = six.api.get("/v1/catalog/node/db-1").headers["X-Consul-Index"]
    with httpx.stream(
        "GET", f"http://{six.http_address}/v1/catalog/node/db-1?index={index}&wait=1s", timeout=30.0, trust_env=False
    ) as waiting:
        waiting.read()
        assert waiting.status_code == 200
    six.running["catalog"].kill()
    six.bring_back("catalog")
    eventually(lambda: six.api.get("/v1/catalog/node/db-1").status_code == 200, BACK_WITHIN_S + SLACK_S, "the catalog is back")
    assert six.api.get(f"/v1/catalog/node/db-1?index={index}&wait=300ms").headers["X-Consul-Index"] == index
    assert six.dns.addresses("db-1.node.consul") == ["127.0.0.9"]
    assert six.dns.host == HOST
