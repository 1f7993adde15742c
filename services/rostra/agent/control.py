"""What the outside may ask of the process: who it is, how it does, and to leave (the ``Agent`` of the local role)."""

from __future__ import annotations

import asyncio
import logging
import platform
import resource
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from rostra.agent.departure import Consensus, hand_over, try_to_leave_raft
from rostra.agent.process import Role
from rostra.config import Settings
from rostra.errors import RostraError
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberStatus
from rostra.version import VERSION

log = logging.getLogger("rostra.agent")

LEAVE_LIMIT_S: Final = 30.0
LAST_ANSWER_S: Final = 0.1
"""For who asked to be told that the node has left."""


class Gossip(Protocol):
    """The part of the gossip client that is needed here."""

    async def join(self, addresses: Sequence[str], pool: str = "lan") -> int: ...

    async def list_members(
        self, pool: str = "lan", status: MemberStatus | None = None, timeout_s: float | None = None
    ) -> tuple[Sequence[Member], bool]: ...

    async def leave(self, pool: str | None = None) -> None: ...

    async def force_leave(self, name: str, prune: bool = False, pool: str = "lan") -> None: ...

    async def stats(self) -> Mapping[str, Mapping[str, str]]: ...


class Control:
    """The process as AgentService knows it. ``end`` stops it; ``reread`` reads the configuration again."""

    def __init__(
        self,
        identity: Identity,
        gossip: Gossip,
        *,
        config_json: Callable[[], str],
        reread: Callable[[], Awaitable[tuple[Sequence[str], Sequence[str]]]],
        end: Callable[[], None],
        drain_s: float,
        consensus: Consensus | None = None,
    ) -> None:
        """``consensus`` where this node is a server and it can be reached."""
        self.identity = identity
        self.version = VERSION
        self.config_json = config_json
        self.reload = reread
        self.reload_local: Callable[[Settings], Awaitable[None]] | None = None
        """Hands other definitions of services and checks to the local role, where it is here. Raises where one cannot be taken."""
        self.prepare_dns: Callable[[Settings], Callable[[], None]] | None = None
        """What puts other settings of the dns role in force, where it is here. Raises where one cannot be taken."""
        self.reload_gateway: Callable[[Settings], None] | None = None
        """Hands other limits to the gateway role, where it is here. Never refused: the limits have been checked."""
        self.reloaded: Callable[[], None] | None = None
        """Told once the effective configuration is another one."""
        self.roles: Sequence[Role] = ()
        self._gossip = gossip
        self._end = end
        self._drain_s = drain_s
        self._consensus = consensus
        self._leaving: asyncio.Task[None] | None = None

    async def stats(self) -> Mapping[str, Mapping[str, str]]:
        """From the roles here, and from gossip wherever it is."""
        groups: dict[str, dict[str, str]] = {
            "build": {"version": VERSION, "python": platform.python_version(), "prerelease": ""},
            "runtime": {
                "arch": platform.machine(),
                "os": sys.platform,
                "max_rss_kib": str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
                "tasks": str(len(asyncio.all_tasks())),
            },
            "consul": {"server": str(self.identity.server).lower()},
        }
        for role in self.roles:
            for group, numbers in role.stats().items():
                groups.setdefault(group, {}).update(numbers)
        try:
            for group, numbers in (await self._gossip.stats()).items():
                groups.setdefault(group, {}).update(numbers)
        except RostraError as error:
            groups["serf_lan"] = {"error": str(error)}
        return groups

    async def join(self, addresses: Sequence[str], *, wan: bool) -> int:
        return await self._gossip.join(addresses, "wan" if wan else "lan")

    async def force_leave(self, name: str, *, prune: bool, wan: bool) -> None:
        await self._gossip.force_leave(name, prune, "wan" if wan else "lan")

    async def leave(self) -> None:
        """Leaves once, whoever asks how often; the process stops a moment after everyone has been answered."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(), name="leave")
        await asyncio.shield(self._leaving)

    async def stop(self) -> None:
        """Ends the process without leaving; a leader hands over first. Whatever goes wrong with that, it ends."""
        try:
            if self._consensus is not None:
                await hand_over(self._consensus)
        finally:
            self._end()

    async def _is_alone(self) -> bool:
        """Whether nobody is there who could still want something of this node."""
        try:
            members, _ = await self._gossip.list_members("lan", MemberStatus.ALIVE)
        except RostraError:
            return False
        return len(members) <= 1

    async def _leave(self) -> None:
        log.info("graceful leave started", extra={"node": self.identity.name})
        stay_s = LAST_ANSWER_S
        try:
            alone = await self._is_alone()
            if self.identity.server and not alone:
                stay_s = self._drain_s
            if self._consensus is not None and not alone:
                await try_to_leave_raft(self._consensus, self.identity.id)
            await self._leave_gossip()
            if stay_s != LAST_ANSWER_S:
                log.info("draining: still answering what is under way", extra={"seconds": stay_s})
        finally:  # whatever went wrong: who was told to leave does not stay
            asyncio.get_running_loop().call_later(stay_s, self._end)

    async def _leave_gossip(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await self._gossip.leave()
            log.info("left the gossip pools", extra={"node": self.identity.name})
        except (RostraError, TimeoutError) as error:
            log.warning("the pool could not be told; others will see this node fail", extra={"reason": error})
