"""Which topics a change touches, and when they last changed."""

from __future__ import annotations

import pytest

from rostra.catalog.topic_indexes import TopicIndexes
from rostra.model.catalog import HealthStatus, ServiceInstance, ServiceSummary
from rostra.model.topics import ANY_CHECKS, NODES, SERVICES, Topic, TopicKind

from .helpers import Book, check, service


def topic(kind: TopicKind, name: str) -> Topic:
    return Topic(kind, name)


@pytest.fixture
def book() -> Book:
    book = Book()
    book.register("a", service=service(tags=("x",)), checks=(check("n"), check("s", service_id="web")))
    book.register("b", service=service(tags=("x",)))
    book.register("b", service=service("api"))
    return book


def test_another_service_on_the_node_does_not_touch_this_one(book: Book) -> None:
    applied = book.register("a", service=service("db"))
    assert topic(TopicKind.SERVICE, "web") not in applied.touched
    assert set(applied.touched) == {SERVICES, topic(TopicKind.SERVICE, "db"), topic(TopicKind.NODE, "a")}


def test_a_check_of_the_node_touches_every_instance_on_it(book: Book) -> None:
    applied = book.register("b", checks=(check("n"),))
    assert applied.touched[topic(TopicKind.SERVICE, "web")] == {"b\0web": None}
    assert applied.touched[topic(TopicKind.SERVICE, "api")] == {"b\0api": None}
    instance = book.topic(TopicKind.SERVICE, "web")["b\0web"]
    assert isinstance(instance, ServiceInstance)
    assert [each.check_id for each in instance.checks] == ["n"]


def test_a_check_of_a_service_touches_that_instance_only(book: Book) -> None:
    applied = book.register("a", checks=(check("s", HealthStatus.CRITICAL, service_id="web"),))
    assert applied.touched[topic(TopicKind.SERVICE, "web")] == {"a\0web": None}
    assert set(applied.touched) == {
        ANY_CHECKS,
        topic(TopicKind.CHECKS, "passing"),
        topic(TopicKind.CHECKS, "critical"),
        topic(TopicKind.SERVICE, "web"),
        topic(TopicKind.NODE, "a"),
    }


def test_a_tag_that_others_use_too_does_not_touch_the_list_of_services(book: Book) -> None:
    assert SERVICES not in book.register("a", service=service(tags=())).touched
    assert SERVICES in book.register("b", service=service(tags=())).touched


def test_a_port_does_not_touch_the_list_of_services(book: Book) -> None:
    assert SERVICES not in book.register("a", service=service(tags=("x",), port=1)).touched


def test_the_list_of_services_counts_instances_and_gathers_tags(book: Book) -> None:
    book.register("b", service=service(tags=("y", "x")))
    assert book.topic(TopicKind.SERVICES) == {
        "api": ServiceSummary("api", (), 1),
        "web": ServiceSummary("web", ("x", "y"), 2),
    }


def test_the_address_of_a_node_touches_its_instances_and_the_list_of_nodes(book: Book) -> None:
    applied = book.register("a", "10.0.0.9")
    assert set(applied.touched) == {NODES, topic(TopicKind.NODE, "a"), topic(TopicKind.SERVICE, "web")}


def test_a_new_case_of_a_nodes_name_moves_its_entries(book: Book) -> None:
    applied = book.register("A")
    assert applied.touched[topic(TopicKind.SERVICE, "web")] == {"a\0web": None, "A\0web": None}
    assert list(book.topic(TopicKind.SERVICE, "web")) == ["A\0web", "b\0web"]


def test_a_topic_that_is_gone_knows_when_it_went(book: Book) -> None:
    book.deregister("b", "api")
    index = book.state.applied_index
    book.register("c")
    assert book.state.topics.of(topic(TopicKind.SERVICE, "api")) == index


def test_forgotten_topics_changed_at_the_floor_at_the_latest() -> None:
    living = {topic(TopicKind.NODE, "living")}
    topics = TopicIndexes(lambda each: each in living, limit=2)
    topics.changed(1, living)
    for index in range(2, 6):
        topics.changed(index, {topic(TopicKind.NODE, f"n{index}")})
    assert topics.floor == 3
    assert topics.of(topic(TopicKind.NODE, "n2")) == 3
    assert topics.of(topic(TopicKind.NODE, "n5")) == 5
    assert topics.of(topic(TopicKind.NODE, "living")) == 1
