"""What the gateway needs of the services behind it, as small as it can be. The clients in ``rostra.clients`` have these methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from rostra.clients.agent import AgentDescription, LocalCheck
from rostra.clients.consensus import Configuration, RaftMember
from rostra.clients.gossip import GossipStatus, KeyAction, KeyChange, KeyList
from rostra.clients.snapshot import SavedSnapshot
from rostra.model.catalog import Check, HealthStatus, Service
from rostra.model.consistency import Consistency
from rostra.model.coordinates import Coordinate
from rostra.model.members import Member


class GossipDoor(Protocol):
    """The members of a pool, ``lan`` or ``wan``, and the ways to change who is one."""

    async def list_members(self, pool: str = "lan") -> tuple[Sequence[Member], bool]:
        """In order of name, and whether the list can be taken as complete."""
        ...

    async def join(self, addresses: Sequence[str], pool: str = "lan") -> int:
        """How many answered; raises when none did."""
        ...

    async def force_leave(self, name: str, prune: bool = False, pool: str = "lan") -> None:
        """Raises ``NotFound`` for a name that is not in the pool."""
        ...

    async def list_coordinates(self, pool: str = "lan") -> Mapping[str, Coordinate]:
        """By member name; members without one are left out."""
        ...

    async def get_status(self) -> GossipStatus:
        """Who this node is, and the pools it is in."""
        ...

    async def list_keys(self, pool: str = "lan", *, relay_factor: int = 0) -> KeyList:
        """The keys of every member."""
        ...

    async def change_key(self, action: KeyAction, key: bytes, pool: str = "lan", *, relay_factor: int = 0) -> KeyChange:
        """Of every member."""
        ...


class AgentDoor(Protocol):
    """This node: its services and checks, and the agent itself."""

    async def get_self(self) -> AgentDescription: ...

    async def list_services(self, *, service_id: str = "", name: str = "") -> Sequence[Service]:
        """All of this node, or those of that ID or name."""
        ...

    async def wait_for_service(self, known: Service, wait_s: float) -> Service:
        """The service of that ID once it is another, or as it is after ``wait_s``. Raises ``NotFound``."""
        ...

    async def list_checks(self, *, concerning: Sequence[str] = ()) -> Sequence[Check]:
        """All of this node, or the node's own and those of the services of these IDs."""
        ...

    async def register_service(
        self, service: Service, checks: Sequence[LocalCheck] = (), *, replace_existing_checks: bool = False, token: str = ""
    ) -> None: ...

    async def deregister_service(self, service_id: str) -> None: ...

    async def register_check(self, check: LocalCheck, *, token: str = "") -> None: ...

    async def deregister_check(self, check_id: str) -> None: ...

    async def update_ttl(self, check_id: str, status: HealthStatus, output: str) -> None: ...

    async def set_maintenance(self, enable: bool, reason: str = "", service_id: str = "") -> None: ...

    async def leave(self) -> None: ...

    async def reload(self) -> tuple[Sequence[str], Sequence[str]]: ...

    def stream_logs(self, level: str = "info", *, json: bool = False) -> AsyncIterator[str]: ...


class RaftServers(Protocol):
    """Who the servers of a datacenter are, and the ways to change that."""

    async def configuration(self, *, stale: bool = False) -> Configuration:
        """The membership as the leader has it, or, ``stale``, any server."""
        ...

    async def remove(self, member: RaftMember) -> None:
        """Takes a server out of the Raft configuration."""
        ...

    async def transfer_leader(self, node_id: str = "") -> None:
        """Hands leadership to that node, or to the voter that is furthest on."""
        ...


class RaftInfo(RaftServers, Protocol):
    """The servers of this datacenter, wherever this agent can learn of them."""

    async def leader_address(self) -> str:
        """``HOST:PORT`` of the leader; empty when none is known."""
        ...

    async def peers(self) -> Sequence[str]:
        """``HOST:PORT`` of each server in the Raft configuration."""
        ...


class SnapshotDoor(Protocol):
    """The catalog as a file, of this datacenter or another one."""

    async def save(self, consistency: Consistency = Consistency.DEFAULT, datacenter: str = "") -> SavedSnapshot:
        """Returns once the file begins."""
        ...

    async def restore(self, chunks: AsyncIterator[bytes], datacenter: str = "") -> int:
        """Takes a whole file; the log index at which it took the catalog's place."""
        ...
