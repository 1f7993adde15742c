"""How a server goes without anybody losing a write (docs/architecture.md, "A member leaves").

It hands leadership over, waits for the new leader, and asks *it* to be removed, since a leader that removed itself could not tell
whether that was committed. Only then does it leave gossip. A sole voter does neither: nobody could take over.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from rostra.clients.consensus import Configuration, ConsensusStatus, RaftMember
from rostra.errors import Conflict, NotFound, RostraError, Timeout, Unavailable

log = logging.getLogger("rostra.agent")

HANDOVER_S: Final = 15.0
RETRY_S: Final = 0.1
STOP_HANDOVER_S: Final = 5.0


class Consensus(Protocol):
    """The part of the consensus client that is needed here."""

    async def get_configuration(self, timeout_s: float = ...) -> Configuration: ...

    async def get_status(self, timeout_s: float = ...) -> ConsensusStatus: ...

    async def transfer_leadership(self, node_id: str = "", timeout_s: float = ...) -> str: ...

    async def remove(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = ...) -> int: ...


async def leave_raft(consensus: Consensus, node_id: str) -> None:
    """Raises ``RostraError`` when it could not be done in time; the others then find this server gone."""
    configuration = await consensus.get_configuration()
    own = next((member for member in configuration.members if member.node_id == node_id), None)
    voters = [member for member in configuration.members if member.voter]
    if own is None:
        return
    if own.voter and len(voters) == 1:
        log.info("the only voter stays in the raft configuration: it takes up again when it returns")
        return
    async with asyncio.timeout(HANDOVER_S):
        while True:
            try:
                if (await consensus.get_status()).leadership.is_leader:
                    log.info("handing over leadership")
                    leader = await consensus.transfer_leadership()
                    log.info("leadership handed over", extra={"leader": leader})
                await consensus.remove(own)
                log.info("removed from the raft configuration")
                return
            except NotFound:
                return
            except (Unavailable, Conflict, Timeout) as error:  # the one it was handed to may have been slow, or gone
                log.debug("not removed yet", extra={"reason": error})
            await asyncio.sleep(RETRY_S)


async def try_to_leave_raft(consensus: Consensus, node_id: str) -> None:
    """As ``leave_raft``, and says what failed instead of raising."""
    try:
        await leave_raft(consensus, node_id)
    except (RostraError, TimeoutError) as error:
        log.warning("not removed from the raft configuration; the other servers will do it", extra={"reason": error})


async def hand_over(consensus: Consensus) -> None:
    """Before a server stops without leaving: somebody else leads by then, so writes under way wait for no election. What cannot be done in
    ``STOP_HANDOVER_S`` is left; the others elect one of themselves then."""
    try:
        async with asyncio.timeout(STOP_HANDOVER_S):
            voters = [member for member in (await consensus.get_configuration()).members if member.voter]
            if len(voters) > 1 and (await consensus.get_status()).leadership.is_leader:
                log.info("leadership handed over", extra={"leader": await consensus.transfer_leadership()})
    except (RostraError, TimeoutError) as error:
        log.info("leadership not handed over before stopping", extra={"reason": error})
