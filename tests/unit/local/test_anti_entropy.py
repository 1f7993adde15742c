"""What the catalog is told of this node, and when."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rostra.consensus.limits import Limits
from rostra.local.anti_entropy import CHECKS_AT_ONCE, AntiEntropy
from rostra.local.core import LocalState
from rostra.model.catalog import NO_DEFINITION, Check, CheckDefinition, HealthStatus, Node, Registration, Service
from rostra.model.proto import command_to_proto

from .small_catalog import SmallCatalog

NODE = Node("n1", "127.0.0.1", id="3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a11")
WEB = Service("web", "web", tags=("a",), port=80)


class Pair:
    """A state, what follows it, and the catalog that is told."""

    def __init__(self, *, own: tuple[Service, ...] = (), hold_back_s: float = 300.0) -> None:
        self.state = LocalState(NODE, own=own)
        self.entropy = AntiEntropy(self.state, check_update_interval_s=hold_back_s)
        self.catalog = SmallCatalog()

    def compare(self, now: float = 0.0) -> list[str]:
        """A whole comparison, and what had to be told."""
        self.state.take_changes()
        self.entropy.compare(self.catalog.values(), now)
        return self.push(now)

    def push(self, now: float) -> list[str]:
        """What changed, told."""
        self.entropy.note(self.state.take_changes(), now)
        steps = self.entropy.steps(now)
        for step in steps:
            self.catalog.take(step.command)
            self.entropy.done(step, now)
        return [step.action for step in steps]

    def heartbeat(self, status: HealthStatus, output: str, now: float) -> list[str]:
        self.state.update_ttl("service:web", status, output, now)
        return self.push(now)


def ttl(seconds: float = 1e6) -> Check:
    return Check("", "", "", definition=CheckDefinition(ttl_s=seconds))


def test_an_empty_catalog_is_told_of_the_node_and_what_is_its_own() -> None:
    pair = Pair(own=(Service("consul", "consul", port=8300),))
    assert pair.compare() == ["node info", "service 'consul'"]
    assert pair.compare() == []


def test_a_service_is_told_with_its_checks_in_one_command() -> None:
    pair = Pair()
    pair.compare()
    pair.state.register_service(WEB, [ttl(), ttl()], now=0.0)
    assert pair.push(0.0) == ["service 'web'"]
    assert sorted(pair.catalog.checks) == ["service:web:1", "service:web:2"]
    pair.state.deregister_service("web", 0.0)
    assert pair.push(0.0) == ["removal of service 'web'"]
    assert (pair.catalog.services, pair.catalog.checks) == ({}, {})


def test_a_service_with_more_checks_than_go_at_once_is_told_of_all_of_them() -> None:
    pair = Pair()
    pair.compare()
    pair.state.register_service(WEB, [ttl() for _ in range(100)], now=0.0)
    pair.push(0.0)
    assert len(pair.catalog.checks) == 100
    assert pair.compare() == []


@pytest.mark.parametrize(
    "service", [WEB, replace(WEB, tags=tuple(f"{number} {'t' * 1000}" for number in range(400)))], ids=["small", "large"]
)
def test_long_outputs_are_told_in_commands_that_consensus_takes(service: Service) -> None:
    """Else the catalog would refuse the service with all its checks, again and again."""
    pair = Pair()
    pair.state = LocalState(NODE, output_max_size=1 << 30)
    pair.entropy = AntiEntropy(pair.state)
    pair.compare()
    pair.state.register_service(service, [replace(ttl(), notes="n" * 5000) for _ in range(CHECKS_AT_ONCE)], now=0.0)
    for check_id in pair.state.checks():
        pair.state.update_ttl(check_id, HealthStatus.CRITICAL, "x" * (1 << 21), 0.0)
    pair.entropy.note(pair.state.take_changes(), 0.0)
    steps = pair.entropy.steps(0.0)
    for step in steps:
        assert len(command_to_proto(step.command).SerializeToString()) < Limits().max_command_bytes
        pair.catalog.take(step.command)
        pair.entropy.done(step, 0.0)
    assert pair.entropy.is_even
    assert {check.status for check in pair.catalog.checks.values()} == {HealthStatus.CRITICAL}


def test_what_the_agent_does_not_know_is_removed_but_never_serf_health() -> None:
    pair = Pair()
    pair.compare()
    pair.catalog.services["stray"] = Service("stray", "stray")
    pair.catalog.checks |= {
        "serfHealth": Check("n1", "serfHealth", "Serf Health Status", HealthStatus.PASSING),
        "old": Check("n1", "old", "old"),
        "of stray": Check("n1", "of stray", "x", service_id="stray"),
    }
    assert pair.compare() == ["removal of service 'stray'", "removal of check 'old'"]
    assert list(pair.catalog.checks) == ["serfHealth"]


def test_what_others_changed_is_put_right() -> None:
    pair = Pair()
    pair.state.register_service(WEB, [ttl()], now=0.0)
    pair.compare()
    assert pair.catalog.node is not None
    pair.catalog.node = replace(pair.catalog.node, address="10.9.9.9")
    pair.catalog.services["web"] = replace(WEB, port=1)
    pair.catalog.checks["service:web"] = replace(pair.catalog.checks["service:web"], status=HealthStatus.PASSING)
    assert pair.compare() == ["node info", "service 'web'"]
    assert pair.compare() == []


def test_a_check_that_changes_is_told_at_once_but_its_output_alone_is_held_back() -> None:
    pair = Pair(hold_back_s=300.0)
    pair.state.register_service(WEB, [ttl()], now=0.0)
    pair.compare()
    assert pair.heartbeat(HealthStatus.PASSING, "well", 1.0) == ["check 'service:web'"]
    assert pair.heartbeat(HealthStatus.PASSING, "very well", 2.0) == []
    assert pair.heartbeat(HealthStatus.PASSING, "splendid", 200.0) == []
    assert (pair.entropy.deadline, pair.push(301.9), pair.compare(301.9)) == (302.0, [], [])
    assert pair.push(302.0) == ["check 'service:web'"]
    assert pair.catalog.checks["service:web"].output == "splendid"
    assert (pair.entropy.deadline, pair.push(999.0)) == (None, [])


def test_a_status_that_changes_takes_the_output_along() -> None:
    pair = Pair()
    pair.state.register_service(WEB, [ttl()], now=0.0)
    pair.compare()
    pair.heartbeat(HealthStatus.PASSING, "well", 1.0)
    pair.heartbeat(HealthStatus.PASSING, "unwell", 2.0)
    pair.heartbeat(HealthStatus.CRITICAL, "dead", 3.0)
    assert (pair.catalog.checks["service:web"].output, pair.entropy.deadline) == ("dead", None)


def test_an_output_that_returns_to_what_was_told_is_not_told_again() -> None:
    pair = Pair()
    pair.state.register_service(WEB, [ttl()], now=0.0)
    pair.compare()
    for output, now in (("one", 1.0), ("two", 2.0), ("one", 3.0)):
        pair.heartbeat(HealthStatus.PASSING, output, now)
    assert (pair.entropy.deadline, pair.push(1000.0)) == (None, [])


def test_how_a_check_is_run_stays_with_the_agent() -> None:
    pair = Pair()
    secret = CheckDefinition(http="http://127.0.0.1", header={"Authorization": ("secret",)}, interval_s=1.0)
    pair.state.register_service(WEB, [Check("", "", "", definition=secret)], now=0.0)
    pair.compare()
    assert pair.catalog.checks["service:web"].definition == NO_DEFINITION
    assert pair.catalog.checks["service:web"].type == "http"


def test_tags_of_a_service_are_told_once_and_not_with_each_check() -> None:
    pair = Pair()
    pair.state.register_service(WEB, [Check("", name, name, definition=CheckDefinition(ttl_s=1.0)) for name in "ab"], now=0.0)
    pair.entropy.compare([], 0.0)
    commands = [step.command for step in pair.entropy.steps(0.0)]
    told = [check for command in commands if isinstance(command, Registration) for check in command.checks]
    assert [(check.check_id, check.service_tags) for check in told] == [("a", ()), ("b", ())]


def test_tags_that_others_may_override_are_taken_from_them_and_not_told_back() -> None:
    pair = Pair()
    pair.state.register_service(replace(WEB, enable_tag_override=True), now=0.0)
    pair.compare()
    pair.catalog.services["web"] = replace(pair.catalog.services["web"], tags=("theirs",))
    assert pair.compare() == []
    assert pair.state.services()["web"].tags == ("theirs",)
    assert isinstance(kept := pair.state.registered()["service\0web"], Service)
    assert kept.tags == ("a",)
    pair.state.set_maintenance("web", enable=True, reason="", now=1.0)
    pair.push(1.0)
    assert pair.catalog.services["web"].tags == ("theirs",)


def test_tags_of_other_services_are_put_right() -> None:
    pair = Pair()
    pair.state.register_service(WEB, now=0.0)
    pair.compare()
    pair.catalog.services["web"] = replace(pair.catalog.services["web"], tags=("theirs",))
    assert pair.compare() == ["service 'web'"]


def test_what_changes_while_it_is_told_is_told_again() -> None:
    pair = Pair()
    pair.state.register_service(WEB, now=0.0)
    pair.compare()
    pair.state.register_service(replace(WEB, port=81), now=1.0)
    pair.entropy.note(pair.state.take_changes(), 1.0)
    (step,) = pair.entropy.steps(1.0)
    pair.state.register_service(replace(WEB, port=82), now=1.0)
    pair.entropy.note(pair.state.take_changes(), 1.0)
    pair.catalog.take(step.command)
    pair.entropy.done(step, 1.0)
    assert pair.push(1.0) == ["service 'web'"]
    assert pair.catalog.services["web"].port == 82


def test_a_command_of_unknown_fate_is_told_again_even_when_the_change_is_undone() -> None:
    pair = Pair()
    pair.state.register_service(WEB, now=0.0)
    pair.compare()
    pair.state.register_service(replace(WEB, port=81), now=1.0)
    pair.entropy.note(pair.state.take_changes(), 1.0)
    (step,) = pair.entropy.steps(1.0)
    pair.catalog.take(step.command)
    pair.entropy.failed(step, 1.0)
    pair.state.register_service(WEB, now=2.0)
    assert pair.push(2.0) == ["service 'web'"]
    assert pair.catalog.services["web"].port == 80


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "pass", "warn", "maintain", "heal", "stray", "push", "lose", "take and lose", "compare"]),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=40,
)


@given(OPERATIONS)
def test_whatever_happens_the_catalog_ends_equal_to_the_node_without_another_comparison(operations: list[tuple[str, str]]) -> None:
    pair = Pair(hold_back_s=0.0)
    pair.compare()
    local, catalog, now = pair.state, pair.catalog, 0.0
    strays = False
    for operation, name in operations:
        now += 1.0
        known = name in local.services()
        match operation:
            case "add":
                local.register_service(Service(name, name), [ttl()], now=now)
            case "remove" if known:
                local.deregister_service(name, now)
            case "pass" | "warn" if known:
                local.update_ttl(f"service:{name}", HealthStatus.PASSING if operation == "pass" else HealthStatus.WARNING, operation, now)
            case "maintain" | "heal" if known:
                local.set_maintenance(name, enable=operation == "maintain", reason="", now=now)
            case "stray":
                catalog.checks[f"stray {name}"] = Check("n1", f"stray {name}", "stray")
                strays = True
            case "push":
                pair.push(now)
            case "lose" | "take and lose":
                pair.entropy.note(local.take_changes(), now)
                for step in pair.entropy.steps(now):
                    if operation != "lose":
                        catalog.take(step.command)
                    pair.entropy.failed(step, now)
            case "compare":
                pair.compare(now)
                strays = False
    pair.compare(now) if strays else pair.push(now)
    assert pair.push(now) == []
    assert set(catalog.services) == set(local.services())
    facts = {check_id: (check.status, check.output) for check_id, check in catalog.checks.items()}
    assert facts == {check_id: (check.status, check.output) for check_id, check in local.checks().items()}


def test_the_node_is_told_first() -> None:
    pair = Pair()
    pair.state.register_service(WEB, [ttl()], now=0.0)
    pair.entropy.compare([], 0.0)
    first, *rest = pair.entropy.steps(0.0)
    assert isinstance(first.command, Registration)
    assert not first.command.skip_node_update
    assert all(isinstance(step.command, Registration) and step.command.skip_node_update for step in rest)


def test_what_an_output_costs_does_not_grow_with_how_many_are_held_back() -> None:
    """An agent with thousands of checks, each of which says something else each time, has thousands of outputs held back."""

    def cost_of_a_heartbeat_s(checks: int) -> float:
        pair = Pair()
        for number in range(checks):
            pair.state.register_check(replace(ttl(), check_id=f"c{number}", name="c"), 0.0)
        pair.compare()
        costs = []
        for turn in range(3):
            started = time.process_time()
            for number in range(checks):
                pair.state.update_ttl(f"c{number}", HealthStatus.CRITICAL, f"turn {turn}", 1.0)
                pair.push(1.0)
                _ = pair.entropy.deadline, pair.state.deadline
            costs.append((time.process_time() - started) / checks)
        assert pair.entropy.deadline == 301.0
        return min(costs)

    assert cost_of_a_heartbeat_s(3000) < 5 * cost_of_a_heartbeat_s(100)
