"""Faults at the worst moment. Some promises matter in one instant only, and faults that come at any time almost never meet it: these
are drawn when it is there. A correct core must not mind them either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rostra.consensus import events, messages
from rostra.consensus.core import Role
from rostra.consensus.messages import Message

if TYPE_CHECKING:
    from .world import Server, World


@dataclass(frozen=True)
class Moments:
    """How likely a fault is when its moment comes; 0 switches it off."""

    asked_to_vote: float = 0.0
    """Before a vote request arrives at a follower: it restarts, and forgets what was not on disk; its leader is cut off."""
    office: float = 0.0
    """A leader has just been elected: it is cut off, and may crash, before anybody has heard of it."""
    office_change: float = 0.0
    """A leader has just been elected: it is asked for a membership change."""
    commit: float = 0.0
    """A leader commits an entry: it crashes, or is cut off with those who have the entry."""
    change: float = 0.0
    """A leader changes the membership: it is cut off from most others."""
    round_answered: float = 0.0
    """The answer to a read round is under way: it is late, and the leader is cut off."""


NEVER = Moments()


class BadMoments:
    """Watches what happens in a world, and strikes."""

    def __init__(self, world: World, chances: Moments) -> None:
        self._world = world
        self._chances = chances
        self._rng = world.rng
        self._commits: dict[str, int] = {}
        self._terms: dict[str, int] = {}

    def _comes(self, chance: float) -> bool:
        return chance > 0 and not self._world.calm and self._rng.random() < chance

    def before_receiving(self, server: Server, message: Message) -> None:
        """A message arrives at ``server`` in the next instant."""
        core = server.core
        if isinstance(message, messages.VoteRequest) and core.leader is not None and core.role is Role.FOLLOWER:
            leader = core.leader.node_id
            if leader != message.sender.node_id and self._comes(self._chances.asked_to_vote):
                self._world.cut_off({leader})
                self._world.restart_at_once(server)

    def after_receiving(self, server: Server) -> None:
        """A message was taken in; what follows from it has not left yet."""
        core = server.core
        if core.role is Role.LEADER and self._terms.get(server.name) != core.term:
            self._terms[server.name] = core.term
            if self._comes(self._chances.office_change):
                self._world.change_at(server, of_voters=True)

    def delay_s(self, message: Message) -> float:
        """How much later a message arrives than it would."""
        if not isinstance(message, messages.AppendResponse):
            return 0.0
        leader = self._world.servers[message.to.node_id]
        rounds = leader.core._reads._sent
        if not (leader.up and rounds and rounds[0][0] <= message.round and self._comes(self._chances.round_answered)):
            return 0.0
        self._world.cut_off({leader.name})
        return self._rng.uniform(0.5, 3.0)

    def after_event(self, server: Server, event: events.Event) -> None:
        """A core tells of something. What it sends in the same turn has not left yet."""
        if server.core.role is not Role.LEADER:
            return
        if isinstance(event, events.BecameLeader):
            self._commits[server.name] = server.core.commit_index
            if self._comes(self._chances.office):
                self._world.cut_off({server.name})
                if self._rng.random() < 0.5:
                    self._world.at(self._rng.uniform(0.0, 0.05), lambda: self._world.crash_for_a_while(server))
        if isinstance(event, events.ConfigurationChanged) and self._changes_voters(server) and self._comes(self._chances.change):
            island = {server.name, *self._some_others(server)}
            self._world.at(self._rng.choice([0.0, 0.03]), lambda: self._world.cut_off(island, in_flight=True))

    def after_turn(self, server: Server) -> None:
        """A core's turn is over."""
        core = server.core
        known = self._commits.get(server.name, 0)
        if core.role is Role.LEADER and core.commit_index > known:
            self._commits[server.name] = core.commit_index
            if self._comes(self._chances.commit):
                holders = {peer.node_id for peer, progress in core.progress.items() if progress.match_index >= core.commit_index}
                if self._rng.random() < 0.5:
                    self._world.cut_off({server.name, *holders}, in_flight=True)
                else:
                    self._world.at(0.0, lambda: self._world.crash_for_a_while(server))

    def _changes_voters(self, server: Server) -> bool:
        history = server.core.history
        return history.latest.voters != history.at(server.core.commit_index)[1].voters

    def _some_others(self, server: Server) -> list[str]:
        others = [name for name in self._world.servers if name != server.name]
        return self._rng.sample(others, self._rng.randint(0, len(others) // 2))
