"""This node's services and checks: what is registered, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rostra.consensus.limits import Limits
from rostra.errors import BadRequest, NotFound, RostraError
from rostra.local.core import Definitions, LocalState
from rostra.local.rules import MAX_TOLD_BYTES, name_checks
from rostra.model.catalog import NO_DEFINITION, Check, CheckDefinition, HealthStatus, Node, Registration, Service, ServiceAddress
from rostra.model.proto import command_to_proto
from rostra.model.rules import MAX_NAME_LENGTH, check_command

NODE = Node("n1", "127.0.0.1", id="3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a11")
WEB = Service("web", "web", tags=("a",), port=80)
PASSING, WARNING, CRITICAL = HealthStatus.PASSING, HealthStatus.WARNING, HealthStatus.CRITICAL


def ttl(name: str = "", seconds: float = 10.0, check_id: str = "", **definition: float) -> Check:
    return Check("", check_id, name, definition=CheckDefinition(ttl_s=seconds, **definition))  # type: ignore[arg-type]


def run(name: str, **definition: float) -> Check:
    return Check("", name, name, definition=CheckDefinition(http="http://127.0.0.1", interval_s=10.0, **definition))  # type: ignore[arg-type]


def alias(name: str, *, service: str = "", node: str = "", of: str = "") -> Check:
    return Check("", name, name, service_id=of, definition=CheckDefinition(alias_service=service, alias_node=node))


def state(**options: object) -> LocalState:
    return LocalState(NODE, **options)  # type: ignore[arg-type]


def statuses(local: LocalState) -> dict[str, str]:
    return {check_id: check.status.value for check_id, check in local.checks().items()}


def test_a_single_check_of_a_service_is_named_after_it_and_several_are_numbered() -> None:
    local = state()
    local.register_service(WEB, [ttl()], now=0.0)
    local.register_service(Service("db", "db"), [ttl(), ttl("second")], now=0.0)
    assert list(local.checks()) == ["service:db:1", "service:db:2", "service:web"]
    assert local.checks()["service:web"].service_name == "web"


def test_a_service_with_an_ip_address_has_it_by_family_too_unless_others_are_given() -> None:
    local, other = state(), ServiceAddress("192.0.2.1", 9)
    local.register_service(Service("a", "a", address="10.0.0.1", port=1, tagged_addresses={"wan_ipv4": other}), now=0.0)
    local.register_service(Service("b", "b", address="2001:db8::1", port=2), now=0.0)
    local.register_service(Service("c", "c", address="db.example.com", port=3), now=0.0)
    assert {name: dict(service.tagged_addresses) for name, service in local.services().items()} == {
        "a": {"lan_ipv4": ServiceAddress("10.0.0.1", 1), "wan_ipv4": other},
        "b": {"lan_ipv6": ServiceAddress("2001:db8::1", 2), "wan_ipv6": ServiceAddress("2001:db8::1", 2)},
        "c": {},
    }


def test_a_service_goes_with_its_checks() -> None:
    local = state()
    local.register_service(WEB, [ttl(), ttl("second")], now=0.0)
    local.register_check(ttl("mem"), 0.0)
    local.deregister_service("web", 0.0)
    assert (list(local.services()), list(local.checks())) == ([], ["mem"])


def test_replacing_checks_removes_those_that_are_not_given_again() -> None:
    local = state()
    local.register_service(WEB, [ttl(check_id="a", name="a"), ttl(check_id="b", name="b")], now=0.0)
    local.register_service(WEB, [ttl(check_id="b", name="b")], now=0.0)
    assert list(local.checks()) == ["a", "b"]
    local.register_service(WEB, [ttl(check_id="b", name="b")], replace_checks=True, now=0.0)
    assert list(local.checks()) == ["b"]


def test_registering_again_makes_nothing_flap() -> None:
    local = state()
    local.register_service(WEB, [ttl()], now=0.0)
    local.update_ttl("service:web", PASSING, "well", 1.0)
    local.register_service(WEB, [replace(ttl(seconds=20.0), status=WARNING)], now=2.0)
    assert (local.checks()["service:web"].status, local.checks()["service:web"].output) == (PASSING, "well")
    local.tick(2.0)
    assert local.deadline == 22.0


@pytest.mark.parametrize(
    "definition",
    [
        CheckDefinition(),
        CheckDefinition(ttl_s=1.0, interval_s=1.0),
        CheckDefinition(ttl_s=1.0, alias_service="web"),
        CheckDefinition(http="http://127.0.0.1"),
        CheckDefinition(http="http://127.0.0.1", tcp="127.0.0.1:1", interval_s=1.0),
        CheckDefinition(docker_container_id="c", interval_s=1.0),
        CheckDefinition(http="http://127.0.0.1", interval_s=1.0, timeout_s=-1.0),
    ],
)
def test_a_bad_check_changes_nothing(definition: CheckDefinition) -> None:
    local = state()
    with pytest.raises(BadRequest):
        local.register_service(WEB, [ttl("good"), Check("", "", "bad", definition=definition)], now=0.0)
    assert (local.services(), local.checks(), local.take_changes()) == ({}, {}, set())


def test_times_that_are_too_short_are_lengthened() -> None:
    local = state()
    check = Check("", "h", "h", definition=CheckDefinition(http="http://a", interval_s=0.001, deregister_critical_service_after_s=1.0))
    local.register_check(check, 0.0)
    definition = local.checks()["h"].definition
    assert (definition.interval_s, definition.deregister_critical_service_after_s) == (1.0, 60.0)


def test_unknown_things_are_not_found() -> None:
    local = state()
    local.register_check(run("http"), 0.0)
    acts: list[Callable[[], None]] = [
        lambda: local.deregister_service("no", 0.0),
        lambda: local.deregister_check("no", 0.0),
        lambda: local.update_ttl("no", PASSING, "", 0.0),
        lambda: local.update_ttl("http", PASSING, "", 0.0),
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


LONG = "x" * (MAX_NAME_LENGTH + 1)


@pytest.mark.parametrize(
    ("service", "checks", "text"),
    [
        (replace(WEB, name=LONG), [], "^Service.Service is too long"),
        (replace(WEB, id=LONG), [], "^Service.ID is too long"),
        (replace(WEB, id="a\0b"), [], "^Service.ID contains a NUL"),
        (replace(WEB, port=65536), [], "^Service.Port 65536 is not a port"),
        (replace(WEB, tagged_addresses={"lan": ServiceAddress("a", 65536)}), [], r"^Service.TaggedAddresses\[lan\].Port 65536"),
        (replace(WEB, meta={"a b": "v"}), [], r"Couldn't load metadata pair \('a b', 'v'\): Key contains invalid"),
        (replace(WEB, meta={"": "v"}), [], "Key cannot be blank"),
        (replace(WEB, meta={"k": "v" * 513}), [], "Value is too long"),
        (replace(WEB, meta={"consul-x": "v"}), [], "reserved"),
        (replace(WEB, meta=dict.fromkeys(map(str, range(65)), "")), [], "more than 64 key/value pairs"),
        (WEB, [ttl(check_id=LONG)], "Check.CheckID is too long"),
        (WEB, [ttl("a\0b")], r"Check.Name contains a NUL"),
        (replace(WEB, id=LONG[1:]), [ttl()], "Check.CheckID is too long"),
    ],
)
def test_what_the_catalog_would_not_take_is_refused_and_changes_nothing(service: Service, checks: list[Check], text: str) -> None:
    local = state()
    with pytest.raises(BadRequest, match=text):
        local.register_service(service, checks, now=0.0)
    assert (local.services(), local.take_changes()) == ({}, set())
    named = tuple(replace(check, node="", definition=NO_DEFINITION) for check in name_checks(service, checks))
    with pytest.raises(BadRequest):
        check_command(Registration(NODE, service=service, checks=named))
    assert len(local.restore([service] if not checks else [], [replace(each, check_id=each.check_id or LONG) for each in checks], 0.0)) == 1


def test_what_is_too_large_for_a_command_is_refused_and_what_fits_is_told() -> None:
    local = state()
    with pytest.raises(BadRequest, match="the service takes"):
        local.register_service(replace(WEB, tags=("t" * MAX_TOLD_BYTES,)), now=0.0)
    with pytest.raises(BadRequest, match="the check with its output takes"):
        local.register_service(WEB, [replace(ttl(), notes="n" * MAX_TOLD_BYTES)], now=0.0)
    with pytest.raises(BadRequest, match="the check with its output takes"):
        local.register_check(replace(ttl("c"), notes="n" * MAX_TOLD_BYTES), 0.0)
    assert (local.services(), local.checks()) == ({}, {})
    node = replace(NODE, meta={f"{number:0128}": "v" * 512 for number in range(64)})
    largest = replace(WEB, tags=tuple("t" * 100 for _ in range(MAX_TOLD_BYTES // 116 - 10)), meta={"k": "v"})
    local.register_service(largest, now=0.0)
    command = command_to_proto(Registration(node, skip_node_update=True, service=largest))
    assert command.ByteSize() < Limits().max_command_bytes


def test_maintenance_of_a_service_whose_check_would_have_too_long_an_id_is_refused() -> None:
    local = state()
    local.register_service(replace(WEB, id=LONG[1:]), now=0.0)
    with pytest.raises(BadRequest, match=r"Check.CheckID is too long"):
        local.set_maintenance(LONG[1:], enable=True, reason="", now=0.0)


def test_a_check_of_a_service_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadRequest, match='ServiceID "web" does not exist'):
        state().register_check(replace(ttl("mem"), service_id="web"), 0.0)


def test_a_ttl_check_that_is_not_told_anything_turns_critical_and_says_what_it_was_told_last() -> None:
    local = state()
    local.register_service(WEB, [ttl(seconds=10.0)], now=0.0)
    local.update_ttl("service:web", PASSING, "well", 5.0)
    local.tick(10.0)
    assert local.deadline == 15.0
    local.tick(14.9)
    assert statuses(local) == {"service:web": "passing"}
    local.tick(15.0)
    check = local.checks()["service:web"]
    assert (check.status, check.output) == (CRITICAL, "TTL expired (last output before timeout follows): well")
    local.tick(99.0)
    assert local.checks()["service:web"].output == check.output


def test_a_ttl_check_that_was_never_told_anything_expires_without_a_last_output() -> None:
    local = state()
    local.register_check(ttl("mem", 2.0), 0.0)
    local.tick(2.0)
    assert local.checks()["mem"].output == "TTL expired"


def test_what_a_ttl_check_was_told_before_a_restart_counts_for_what_is_left_of_its_time() -> None:
    local = state()
    local.register_check(ttl("mem", 10.0), 0.0)
    local.restore_ttl("mem", PASSING, "well", 3.0, 0.0)
    local.tick(2.9)
    assert statuses(local) == {"mem": "passing"}
    local.tick(3.0)
    assert statuses(local) == {"mem": "critical"}


def test_output_of_a_heartbeat_is_cut_at_its_limit_and_says_so() -> None:
    local = state(output_max_size=5)
    local.register_check(ttl("mem"), 0.0)
    local.update_ttl("mem", WARNING, "123456789", 0.0)
    assert local.checks()["mem"].output == "12345 ... (captured 5 of 9 bytes)"


def test_no_output_is_kept_where_none_is_wanted() -> None:
    local = state(discard_output=True)
    local.register_check(ttl("mem"), 0.0)
    local.update_ttl("mem", WARNING, "secret", 0.0)
    assert local.checks()["mem"].output == ""


Results = list[tuple[HealthStatus, HealthStatus]]


@pytest.mark.parametrize(
    ("thresholds", "results"),
    [
        ({}, [(CRITICAL, CRITICAL), (PASSING, PASSING), (WARNING, WARNING), (CRITICAL, CRITICAL)]),
        # The first result is believed at once, whatever the thresholds: so it was seen of Consul 1.8.7.
        ({"success_before_passing": 3}, [(PASSING, PASSING)]),
        ({"failures_before_critical": 3}, [(CRITICAL, CRITICAL)]),
        (
            {"failures_before_critical": 3},
            [
                (CRITICAL, CRITICAL),
                (CRITICAL, CRITICAL),
                (WARNING, WARNING),
                (CRITICAL, WARNING),
                (CRITICAL, WARNING),
                (CRITICAL, CRITICAL),
            ],
        ),
        (
            {"success_before_passing": 2},
            [(PASSING, PASSING), (CRITICAL, CRITICAL), (PASSING, CRITICAL), (WARNING, WARNING), (PASSING, PASSING)],
        ),
        (
            {"failures_before_warning": 2, "failures_before_critical": 4},
            [(PASSING, PASSING), (CRITICAL, PASSING), (CRITICAL, WARNING), (CRITICAL, WARNING), (CRITICAL, CRITICAL), (PASSING, PASSING)],
        ),
    ],
)
def test_a_check_follows_its_results_once_its_thresholds_are_met(thresholds: dict[str, float], results: Results) -> None:
    local = state()
    local.register_check(run("http", **thresholds), 0.0)
    for number, (result, status) in enumerate(results):
        local.observe("http", result, f"run {number}", float(number))
        assert local.checks()["http"].status is status, f"run {number}"


def test_a_result_of_a_check_that_has_gone_is_nothing() -> None:
    local = state()
    local.observe("gone", PASSING, "", 0.0)
    assert (local.checks(), local.take_changes()) == ({}, set())


def test_maintenance_is_a_critical_check_until_it_ends() -> None:
    local = state()
    local.register_service(WEB, now=0.0)
    local.set_maintenance("web", enable=True, reason="moving", now=0.0)
    check = local.checks()["_service_maintenance:web"]
    assert (check.status, check.notes, check.service_id, check.type) == (CRITICAL, "moving", "web", "maintenance")
    local.set_maintenance("", enable=True, reason="", now=0.0)
    assert "no reason was provided" in local.checks()["_node_maintenance"].notes
    for _ in range(2):
        local.set_maintenance("web", enable=False, reason="", now=0.0)
        local.set_maintenance("", enable=False, reason="", now=0.0)
    assert local.checks() == {}


# Deregistration of what is critical for too long


def critical_for(seconds: float, **options: float) -> list[str]:
    local = state()
    local.register_service(WEB, [run("http", deregister_critical_service_after_s=90.0, **options)], now=0.0)
    local.observe("http", CRITICAL, "", 100.0)
    local.observe("http", CRITICAL, "again", 150.0)
    return local.overdue(100.0 + seconds)


def test_a_service_is_overdue_once_its_check_has_been_critical_for_longer_than_it_may() -> None:
    assert critical_for(90.0) == []
    assert critical_for(90.1) == ["web"]


def test_a_check_that_recovered_meanwhile_is_counted_from_its_next_failure() -> None:
    local = state()
    local.register_service(WEB, [run("http", deregister_critical_service_after_s=60.0)], now=0.0)
    for now, result in ((0.0, CRITICAL), (50.0, WARNING), (55.0, CRITICAL)):
        local.observe("http", result, "", now)
    assert local.overdue(110.0) == []
    assert local.overdue(116.0) == ["web"]


def test_a_check_that_has_not_run_yet_and_one_of_the_node_take_no_service_with_them() -> None:
    local = state()
    local.register_service(WEB, [run("http", deregister_critical_service_after_s=60.0)], now=0.0)
    local.register_check(run("node", deregister_critical_service_after_s=60.0), 0.0)
    local.observe("node", CRITICAL, "", 0.0)
    assert local.overdue(1000.0) == []


def test_registering_again_does_not_start_the_count_anew() -> None:
    local = state()
    checks = [run("http", deregister_critical_service_after_s=60.0)]
    local.register_service(WEB, checks, now=0.0)
    local.observe("http", CRITICAL, "", 0.0)
    local.register_service(WEB, checks, now=50.0)
    assert local.overdue(61.0) == ["web"]


# Aliases


def test_an_alias_follows_the_worst_of_its_service_and_of_the_node() -> None:
    local = state()
    local.register_service(Service("front", "front"), [alias("al", service="web")], now=0.0)
    seen = [local.checks()["al"].output]
    local.register_service(WEB, now=0.0)
    seen.append(local.checks()["al"].output)
    local.register_check(replace(ttl("w"), service_id="web"), 0.0)
    local.update_ttl("w", PASSING, "", 0.0)
    seen.append(local.checks()["al"].output)
    local.update_ttl("w", WARNING, "hmm", 0.0)
    assert (local.checks()["al"].status, local.checks()["al"].output) == (WARNING, 'Aliased check "w" failing: hmm')
    local.register_check(ttl("mem"), 0.0)
    assert (local.checks()["al"].status, local.checks()["al"].output) == (CRITICAL, 'Aliased check "mem" failing: ')
    assert seen == ["Service web could not be found on node n1", "No checks found.", "All checks passing."]


def test_an_alias_of_this_node_follows_the_nodes_own_checks_only() -> None:
    local = state()
    local.register_service(WEB, [ttl()], now=0.0)
    local.register_service(Service("front", "front"), [alias("al", node="N1")], now=0.0)
    assert local.checks()["al"].status is PASSING
    local.set_maintenance("", enable=True, reason="", now=0.0)
    assert local.checks()["al"].status is CRITICAL


def test_aliases_of_aliases_follow_at_once() -> None:
    local = state()
    local.register_service(Service("c", "c"), [alias("c follows b", service="b")], now=0.0)
    local.register_service(Service("b", "b"), [alias("b follows a", service="a")], now=0.0)
    local.register_service(Service("a", "a"), [ttl(check_id="a")], now=0.0)
    local.update_ttl("a", PASSING, "", 0.0)
    assert set(statuses(local).values()) == {"passing"}
    local.tick(100.0)
    assert set(statuses(local).values()) == {"critical"}


def test_aliases_of_the_node_do_not_hold_each_other_critical() -> None:
    local = state()
    local.register_service(WEB, now=0.0)
    local.register_check(alias("one", service="web"), 0.0)
    local.register_check(alias("two", service="web"), 0.0)
    assert statuses(local) == {"one": "passing", "two": "passing"}


def test_aliases_in_a_ring_do_not_grow_without_end() -> None:
    local = state(output_max_size=100)
    local.register_service(Service("a", "a"), [alias("a follows b", service="b")], now=0.0)
    local.register_service(Service("b", "b"), [alias("b follows a", service="a")], now=0.0)
    for now in range(50):
        local.tick(float(now))
    assert max(len(check.output) for check in local.checks().values()) <= 100


def test_an_alias_of_another_node_is_left_to_whoever_watches_that_node() -> None:
    local = state()
    local.register_check(alias("al", node="n2"), 0.0)
    local.follow("al", WARNING, "from afar", 0.0)
    local.tick(1.0)
    assert local.checks()["al"].output == "from afar"


# What files define, and what is kept


def defined(*services: tuple[Service, list[Check]], checks: tuple[Check, ...] = ()) -> Definitions:
    return Definitions(services, checks)


def test_what_files_define_is_not_kept_and_what_is_registered_is() -> None:
    local = state()
    local.define(defined((WEB, [ttl()]), checks=(ttl("disk"),)), 0.0)
    local.register_service(Service("api", "api"), [ttl()], now=0.0)
    local.register_check(replace(ttl("extra"), service_id="web"), 0.0)
    local.set_maintenance("web", enable=True, reason="", now=0.0)
    assert sorted(local.registered()) == ["check\0_service_maintenance:web", "check\0extra", "check\0service:api", "service\0api"]


def test_a_reload_drops_what_is_not_defined_any_more_and_keeps_the_state_of_what_is() -> None:
    local = state()
    local.define(defined((WEB, [ttl()]), (Service("old", "old"), []), checks=(ttl("disk"),)), 0.0)
    local.update_ttl("service:web", PASSING, "well", 0.0)
    local.define(defined((replace(WEB, port=81), [ttl()])), 1.0)
    assert (list(local.services()), local.services()["web"].port) == (["web"], 81)
    assert (list(local.checks()), local.checks()["service:web"].output) == (["service:web"], "well")


def test_definitions_of_which_one_is_bad_change_nothing() -> None:
    local = state()
    local.define(defined((WEB, [])), 0.0)
    before = local.services()
    local.take_changes()
    with pytest.raises(BadRequest):
        local.define(defined((Service("new", "new"), []), checks=(replace(ttl("x"), service_id="no"),)), 1.0)
    assert (local.services(), local.take_changes()) == (before, set())


def test_a_definition_takes_over_a_registration_and_takes_it_along_when_it_goes() -> None:
    local = state()
    local.register_service(WEB, now=0.0)
    local.define(defined((replace(WEB, port=99), [])), 0.0)
    assert (local.services()["web"].port, local.registered()) == (99, {})
    local.define(defined(), 0.0)
    assert local.services() == {}


def test_after_a_restart_files_have_the_last_word_and_checks_are_critical_until_they_have_run() -> None:
    local = state()
    local.define(defined((replace(WEB, port=99), [])), 0.0)
    kept = [replace(run("http"), service_id="web", status=PASSING, definition=CheckDefinition(http="http://a", interval_s=1.0))]
    orphan = replace(ttl("orphan"), check_id="orphan", service_id="gone")
    local.restore([WEB, Service("api", "api")], [*kept, orphan], 0.0)
    assert {name: service.port for name, service in local.services().items()} == {"web": 99, "api": 0}
    assert statuses(local) == {"http": "critical"}


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "bad", "remove", "pass", "maintain", "heal", "alias", "define", "bad define", "tick"]),
        st.sampled_from(["a", "b", "c"]),
    ),
    max_size=30,
)


def operate(local: LocalState, operation: str, name: str, now: float) -> None:
    bad = Check("", "", "bad", definition=CheckDefinition())
    match operation:
        case "add":
            local.register_service(Service(name, name), [ttl()], now=now)
        case "bad":
            local.register_service(Service(name, name), [ttl("one"), bad], replace_checks=True, now=now)
        case "remove":
            local.deregister_service(name, now)
        case "pass":
            local.update_ttl(f"service:{name}", PASSING, operation, now)
        case "maintain" | "heal":
            local.set_maintenance(name, enable=operation == "maintain", reason="", now=now)
        case "alias":
            local.register_check(alias(f"of {name}", service=name), now)
        case "define":
            local.define(defined((Service(name, name, port=1), [ttl()])), now)
        case "bad define":
            local.define(defined((Service("d", "d"), [ttl()]), checks=(bad,)), now)
        case "tick":
            local.tick(now)


def look(local: LocalState) -> tuple[object, ...]:
    return local.services(), local.checks(), local.registered(), local.deadline


@given(OPERATIONS)
def test_whatever_is_refused_changes_nothing_and_a_copy_is_a_copy(operations: list[tuple[str, str]]) -> None:
    local = state()
    for number, (operation, name) in enumerate(operations):
        before, rehearsal = look(local), local.copy()
        refused: list[str] = []
        for each in (rehearsal, local):
            try:
                operate(each, operation, name, float(number))
            except RostraError as error:
                refused.append(str(error))
            if each is rehearsal:
                assert look(local) == before
        assert len(refused) in (0, 2)
        if refused:
            assert look(local) == before
        assert look(rehearsal) == look(local)
