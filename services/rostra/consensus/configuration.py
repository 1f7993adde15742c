"""Who is a member (thesis chapter 4): a configuration, its single-server changes, and the history of them in the log."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property

import msgspec

from rostra.consensus.model import Member, PeerId, Suffrage
from rostra.errors import BadRequest, Conflict, NotFound, Unsupported


class Configuration(msgspec.Struct, frozen=True, dict=True):
    """The membership, in order of ID. A change makes a new one; at most one voter differs between neighbours.

    ``level``: the highest level of commands that the log may hold from here on (docs/design/versions.md). It never falls.
    """

    cluster_id: str = ""
    members: tuple[Member, ...] = ()
    level: int = 1

    @cached_property
    def by_id(self) -> dict[PeerId, Member]:
        """Members by ID."""
        return {member.id: member for member in self.members}

    @cached_property
    def voters(self) -> frozenset[PeerId]:
        """Those whose votes and acknowledgements count."""
        return frozenset(member.id for member in self.members if member.suffrage is Suffrage.VOTER)

    def with_learner(self, member: Member) -> Configuration:
        """Adds ``member`` without a vote, or gives a present one a new name and address. A voter stays a voter."""
        present = self.by_id.get(member.id)
        suffrage = Suffrage.LEARNER if present is None else present.suffrage
        return self._replace(msgspec.structs.replace(member, suffrage=suffrage))

    def with_voter(self, peer: PeerId) -> Configuration:
        """Promotes a learner. Another store of its node must have been removed first: one node, one vote."""
        member = self.by_id.get(peer)
        if member is None:
            raise NotFound(f"no member {peer.node_id}/{peer.store_id} in the configuration")
        for voter in self.voters:
            if voter.node_id == peer.node_id and voter != peer:
                raise Conflict(f"node {peer.node_id} votes with another store, {voter.store_id}: remove that first")
        return self._replace(msgspec.structs.replace(member, suffrage=Suffrage.VOTER))

    def without(self, peer: PeerId) -> Configuration:
        """Removes a member. The last voter cannot be removed: nobody could ever change that again."""
        if peer not in self.by_id:
            raise NotFound(f"no member {peer.node_id}/{peer.store_id} in the configuration")
        if self.voters == {peer}:
            raise BadRequest("the last voter cannot be removed", field="member")
        return Configuration(self.cluster_id, tuple(member for member in self.members if member.id != peer), self.level)

    def with_level(self, level: int) -> Configuration:
        """Allows newer commands, for good."""
        assert level >= self.level
        return Configuration(self.cluster_id, self.members, level)

    def require_level(self, understood: int) -> None:
        """Raises ``Unsupported`` where the log may hold commands that are too new for this version."""
        if self.level > understood:
            raise Unsupported(
                f"cluster {self.cluster_id} has used commands of level {self.level}, and this version of rostra understands level "
                f"{understood}: run the version that the other servers run"
            )

    def encode(self) -> bytes:
        """The data of a configuration entry."""
        return _ENCODER.encode(self)

    def _replace(self, member: Member) -> Configuration:
        members = {**self.by_id, member.id: member}
        return Configuration(self.cluster_id, tuple(members[peer] for peer in sorted(members)), self.level)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Configuration)


def decode_configuration(data: bytes) -> Configuration:
    """Takes apart the data of a configuration entry."""
    return _DECODER.decode(data)


class ConfigurationHistory:
    """Every configuration in the log, and the one before it: a server uses the latest in its log, committed or not
    (thesis section 4.1), and must be able to go back when that entry is replaced."""

    def __init__(self) -> None:
        self._indexes: list[int] = [0]
        self._configurations: list[Configuration] = [Configuration()]

    @property
    def latest(self) -> Configuration:
        """The one that counts."""
        return self._configurations[-1]

    @property
    def latest_index(self) -> int:
        """Index of the entry that holds it; 0 before there is one."""
        return self._indexes[-1]

    def at(self, index: int) -> tuple[int, Configuration]:
        """The configuration in force just after ``index``, and its own index."""
        position = bisect_right(self._indexes, index) - 1
        assert position >= 0, f"the configuration at {index} is older than what is kept"
        return self._indexes[position], self._configurations[position]

    def append(self, index: int, configuration: Configuration) -> None:
        """A configuration entry was appended."""
        assert index > self.latest_index
        self._indexes.append(index)
        self._configurations.append(configuration)

    def truncate(self, from_index: int) -> bool:
        """Entries from ``from_index`` on are gone. True if the latest configuration was among them."""
        before = len(self._indexes)
        while self._indexes[-1] >= from_index and len(self._indexes) > 1:
            self._indexes.pop()
            self._configurations.pop()
        return len(self._indexes) < before

    def compact(self, to_index: int) -> None:
        """Configurations before the one in force at ``to_index`` are never asked for again."""
        # After a restart the oldest one known is the snapshot's, which may be newer than the place that is cut.
        position = max(bisect_right(self._indexes, to_index) - 1, 0)
        del self._indexes[:position]
        del self._configurations[:position]

    def restore(self, index: int, configuration: Configuration) -> None:
        """The log was replaced by a snapshot that holds this one."""
        self._indexes = [index]
        self._configurations = [configuration]
