"""This node's services and checks: what they become, and what the catalog is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.errors import BadRequest, NotFound, Unsupported
from rostra.local.core import LocalState, Step
from rostra.model.catalog import Check, CheckDefinition, Deregistration, HealthStatus, Node, Registration, Service
from rostra.model.topics import Value

NODE = Node("n1", "127.0.0.1", id="3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a11")
WEB = Service("web", "web", tags=("a",), port=80)


def ttl(name: str = "", seconds: float = 10.0, check_id: str = "") -> Check:
    return Check("", check_id, name, definition=CheckDefinition(ttl_s=seconds), type="ttl")


def state(**options: object) -> LocalState:
    return LocalState(NODE, **options)  # type: ignore[arg-type]


class Catalog:
    """The node's entries as a dumb catalog keeps them."""

    def __init__(self) -> None:
        self.node: Node | None = None
        self.services: dict[str, Service] = {}
        self.checks: dict[str, Check] = {}
        self.index = 10

    def values(self) -> list[Value]:
        return [value for value in (self.node, *self.services.values(), *self.checks.values()) if value is not None]

    def apply(self, steps: list[Step]) -> list[str]:
        for step in steps:
            self.index += 1
            match step.command:
                case Registration(node=node, skip_node_update=skip, service=service, checks=checks):
                    if not skip or self.node is None:
                        self.node = replace(node, create_index=self.index, modify_index=self.index)
                    if service is not None:
                        self.services[service.id] = replace(service, create_index=self.index, modify_index=self.index)
                    for check in checks:
                        self.checks[check.check_id] = replace(check, create_index=self.index, modify_index=self.index)
                case Deregistration(service_id=service_id, check_id=check_id) if service_id:
                    del self.services[service_id]
                    self.checks = {each: check for each, check in self.checks.items() if check.service_id != service_id}
                case Deregistration(check_id=check_id):
                    del self.checks[check_id]
        return [step.action for step in steps]


def test_an_empty_catalog_is_told_of_the_node_and_what_is_its_own() -> None:
    catalog = Catalog()
    local = state(own=[Service("consul", "consul", port=8300)])
    assert catalog.apply(local.plan(catalog.values(), 0.0)) == ["node info", "service 'consul'"]
    assert local.plan(catalog.values(), 0.0) == []


def test_a_service_comes_with_its_checks_and_goes_with_them() -> None:
    catalog, local = Catalog(), state()
    local.register_service(WEB, [ttl(), ttl("second")], now=0.0)
    catalog.apply(local.plan(catalog.values(), 0.0))
    assert sorted(catalog.checks) == ["service:web:1", "service:web:2"]
    assert {check.service_name for check in catalog.checks.values()} == {"web"}
    local.deregister_service("web")
    assert catalog.apply(local.plan(catalog.values(), 0.0)) == ["removal of service 'web'"]
    assert (catalog.services, catalog.checks) == ({}, {})


def test_a_single_check_of_a_service_is_named_after_it() -> None:
    local = state()
    local.register_service(WEB, [ttl()], now=0.0)
    assert list(local.checks()) == ["service:web"]


def test_what_the_agent_does_not_know_is_removed_but_never_serf_health() -> None:
    catalog, local = Catalog(), state()
    catalog.apply(local.plan([], 0.0))
    catalog.services["stray"] = Service("stray", "stray")
    catalog.checks["serfHealth"] = Check("n1", "serfHealth", "Serf Health Status", HealthStatus.PASSING)
    catalog.checks["old"] = Check("n1", "old", "old")
    assert catalog.apply(local.plan(catalog.values(), 0.0)) == ["removal of service 'stray'", "removal of check 'old'"]
    assert list(catalog.checks) == ["serfHealth"]


def test_a_check_that_changes_is_told_at_once_but_its_output_alone_is_held_back() -> None:
    catalog, local = Catalog(), state(check_update_interval_s=300.0)
    local.register_service(WEB, [ttl()], now=0.0)
    catalog.apply(local.plan(catalog.values(), 0.0))
    local.update_ttl("service:web", HealthStatus.PASSING, "well", 1.0)
    assert catalog.apply(local.plan(catalog.values(), 1.0)) == ["check 'service:web'"]
    local.update_ttl("service:web", HealthStatus.PASSING, "very well", 2.0)
    assert local.plan(catalog.values(), 2.0) == []
    assert local.plan(catalog.values(), 301.9) == []
    assert catalog.apply(local.plan(catalog.values(), 302.0)) == ["check 'service:web'"]
    assert catalog.checks["service:web"].output == "very well"


def test_a_ttl_check_that_is_not_told_anything_turns_critical() -> None:
    local = state()
    local.register_service(WEB, [ttl(seconds=10.0)], now=0.0)
    local.update_ttl("service:web", HealthStatus.PASSING, "well", 5.0)
    assert local.deadline == 15.0
    local.tick(14.9)
    assert local.checks()["service:web"].status is HealthStatus.PASSING
    local.tick(15.0)
    assert (local.checks()["service:web"].status, local.checks()["service:web"].output) == (HealthStatus.CRITICAL, "TTL expired")


def test_output_is_cut_at_its_limit() -> None:
    local = state(output_max_size=5)
    local.register_check(ttl("mem"), 0.0)
    local.update_ttl("mem", HealthStatus.WARNING, "123456789", 0.0)
    assert local.checks()["mem"].output == "12345"


def test_tags_that_others_may_override_are_left_to_them() -> None:
    catalog, local = Catalog(), state()
    local.register_service(replace(WEB, enable_tag_override=True), now=0.0)
    catalog.apply(local.plan(catalog.values(), 0.0))
    catalog.services["web"] = replace(catalog.services["web"], tags=("theirs",))
    assert local.plan(catalog.values(), 0.0) == []


def test_maintenance_is_a_critical_check_until_it_ends() -> None:
    local = state()
    local.register_service(WEB, now=0.0)
    local.set_maintenance("web", enable=True, reason="moving", now=0.0)
    check = local.checks()["_service_maintenance:web"]
    assert (check.status, check.notes, check.service_id) == (HealthStatus.CRITICAL, "moving", "web")
    local.set_maintenance("", enable=True, reason="", now=0.0)
    assert "no reason was provided" in local.checks()["_node_maintenance"].notes
    local.set_maintenance("web", enable=False, reason="", now=0.0)
    local.set_maintenance("", enable=False, reason="", now=0.0)
    assert local.checks() == {}


def test_replacing_checks_removes_those_that_are_not_given_again() -> None:
    local = state()
    local.register_service(WEB, [ttl(check_id="a", name="a"), ttl(check_id="b", name="b")], now=0.0)
    local.register_service(WEB, [ttl(check_id="b", name="b")], now=0.0)
    assert list(local.checks()) == ["a", "b"]
    local.register_service(WEB, [ttl(check_id="b", name="b")], replace_checks=True, now=0.0)
    assert list(local.checks()) == ["b"]


@pytest.mark.parametrize(
    ("definition", "error"),
    [
        (CheckDefinition(), BadRequest),
        (CheckDefinition(ttl_s=1.0, interval_s=1.0), BadRequest),
        (CheckDefinition(http="http://127.0.0.1", interval_s=1.0), Unsupported),
    ],
)
def test_a_bad_check_changes_nothing(definition: CheckDefinition, error: type[Exception]) -> None:
    local = state()
    with pytest.raises(error):
        local.register_service(WEB, [Check("", "", "bad", definition=definition)], now=0.0)
    assert (local.services(), local.checks()) == ({}, {})


def test_unknown_things_are_not_found() -> None:
    local = state()
    acts: list[Callable[[], None]] = [
        lambda: local.deregister_service("no"),
        lambda: local.deregister_check("no"),
        lambda: local.update_ttl("no", HealthStatus.PASSING, "", 0.0),
        lambda: local.set_maintenance("no", enable=True, reason="", now=0.0),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()


def test_a_service_without_a_name_or_with_the_agents_own_id_is_refused() -> None:
    local = state(own=[Service("consul", "consul")])
    with pytest.raises(BadRequest, match="Missing service name"):
        local.register_service(Service("x", ""), now=0.0)
    with pytest.raises(BadRequest, match="belongs to the agent"):
        local.register_service(Service("consul", "mine"), now=0.0)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "pass", "warn", "maintain", "heal", "stray", "push"]), st.sampled_from(["a", "b", "c"])),
    max_size=40,
)


@given(OPERATIONS)
def test_whatever_happens_a_plan_that_is_carried_out_leaves_nothing_to_do(operations: list[tuple[str, str]]) -> None:
    catalog, local, now = Catalog(), state(check_update_interval_s=0.0), 0.0
    for operation, name in operations:
        now += 1.0
        known = name in local.services()
        match operation:
            case "add":
                local.register_service(Service(name, name), [ttl()], now=now)
            case "remove" if known:
                local.deregister_service(name)
            case "pass" | "warn" if known:
                status = HealthStatus.PASSING if operation == "pass" else HealthStatus.WARNING
                local.update_ttl(f"service:{name}", status, operation, now)
            case "maintain" | "heal" if known:
                local.set_maintenance(name, enable=operation == "maintain", reason="", now=now)
            case "stray":
                catalog.checks[f"stray {name}"] = Check("n1", f"stray {name}", "stray")
            case "push":
                catalog.apply(local.plan(catalog.values(), now))
    catalog.apply(local.plan(catalog.values(), now))
    assert local.plan(catalog.values(), now) == []
    assert set(catalog.services) == set(local.services())
    assert {check_id: check.status for check_id, check in catalog.checks.items()} == {
        check_id: check.status for check_id, check in local.checks().items()
    }
