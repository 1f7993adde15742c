"""The life of topics on Watch streams, without a stream."""

from __future__ import annotations

import itertools

import pytest

from rostra.errors import Busy, NotReady, Resync
from rostra.model.catalog import ServiceSummary
from rostra.model.consistency import Consistency
from rostra.model.topics import NODES, SERVICES, Entry, Topic, TopicKind
from rostra.views.barriers import Barrier
from rostra.views.messages import Delta, Ended, Resumed, SnapshotPart, Subscribe, Unsubscribe
from rostra.views.subscriptions import Subscription, Subscriptions

WEB = Topic(TopicKind.SERVICE, "web")
API = Topic(TopicKind.SERVICE, "api")
CLUSTER = "0c6a3b1e-0000-4000-8000-000000000001"
OTHER_CLUSTER = "0c6a3b1e-0000-4000-8000-000000000002"


class Line:
    """The positions of events, for which tests need barriers too."""

    def __init__(self) -> None:
        self._positions = itertools.count(1)

    def __iter__(self) -> Line:
        return self

    def __next__(self) -> int:
        return next(self._positions)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def subscriptions(line: Line) -> Subscriptions:
    return Subscriptions(line, max_topics=4, idle_s=600.0)


def entry(key: str, index: int) -> Entry:
    return Entry(key, index, ServiceSummary(key, (), 1))


def sent(subscriptions: Subscriptions) -> list[Subscribe | Unsubscribe]:
    return list(iter(subscriptions.take, None))


def make_live(subscriptions: Subscriptions, subscription: Subscription, index: int = 10) -> None:
    assert subscriptions.snapshot(SnapshotPart(subscription.number, index, ())) is subscription


def barrier(sent_at: int, reached_at: int) -> Barrier:
    return Barrier(Consistency.DEFAULT, 1, sent_at, reached_at)


def test_the_lists_are_subscribed_on_every_stream(subscriptions: Subscriptions) -> None:
    assert sent(subscriptions) == []
    subscriptions.open(CLUSTER)
    assert [request.topic for request in sent(subscriptions) if isinstance(request, Subscribe)] == [NODES, SERVICES]


def test_whatever_changes_what_is_in_the_views_is_counted(subscriptions: Subscriptions) -> None:
    """What was made from views is given again unlooked-at while the count stays: nothing may slip by."""

    def counts(number: int) -> bool:
        return subscriptions.changes > number

    before = subscriptions.changes
    web = subscriptions.want(WEB, 0.0)
    assert counts(before), "a view came"
    subscriptions.open(CLUSTER)
    before = subscriptions.changes
    make_live(subscriptions, web)
    assert counts(before), "a snapshot"
    before = subscriptions.changes
    subscriptions.delta(Delta(web.number, 11, (entry("a", 11),)))
    assert counts(before), "a delta"
    before = subscriptions.changes
    assert subscriptions.want(WEB, 1.0) is web
    assert subscriptions.changes == before, "being used changes nothing"
    subscriptions.sweep(700.0)
    assert counts(before), "a view was let go"
    api = subscriptions.want(API, 700.0)
    before = subscriptions.changes
    subscriptions.ended(Ended(api.number, NotReady("gone")))
    assert counts(before), "a view was ended"


def test_a_topic_is_live_after_the_last_part_of_its_snapshot(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    web = subscriptions.want(WEB, 0.0)
    assert subscriptions.snapshot(SnapshotPart(web.number, 10, (entry("a", 9),), more=True)) is None
    assert not web.loaded
    assert subscriptions.snapshot(SnapshotPart(web.number, 10, (entry("b", 10),))) is web
    assert [one.key for one in web.view.entries()] == ["a", "b"]
    assert (web.view.index, web.view.cluster_id) == (10, CLUSTER)


def test_on_the_next_stream_a_topic_is_resumed_where_it_was(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    make_live(subscriptions, subscriptions.nodes, 7)
    subscriptions.close()
    assert subscriptions.nodes.live_at is None
    subscriptions.open(CLUSTER)
    nodes = subscriptions.nodes
    assert Subscribe(nodes.number, NODES, 7, CLUSTER) in sent(subscriptions)
    assert subscriptions.resumed(Resumed(nodes.number, 7)) is nodes


def test_a_resumed_topic_is_live_only_when_its_deltas_have_come(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    make_live(subscriptions, subscriptions.nodes, 7)
    subscriptions.close()
    subscriptions.open(CLUSTER)
    nodes = subscriptions.nodes
    assert subscriptions.resumed(Resumed(nodes.number, 9)) is None
    assert subscriptions.delta(Delta(nodes.number, 8, ())) is None
    assert subscriptions.delta(Delta(nodes.number, 9, ())) is nodes


def test_another_cluster_is_never_resumed_and_replaces_the_view(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    make_live(subscriptions, subscriptions.nodes, 70)
    subscriptions.close()
    sent(subscriptions)
    subscriptions.open(OTHER_CLUSTER)
    assert Subscribe(subscriptions.nodes.number, NODES) in sent(subscriptions)
    make_live(subscriptions, subscriptions.nodes, 3)
    assert (subscriptions.nodes.view.cluster_id, subscriptions.nodes.view.index) == (OTHER_CLUSTER, 3)


def test_a_view_does_not_go_back_to_the_snapshot_of_a_catalog_that_lags(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    subscriptions.snapshot(SnapshotPart(subscriptions.nodes.number, 70, (entry("a", 70),)))
    subscriptions.close()
    subscriptions.open(CLUSTER)
    assert subscriptions.snapshot(SnapshotPart(subscriptions.nodes.number, 60, ())) is subscriptions.nodes
    assert (subscriptions.nodes.view.index, len(subscriptions.nodes.view)) == (70, 1)


def test_deltas_that_cannot_be_are_a_broken_stream(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    nodes = subscriptions.nodes
    with pytest.raises(Resync):
        subscriptions.delta(Delta(nodes.number, 5, ()))
    with pytest.raises(Resync):
        subscriptions.resumed(Resumed(nodes.number, 5))
    subscriptions.snapshot(SnapshotPart(nodes.number, 5, (), more=True))
    with pytest.raises(Resync):
        subscriptions.delta(Delta(nodes.number, 6, ()))


def test_a_barrier_covers_a_topic_that_was_live_before_it_was_sent(subscriptions: Subscriptions, line: Line) -> None:
    subscriptions.open(CLUSTER)
    make_live(subscriptions, subscriptions.nodes)
    assert subscriptions.covers(barrier(next(line), next(line)), subscriptions.nodes)


def test_a_barrier_does_not_cover_a_topic_whose_snapshot_was_under_way(subscriptions: Subscriptions, line: Line) -> None:
    subscriptions.open(CLUSTER)
    sent_at = next(line)
    make_live(subscriptions, subscriptions.nodes)
    assert not subscriptions.covers(barrier(sent_at, next(line)), subscriptions.nodes)


def test_a_barrier_covers_a_topic_that_was_subscribed_after_it_was_reached(subscriptions: Subscriptions, line: Line) -> None:
    subscriptions.open(CLUSTER)
    reached = barrier(next(line), next(line))
    web = subscriptions.want(WEB, 0.0)
    assert not subscriptions.covers(reached, web), "not before it is live"
    make_live(subscriptions, web)
    assert subscriptions.covers(reached, web)


def test_a_barrier_of_another_stream_covers_nothing(subscriptions: Subscriptions, line: Line) -> None:
    subscriptions.open(CLUSTER)
    make_live(subscriptions, subscriptions.nodes)
    reached = barrier(next(line), next(line))
    subscriptions.close()
    assert not subscriptions.covers(reached, subscriptions.nodes)
    subscriptions.open(CLUSTER)
    make_live(subscriptions, subscriptions.nodes)
    assert not subscriptions.covers(reached, subscriptions.nodes), "this stream's server may lag behind the other's"


def test_the_least_recently_used_topic_gives_way_and_pinned_ones_never(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    web = subscriptions.want(WEB, 0.0)
    api = subscriptions.want(API, 1.0)
    subscriptions.want(WEB, 2.0)
    number = api.number
    sent(subscriptions)
    subscriptions.want(Topic(TopicKind.SERVICE, "db"), 3.0)
    assert sent(subscriptions)[0] == Unsubscribe(number)
    assert len(subscriptions) == 4
    web.pins = subscriptions.want(Topic(TopicKind.SERVICE, "db"), 4.0).pins = 1
    with pytest.raises(Busy):
        subscriptions.want(API, 5.0)


def test_an_idle_topic_is_let_go_and_the_lists_never_are(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    subscriptions.want(WEB, 0.0)
    subscriptions.want(API, 500.0)
    subscriptions.sweep(600.0)
    assert len(subscriptions) == 3
    subscriptions.sweep(10_000.0)
    assert len(subscriptions) == 2


def test_what_is_under_way_for_a_topic_that_was_let_go_is_passed_over(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    number = subscriptions.want(WEB, 0.0).number
    subscriptions.sweep(10_000.0)
    assert subscriptions.snapshot(SnapshotPart(number, 5, ())) is None
    assert subscriptions.delta(Delta(number, 6, ())) is None


def test_a_subscription_that_the_server_ended_is_made_anew_when_wanted_again(subscriptions: Subscriptions) -> None:
    subscriptions.open(CLUSTER)
    web = subscriptions.want(WEB, 0.0)
    assert subscriptions.ended(Ended(web.number, NotReady("no"))) is web
    assert subscriptions.want(WEB, 0.0) is not web
    with pytest.raises(NotReady):
        subscriptions.ended(Ended(subscriptions.nodes.number, NotReady("no")))
