"""From the topic that a reader asks for to the view that answers, by the lists of nodes and services.

A name is subscribed only if its list knows it, so that questions for random names cost nothing upstream. Absence is
answered by an empty view whose index is the list's. Services are found by name, whatever the case, nodes so or by ID.
"""

from __future__ import annotations

import re
from typing import Final

from rostra.model.catalog import Node
from rostra.model.topics import Topic, TopicKind, node_key
from rostra.views.subscriptions import Subscription, Subscriptions
from rostra.views.view import View

MAX_ABSENT: Final = 1024
"""Empty views kept for each list; when there are more, all are dropped."""

_UUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

Found = tuple[View, Subscription]
"""The view that answers, and the subscription on whose freshness the answer rests: its own, or that of the list."""


class Lookup:
    """Finding a topic marks it as used, and subscribes it if it is not yet."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._absent = {TopicKind.SERVICE: _Absent(subscriptions.services), TopicKind.NODE: _Absent(subscriptions.nodes)}

    def find(self, topic: Topic, now: float) -> Found:
        """Raises ``Busy`` when there is no place for one more topic."""
        known: Topic | None = topic
        if topic.kind is TopicKind.SERVICE:
            known = self._known_service(topic)
        elif topic.kind is TopicKind.NODE:
            known = self._known_node(topic)
        if known is None:
            absent = self._absent[topic.kind]
            return absent.view(topic), absent.list
        subscription = self._subscriptions.want(known, now)
        return subscription.view, subscription

    def _known_service(self, topic: Topic) -> Topic | None:
        """The topic as the list spells it; of several spellings, which are one topic, that which is asked for, or any."""
        services = self._subscriptions.services.view
        if topic.name in services:
            return topic
        name = services.memo("names by lower case", lambda: {entry.key.lower(): entry.key for entry in services.entries()}).get(
            topic.name.lower()
        )
        return Topic(TopicKind.SERVICE, name) if name is not None else None

    def _known_node(self, topic: Topic) -> Topic | None:
        """The topic as the list spells it."""
        nodes = self._subscriptions.nodes.view
        entry = nodes.get(node_key(topic.name))
        if entry is not None and isinstance(entry.value, Node):
            name = entry.value.name
        elif _UUID.fullmatch(topic.name):
            name = nodes.memo("names by ID", lambda: _names_by_id(nodes)).get(topic.name.lower(), "")
        else:
            return None
        if name == topic.name:
            return topic
        return Topic(TopicKind.NODE, name) if name else None


def _names_by_id(nodes: View) -> dict[str, str]:
    return {node.id.lower(): node.name for node in nodes.values() if isinstance(node, Node) and node.id}


class _Absent:
    """Empty views of names that a list does not know, for as long as the list stays as it is."""

    def __init__(self, source: Subscription) -> None:
        self.list = source
        self._as_of = ("", 0)
        self._views: dict[Topic, View] = {}

    def view(self, topic: Topic) -> View:
        as_of = (self.list.view.cluster_id, self.list.view.index)
        if as_of != self._as_of or len(self._views) >= MAX_ABSENT:
            self._views.clear()
            self._as_of = as_of
        view = self._views.get(topic)
        if view is None:
            view = self._views[topic] = View(topic)
            view.load(*as_of, ())
        return view
