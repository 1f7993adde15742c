"""What must hold after every step (thesis figure 3.2), and that nothing acknowledged is lost or done twice."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from rostra.consensus import events
from rostra.consensus.configuration import Configuration
from rostra.consensus.core import Role
from rostra.consensus.model import EntryKind

if TYPE_CHECKING:
    from .world import Server, World


class Violation(AssertionError):
    """A promise was broken."""


def require(condition: bool, what: str) -> None:
    if not condition:
        raise Violation(what)


class Checkers:
    """Looks at one server after each of its steps, with what was seen of all of them before."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.leaders: dict[int, str] = {}
        self.entries: dict[tuple[int, int], tuple[int, bytes, int]] = {}
        self.committed: list[tuple[int, bytes]] = [(0, b"")]
        self._committed_in: list[int] = [0]
        self._commands: set[bytes] = set()
        self._configurations: list[tuple[int, bytes]] = []

    def look(self, server: Server) -> None:
        """Election safety is looked at by ``event``; here the rest."""
        self._log_matching(server)
        self._state_machine_safety(server)
        self._leader_append_only(server)

    def event(self, server: Server, event: events.Event) -> None:
        """Election safety, and leader completeness when there is a new leader."""
        if isinstance(event, events.LogTruncated):
            require(server.core.role is not Role.LEADER, f"leader append-only: {server.name} cut its own log as leader")
        if isinstance(event, events.BecameLeader):
            other = self.leaders.setdefault(event.term, server.key)
            require(other == server.key, f"election safety: {other} and {server.key} in term {event.term}")
            self._leader_completeness(server)

    def _leader_completeness(self, server: Server) -> None:
        """What was committed in an earlier term is in the log of every later leader. A vote that came late can still make a leader of
        a term that has passed, which then knows nothing of the later ones, and can do no harm."""
        log = server.core.log
        count = bisect_left(self._committed_in, server.core.term)
        require(log.last_index >= count - 1, f"leader completeness: {server.name} ends at {log.last_index}")
        for index in range(log.first_index, count):
            require(
                log.term(index) == self.committed[index][0],
                f"leader completeness: {server.name} lacks {index} of term {self.committed[index][0]}",
            )

    def _log_matching(self, server: Server) -> None:
        """An entry is known by index and term, and so is the one before it: by induction, so are all."""
        log = server.core.log
        start = server.checked_to + 1 if log._cuts == server.checked_cuts else log.first_index
        start = max(start, log.first_index)
        if start <= log.last_index:
            previous = log.term(start - 1) or 0
            low = start
            while low <= log.last_index:
                entries = log.slice(low, log.last_index + 1)
                require(bool(entries), f"{server.name} cannot read {low}, which it says it has")
                for entry in entries:
                    here = entry.kind, entry.data, previous
                    known = self.entries.setdefault((entry.index, entry.term), here)
                    require(known == here, f"log matching: {entry.index} of term {entry.term} at {server.name}")
                    require(entry.term >= previous, f"terms fall at {entry.index} of {server.name}")
                    previous, low = entry.term, entry.index + 1
        server.checked_to, server.checked_cuts = log.last_index, log._cuts

    def _state_machine_safety(self, server: Server) -> None:
        core = server.core
        first = max(server.checked_commit + 1, core.log.first_index)
        for index in range(first, core.commit_index + 1):
            term = core.log.term(index)
            require(term is not None, f"{server.name} committed {index}, which it does not have")
            assert term is not None
            if index == len(self.committed):
                kind, data, _ = self.entries[index, term]
                self.committed.append((term, data))
                self._committed_in.append(max(core.term, self._committed_in[-1]))
                if kind == EntryKind.CONFIGURATION:
                    self._configurations.append((index, data))
                if data.startswith(b"command"):
                    require(data not in self._commands, f"{data!r} was committed twice")
                    self._commands.add(data)
            require(index < len(self.committed), f"{server.name} committed {index} before {len(self.committed)} was committed anywhere")
            require(self.committed[index][0] == term, f"state machine safety: {index} is of terms {self.committed[index][0]} and {term}")
        if core.commit_index > server.checked_commit or not server.checked_configuration:
            self._membership(server)
            server.checked_configuration = True
        server.checked_commit = max(server.checked_commit, core.commit_index)

    def _membership(self, server: Server) -> None:
        """The membership at the commit index is the last one committed: entries and snapshots agree about it."""
        commit_index = server.core.commit_index
        position = bisect_right(self._configurations, commit_index, key=lambda found: found[0]) - 1
        index, configuration = server.core.history.at(commit_index)
        if commit_index:
            require(
                (index, configuration.encode()) == self._configurations[position],
                f"membership: {server.name} has that of {index} at {commit_index}, not that of {self._configurations[position][0]}",
            )

    def _leader_append_only(self, server: Server) -> None:
        core = server.core
        office = (core.term, server.starts) if core.role is Role.LEADER else None
        if office is not None and office == server.checked_office:
            require(core.log.last_index >= server.checked_last, f"leader append-only: {server.name}")
        server.checked_office, server.checked_last = office, core.log.last_index

    def acknowledged(self, index: int, term: int, configuration: Configuration) -> None:
        """An acknowledgement means: on the disks of a quorum of the leader's latest configuration."""
        require(index < len(self.committed) and self.committed[index][0] == term, f"{index} of term {term} acknowledged, not committed")
        holders = {server.key for server in self._world.all_disks() if server.disk.holds(index, term)}
        voters = {f"{voter.node_id}/{voter.store_id}" for voter in configuration.voters}
        require(len(voters & holders) > len(voters) // 2, f"{index} acknowledged, but on disk only at {sorted(voters & holders)}")

    def applied(self, server: Server, index: int, state: list[bytes]) -> None:
        """A state machine's state is the committed commands up to its index, and nothing else."""
        expected = self._world.state_at(index)
        require(state == expected, f"the state of {server.name} at {index} is not what was committed")
