"""What goes with what, and that removing what is not there is no error."""

from __future__ import annotations

import pytest

from rostra.model.topics import ANY_CHECKS, NODES, SERVICES, Topic, TopicKind

from .helpers import Book, check, service


@pytest.fixture
def book() -> Book:
    book = Book()
    book.register("a", service=service(), checks=(check("n"), check("s", service_id="web")))
    return book


def test_a_service_goes_with_its_checks(book: Book) -> None:
    book.deregister("A", "WEB")
    assert book.service("a", "web") is None
    assert book.check("a", "s") is None
    assert book.check("a", "n") is not None


def test_a_check_goes_alone(book: Book) -> None:
    book.deregister("a", check_id="S")
    assert book.check("a", "s") is None
    assert book.service("a", "web") is not None


def test_where_both_are_named_the_service_goes(book: Book) -> None:
    book.deregister("a", "web", "n")
    assert book.service("a", "web") is None
    assert book.check("a", "n") is not None


def test_a_node_goes_with_everything(book: Book) -> None:
    applied = book.deregister("a")
    store = book.state.store
    assert len(store.nodes) == len(store.services) == len(store.checks) == 0
    assert set(applied.touched) == {
        NODES,
        SERVICES,
        ANY_CHECKS,
        Topic(TopicKind.CHECKS, "passing"),
        Topic(TopicKind.NODE, "a"),
        Topic(TopicKind.SERVICE, "web"),
    }


@pytest.mark.parametrize("target", [("x", "", ""), ("a", "x", ""), ("a", "", "x"), ("x", "web", "")])
def test_removing_what_is_not_there_succeeds_and_touches_nothing(book: Book, target: tuple[str, str, str]) -> None:
    applied = book.deregister(*target)
    assert not applied.touched
    assert book.state.topics.of(NODES) == 1
