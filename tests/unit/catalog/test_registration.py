"""Consul's rules for registering, as Consul 1.8.7 shows them when it is tried."""

from __future__ import annotations

import pytest

from rostra.errors import BadRequest, Conflict
from rostra.model.catalog import CheckDefinition, CommandGroup, HealthStatus, Weights
from rostra.model.topics import TopicKind

from .helpers import ID_1, ID_2, ID_3, Book, alive, check, registration, service


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_new_node_gets_the_log_index_as_both_indexes(book: Book) -> None:
    book.register("a")
    node = book.node("a")
    assert node is not None
    assert (node.create_index, node.modify_index) == (1, 1)


def test_registering_the_same_again_moves_no_index_and_touches_nothing(book: Book) -> None:
    same = registration("a", service=service(tags=("x",)), checks=(check("c", service_id="web"),))
    book.ok(same)
    applied = book.ok(same)
    assert not applied.touched
    assert applied.outcome.index == 2
    assert book.service("a", "web").modify_index == 1  # type: ignore[union-attr]


def test_a_change_moves_the_modify_index_of_the_changed_record_only(book: Book) -> None:
    book.register("a", service=service(port=80), checks=(check("c"),))
    book.register("a", service=service(port=81))
    assert book.service("a", "web").modify_index == 2  # type: ignore[union-attr]
    assert book.service("a", "web").create_index == 1  # type: ignore[union-attr]
    assert book.node("a").modify_index == 1  # type: ignore[union-attr]
    assert book.check("a", "c").modify_index == 1  # type: ignore[union-attr]


def test_names_are_compared_without_case(book: Book) -> None:
    book.register("a", service=service("Web"), checks=(check("C"),))
    book.register("A", service=service("web"), checks=(check("c"),))
    assert len(book.state.store.nodes) == len(book.state.store.services) == len(book.state.store.checks) == 1
    assert book.node("a").name == "A"  # type: ignore[union-attr]
    assert book.service("a", "web").create_index == 1  # type: ignore[union-attr]


def test_a_node_is_found_by_id_and_renamed_without_what_was_on_it(book: Book) -> None:
    book.register("a", node_id=ID_1, service=service(), checks=(check("c"),))
    book.register("b", node_id=ID_1)
    assert book.node("a") is None
    assert book.node("b").create_index == 1  # type: ignore[union-attr]
    assert not book.state.store.services
    assert not book.state.store.checks


def test_ids_are_compared_without_case(book: Book) -> None:
    book.register("a", node_id="aaaa1111-1111-1111-1111-111111111111")
    book.register("b", node_id="AAAA1111-1111-1111-1111-111111111111")
    assert book.node("a") is None


def test_a_registration_without_an_id_takes_the_id_away(book: Book) -> None:
    book.register("a", node_id=ID_1)
    book.register("a", "10.0.0.2")
    assert book.node("a").id == ""  # type: ignore[union-attr]
    assert book.state.store.node_with_id(ID_1) is None


def test_the_name_of_a_living_node_is_not_given_to_another_id(book: Book) -> None:
    book.register("a", "1.1.1.3", node_id=ID_2, checks=alive())
    error = book.refusal(registration("A", "1.1.1.4", node_id=ID_3))
    assert isinstance(error, Conflict)
    assert str(error) == (
        f'failed inserting node: Error while renaming Node ID: "{ID_3}": Node name A is reserved by node {ID_2} with name a (1.1.1.3)'
    )


def test_a_known_node_is_not_renamed_to_the_name_of_a_living_one(book: Book) -> None:
    book.register("d", "1.1.1.9", node_id=ID_1, checks=alive())
    book.register("c", "1.1.1.4", node_id=ID_3)
    error = book.refusal(registration("d", "5.5.5.5", node_id=ID_3))
    assert str(error) == (
        f'failed inserting node: Error while renaming Node ID: "{ID_3}" (5.5.5.5): '
        f"Node name d is reserved by node {ID_1} with name d (1.1.1.9)"
    )


@pytest.mark.parametrize("checks", [(), (check("serfHealth", HealthStatus.CRITICAL),)])
def test_a_node_that_does_not_live_gives_its_name_and_what_is_on_it_away(book: Book, checks: tuple[()]) -> None:
    book.register("a", node_id=ID_1, service=service("old"), checks=checks)
    book.register("a", node_id=ID_2)
    assert book.node("a").id == ID_2  # type: ignore[union-attr]
    assert book.node("a").create_index == 1  # type: ignore[union-attr]
    assert book.service("a", "old") is not None


def test_skip_node_update_leaves_a_node_that_exists_as_it_is(book: Book) -> None:
    book.register("a", node_id=ID_1)
    book.register("a", "9.9.9.9", node_id=ID_2, skip=True, service=service())
    assert book.node("a").address == "10.0.0.1"  # type: ignore[union-attr]
    assert book.service("a", "web") is not None


def test_skip_node_update_makes_a_node_that_does_not_exist(book: Book) -> None:
    book.register("a", "", skip=True, service=service())
    assert book.node("a") is not None


def test_a_check_of_a_service_takes_its_name_and_tags(book: Book) -> None:
    book.register("a", service=service("Web", tags=("t",)))
    book.register("a", checks=(check("c", service_id="WEB", service_name="lie", service_tags=("lie",)),))
    found = book.check("a", "c")
    assert found is not None
    assert (found.service_id, found.service_name, found.service_tags) == ("WEB", "Web", ("t",))


def test_a_check_of_a_service_that_is_not_there_is_refused_and_nothing_is_done(book: Book) -> None:
    error = book.refusal(registration("q", checks=(check("c", service_id="none"),)))
    assert str(error) == 'failed inserting check: Missing service registration on node "q"'
    assert book.node("q") is None


def test_a_check_that_names_another_node_is_refused(book: Book) -> None:
    other = registration("a", checks=(check("c"),))
    from msgspec.structs import replace

    error = book.refusal(replace(other, checks=(replace(other.checks[0], node="other"),)))
    assert str(error) == 'check node "other" does not match node "a"'


def test_a_service_with_an_id_needs_a_name(book: Book) -> None:
    error = book.refusal(registration("a", service=service("", "x")))
    assert isinstance(error, BadRequest)
    assert (str(error), error.field) == ("Must provide service name with ID", "Service.Service")


@pytest.mark.parametrize(
    ("given", "kept"),
    [((10, 0), (10, 0)), ((0, 1), (1, 1)), ((0, 0), (1, 1)), ((65535, 65535), (65535, 65535)), ((65536, 5), (1, 1)), ((5, 65536), (1, 1))],
)
def test_weights_that_make_no_sense_become_the_default(book: Book, given: tuple[int, int], kept: tuple[int, int]) -> None:
    book.register("a", service=service(weights=Weights(*given)))
    assert book.service("a", "web").weights == Weights(*kept)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        (CheckDefinition(http="http://x", interval_s=10), "http"),
        (CheckDefinition(http="http://x"), ""),
        (CheckDefinition(ttl_s=10), "ttl"),
        (CheckDefinition(args=("true",), docker_container_id="x", interval_s=1), "docker"),
        (CheckDefinition(alias_service="web", interval_s=1), "alias"),
    ],
)
def test_the_type_of_a_check_comes_from_its_definition(book: Book, definition: CheckDefinition, kind: str) -> None:
    book.register("a", checks=(check("c", definition=definition),))
    assert book.check("a", "c").type == kind  # type: ignore[union-attr]


def test_a_service_renamed_under_its_id_moves_from_one_name_to_the_other(book: Book) -> None:
    book.register("a", service=service("web", "w"), checks=(check("c", service_id="w"),))
    book.register("a", service=service("www", "w"))
    assert not book.topic(TopicKind.SERVICE, "web")
    assert list(book.topic(TopicKind.SERVICE, "www")) == ["a\0w"]
    assert list(book.topic(TopicKind.SERVICES)) == ["www"]
    assert book.check("a", "c").service_name == "web"  # type: ignore[union-attr]


def test_a_group_is_done_whole_at_one_index(book: Book) -> None:
    book.ok(CommandGroup((registration("a"), registration("b", service=service()))))
    assert book.node("a").create_index == book.service("b", "web").create_index == 1  # type: ignore[union-attr]


def test_a_group_with_one_refusal_does_nothing(book: Book) -> None:
    book.register("a", node_id=ID_1, service=service(), checks=(check("c", service_id="web"),))
    group = CommandGroup((registration("b", node_id=ID_1), registration("a", service=service("", "x"))))
    book.refusal(group)
    assert book.state.store.node_with_id(ID_1) == book.node("a")
    assert list(book.topic(TopicKind.SERVICE, "web")) == ["a\0web"]


def test_a_request_that_comes_again_gets_its_first_result_and_is_not_done_twice(book: Book) -> None:
    assert book.do(registration("a"), b"1").outcome.index == 1
    book.deregister("a")
    again = book.do(registration("a"), b"1")
    assert again.outcome.index == 1
    assert book.node("a") is None
    refused = book.do(registration("a", service=service("", "x")), b"2").outcome
    assert book.do(registration("a"), b"2").outcome == refused


def test_only_the_last_results_are_remembered() -> None:
    from rostra.catalog.results import Outcome, Results

    results = Results(limit=2)
    for number in range(3):
        results.remember(bytes([number]), Outcome(number))
    assert list(results.capture()) == [b"\1", b"\2"]
