"""From topics that are asked for to views that answer."""

from __future__ import annotations

import itertools

import pytest

from rostra.model.catalog import Node, ServiceSummary
from rostra.model.topics import ANY_CHECKS, Entry, Topic, TopicKind, node_key
from rostra.views.lookup import Lookup
from rostra.views.messages import Delta, SnapshotPart
from rostra.views.subscriptions import Subscriptions

CLUSTER = "0c6a3b1e-0000-4000-8000-000000000001"
NODE_ID = "5a1c0d52-91d4-4c0f-9d0e-0d9b1a4a2f11"
WEB = Topic(TopicKind.SERVICE, "web")


@pytest.fixture
def subscriptions() -> Subscriptions:
    subscriptions = Subscriptions(itertools.count(1), max_topics=100, idle_s=600.0)
    subscriptions.open(CLUSTER)
    node = Entry(node_key("Foo"), 5, Node("Foo", "127.0.0.1", NODE_ID))
    subscriptions.snapshot(SnapshotPart(subscriptions.nodes.number, 5, (node,)))
    subscriptions.snapshot(SnapshotPart(subscriptions.services.number, 6, (Entry("web", 6, ServiceSummary("web", (), 1)),)))
    return subscriptions


def test_a_name_that_its_list_knows_is_subscribed(subscriptions: Subscriptions) -> None:
    view, source = Lookup(subscriptions).find(WEB, 0.0)
    assert source.view is view
    assert source.topic == WEB
    assert len(subscriptions) == 3


@pytest.mark.parametrize(("kind", "index"), [(TopicKind.SERVICE, 6), (TopicKind.NODE, 5)])
def test_a_name_that_its_list_does_not_know_is_absent_as_of_the_list_and_not_subscribed(
    subscriptions: Subscriptions, kind: TopicKind, index: int
) -> None:
    view, source = Lookup(subscriptions).find(Topic(kind, "nobody"), 0.0)
    assert (len(view), view.index, view.cluster_id) == (0, index, CLUSTER)
    assert source in (subscriptions.nodes, subscriptions.services)
    assert len(subscriptions) == 2


def test_absence_follows_the_list(subscriptions: Subscriptions) -> None:
    lookup = Lookup(subscriptions)
    topic = Topic(TopicKind.SERVICE, "api")
    first = lookup.find(topic, 0.0)[0]
    assert lookup.find(topic, 0.0)[0] is first
    subscriptions.delta(Delta(subscriptions.services.number, 9, ()))
    assert lookup.find(topic, 0.0)[0].index == 9
    subscriptions.delta(Delta(subscriptions.services.number, 10, (Entry("api", 10, ServiceSummary("api", (), 1)),)))
    assert lookup.find(topic, 0.0)[1].topic == topic


def test_a_service_is_found_in_any_case_and_subscribed_as_the_list_spells_it(subscriptions: Subscriptions) -> None:
    spelled = Topic(TopicKind.SERVICE, "WebApp")
    assert Lookup(subscriptions).find(Topic(TopicKind.SERVICE, "webapp"), 0.0)[1].topic != spelled
    subscriptions.delta(Delta(subscriptions.services.number, 9, (Entry("WebApp", 9, ServiceSummary("WebApp", (), 1)),)))
    for asked in ("WebApp", "webapp", "WEBAPP"):
        assert Lookup(subscriptions).find(Topic(TopicKind.SERVICE, asked), 0.0)[1].topic == spelled
    subscriptions.delta(Delta(subscriptions.services.number, 10, (Entry("webapp", 10, ServiceSummary("webapp", (), 1)),)))
    assert Lookup(subscriptions).find(Topic(TopicKind.SERVICE, "webapp"), 0.0)[1].topic.name == "webapp"


@pytest.mark.parametrize("asked", ["Foo", "FOO", "foo", NODE_ID, NODE_ID.upper()])
def test_a_node_is_found_by_name_in_any_case_or_by_id_and_subscribed_as_the_list_spells_it(
    subscriptions: Subscriptions, asked: str
) -> None:
    assert Lookup(subscriptions).find(Topic(TopicKind.NODE, asked), 0.0)[1].topic == Topic(TopicKind.NODE, "Foo")


def test_checks_are_subscribed_on_demand(subscriptions: Subscriptions) -> None:
    assert Lookup(subscriptions).find(ANY_CHECKS, 0.0)[1].topic == ANY_CHECKS
