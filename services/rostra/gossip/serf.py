"""Serf's layer of one member: what its messages do to members, events and queries (gossip-wire section 12).

It speaks to other members in two ways: broadcasts, which go into ``queues``, and messages for one member, which ``take_direct`` gives.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from rostra.errors import BadRequest, NotFound
from rostra.gossip.address import Address
from rostra.gossip.answering import CONFLICT_QUERY, Answers, Direct, KeysChanged, QueryReceived
from rostra.gossip.conflict import NameVote
from rostra.gossip.dissemination import SerfQueues
from rostra.gossip.events import UserEvents
from rostra.gossip.keyring import Keyring
from rostra.gossip.membership import (
    Membership,
    NameClaimed,
    NodeEvent,
    NodeGone,
    NodeJoined,
    NodeState,
    NodeSuspected,
    NodeUpdated,
    Refuted,
)
from rostra.gossip.queries import (
    Key,
    Queries,
    QueryAnswered,
    QueryEvent,
    QueryRequest,
    default_timeout_s,
)
from rostra.gossip.serf_members import SerfMembers
from rostra.gossip.steps import GROUP, Steps
from rostra.gossip.timing import Timing
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import User, encode_message
from rostra.gossip.wire.serf_messages import (
    JoinIntent,
    LeaveIntent,
    Query,
    QueryFlag,
    QueryResponse,
    Relay,
    SerfState,
    UserEvent,
    decode_serf,
    encode_serf,
    encode_serf_state,
)
from rostra.model.members import MemberChange

USER_EVENT_BYTES: Final = 512
"""Name and payload of a user event together: Serf's and Consul's limit."""


@dataclass(frozen=True, slots=True)
class NameLost:
    """Another process has our name and the pool sides with it: this one has to go."""

    votes: int
    responses: int


SerfEvent: TypeAlias = (
    MemberChange | UserEvent | QueryEvent | QueryReceived | KeysChanged | NameLost | NodeSuspected | Refuted | NameClaimed
)


class SerfLayer:
    """Inputs are messages, what memberlist's layer found out, commands and time; outputs are events, broadcasts and direct messages."""

    def __init__(
        self,
        membership: Membership,
        queues: SerfQueues,
        keyring: Keyring | None,
        timing: Timing,
        rng: random.Random,
        *,
        votes_on_names: bool,
    ) -> None:
        self._membership = membership
        self._queues = queues
        self._timing = timing
        self._rng = rng
        self._name = membership.local.name
        self._votes_on_names = votes_on_names
        self._vote: NameVote | None = None
        self._events: list[SerfEvent] = []
        self._direct: list[Direct] = []
        self.members = SerfMembers(self._name, timing, rng)
        self._answers = Answers(membership, self.members, keyring)
        self.events = UserEvents()
        self.queries = Queries(rng)

    @property
    def deadline(self) -> float:
        return self.queries.deadline

    def take_events(self) -> list[SerfEvent]:
        events, self._events = self._events, []
        return events

    def take_direct(self) -> list[Direct]:
        direct, self._direct = self._direct + self._answers.take_direct(), []
        return direct

    def restore_clocks(self, member_time: int, event_time: int, query_time: int) -> None:
        """Go on from a former run: its events are not delivered and its queries not answered again, its intents are not repeated."""
        self.members.clock.witness(member_time)
        self.events.clock.witness(event_time)
        self.events.ignore_before(event_time)
        self.queries.clock.witness(query_time)
        self.queries.ignore_before(query_time)

    # What memberlist's layer found out

    def on_node_event(self, event: NodeEvent, now: float) -> None:
        match event:
            case NodeJoined(node=node):
                self.members.on_joined(node, now)
            case NodeUpdated(node=node, meta_changed=meta_changed):
                self.members.on_updated(node, tell=meta_changed)
            case NodeGone(node=node):
                self.members.on_gone(node, now)
            case NodeSuspected() | Refuted():
                self._events.append(event)
            case NameClaimed(node=node):
                self._events.append(event)
                if node.name == self._name and self._votes_on_names and self._vote is None:
                    key = self.ask(QueryRequest(CONFLICT_QUERY, self._name.encode()), now)
                    self._vote = NameVote(key, self._membership.local.address)
            case _:
                assert_never(event)
        self._events += self.members.take_changes()

    # Messages

    def on_message(self, payload: bytes, now: float) -> None:
        match decode_serf(payload):
            case JoinIntent() | LeaveIntent() as intent:
                if self._on_intent(intent, now):
                    self._broadcast_intent(payload)
            case UserEvent() as event:
                self._on_user_event(event, payload)
            case Query() as query:
                self._on_query(query, payload, now)
            case QueryResponse() as response:
                self._on_response(response)
            case Relay() as relay:
                self._on_relay(relay)
        self._events += self.members.take_changes()

    def state(self) -> bytes:
        """Serf's half of a push-pull, encoded."""
        state = SerfState(
            ltime=self.members.clock.time,
            status_ltimes={},
            left_members=self.members.left_members(),
            event_ltime=self.events.clock.time,
            events=self.events.past(),
            query_ltime=self.queries.clock.time,
        )
        return encode_serf_state(state, self.members.encoded_status_ltimes)

    def merge(self, state: SerfState, refused: Counter[Reason], *, ignore_old_events: bool) -> Steps[None]:
        """What a peer knows. Nothing of it is broadcast: push-pulls spread by themselves."""
        now = yield 0
        self.members.clock.witness(state.ltime - 1)
        self.events.clock.witness(state.event_ltime - 1)
        self.queries.clock.witness(state.query_ltime - 1)
        left = set(state.left_members)
        for number, (name, ltime) in enumerate(state.status_ltimes.items(), 1):
            if name in left:
                self._on_intent(LeaveIntent(ltime=ltime + 1, node=name), now)
            elif self.members.status_ltime(name) < ltime:
                self._on_intent(JoinIntent(ltime=ltime, node=name), now)
            if number % GROUP == 0:
                self._events += self.members.take_changes()
                now = yield GROUP
        self._events += self.members.take_changes()
        if ignore_old_events:
            self.events.ignore_before(state.event_ltime)
        for past in state.events:
            if past is not None:
                self._events += self.events.receive_past(past, refused)
                yield len(past.events)

    def _on_intent(self, intent: JoinIntent | LeaveIntent, now: float) -> bool:
        """True when it is news, to be passed on."""
        if self.members.must_contradict(intent):
            self.members.clock.witness(intent.ltime)
            self.announce_join(now)
            return False
        if isinstance(intent, JoinIntent):
            return self.members.on_join_intent(intent, now)
        return self.members.on_leave_intent(intent, now)

    def _on_user_event(self, event: UserEvent, payload: bytes) -> None:
        if self.events.receive(event):
            self._events.append(event)
            self._queues.events.add(encode_message(User(payload=payload)))

    # Queries

    def _on_query(self, query: Query, payload: bytes, now: float) -> None:
        if not self.queries.receive(query):
            return
        if not query.flags & QueryFlag.NO_BROADCAST:
            self._queues.queries.add(encode_message(User(payload=payload)))
        self._events += self._answers.on_query(query, now)

    def _on_response(self, response: QueryResponse) -> None:
        if self.members.member(response.responder) is None:
            raise WireError(Reason.NOT_FOR_US, "an answer from no member")
        if (event := self.queries.on_response(response)) is None:
            return
        if self._vote is not None and event.key == self._vote.key:
            if isinstance(event, QueryAnswered):
                self._vote.count(event.payload)
            return
        self._events.append(event)

    def _on_relay(self, relay: Relay) -> None:
        """Pass an answer on. Only to a member at the address we know of it: we are no mirror for others to aim."""
        destination = Address(relay.ip, relay.port)
        if self.members.address(relay.node) != destination:
            raise WireError(Reason.BAD_ADDRESS, "relay")
        self._direct.append(Direct(destination, relay.message))

    # Commands

    def ask(self, request: QueryRequest, now: float) -> Key:
        default_s = default_timeout_s(self._timing.gossip_interval_s, self._timing.query_timeout_mult, self.members.alive_count)
        query = self.queries.ask(request, self._membership.local.address, self._name, request.timeout_s or default_s, now)
        self._on_query(query, encode_serf(query), now)
        return query.ltime, query.query_id

    def respond(self, key: Key, payload: bytes, now: float) -> None:
        """Answer a query received; once, and before its deadline."""
        self._answers.respond(key, payload, now)

    def user_event(self, name: str, payload: bytes, *, coalesce: bool) -> None:
        if len(name.encode()) + len(payload) > USER_EVENT_BYTES:
            raise BadRequest(f"name and payload of a user event may have {USER_EVENT_BYTES} bytes together", field="payload")
        event = self.events.create(name, payload, coalesce=coalesce)
        self._on_user_event(event, encode_serf(event))

    def announce_join(self, now: float) -> None:
        intent = JoinIntent(ltime=self.members.clock.time, node=self._name)
        self.members.on_join_intent(intent, now)
        self._broadcast_intent(encode_serf(intent))

    def announce_leave(self, name: str, now: float, *, prune: bool = False) -> int:
        """Say that a member leaves. Returns the number of the broadcast in the queue of intents."""
        if self.members.member(name) is None:
            raise NotFound(f"no member is called {name!r}")
        intent = LeaveIntent(ltime=self.members.clock.time, node=name, prune=prune)
        self.members.clock.increment()
        self.members.on_leave_intent(intent, now)
        self._events += self.members.take_changes()
        return self._broadcast_intent(encode_serf(intent))

    def tick(self, now: float) -> None:
        for closed in self.queries.expire(now):
            if self._vote is None or closed.key != self._vote.key:
                self._events.append(closed)
                continue
            vote, self._vote = self._vote, None
            if not vote.is_won:
                self._events.append(NameLost(vote.votes, vote.responses))

    def reap(self, now: float) -> list[str]:
        """Erase the records of members long gone. Returns their names."""
        nodes = self._membership.nodes
        erased = self.members.tick(now, lambda name: name in nodes and nodes[name].state is NodeState.ALIVE)
        self._events += self.members.take_changes()
        return erased

    def _broadcast_intent(self, payload: bytes) -> int:
        return self._queues.intents.add(encode_message(User(payload=payload)))
