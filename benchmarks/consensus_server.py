"""One server of a replicated log and nothing else: what ``consensus.py`` measures. Started by it, ended by SIGTERM or SIGKILL."""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import uvloop

from rostra.clients.gossip import MemberEvent, Members
from rostra.consensus.role import ConsensusRole, ConsensusSettings
from rostra.consensus.timing import scaled_timing
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberStatus
from rostra.rpc.channels import PlainConnector
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.v1 import consensus_pb2_grpc, raft_pb2_grpc


class KnownServers:
    """In place of gossip: who the servers are is given. The first ``expect`` of them start the cluster."""

    def __init__(self, servers: Sequence[str], expect: int) -> None:
        self._servers = servers
        self._expect = expect

    async def watch_members(self, pool: str = "lan") -> AsyncIterator[MemberEvent]:
        """All alive, for ever."""
        members = []
        for number, server in enumerate(self._servers, 1):
            host, _, port = server.rpartition(":")
            tags = {
                "role": "rostra",
                "dc": "dc1",
                "id": f"n{number}",
                "port": port,
                "expect": str(self._expect if number <= self._expect else 0),
            }
            members.append(Member(f"n{number}", host, 8301, tags, MemberStatus.ALIVE, 1))
        yield Members(tuple(members), True)
        await asyncio.get_running_loop().create_future()


async def serve(number: int, servers: Sequence[str], folder: Path, *, expect: int) -> None:
    """Until SIGTERM."""
    identity = Identity(f"n{number}", f"n{number}", "dc1", "127.0.0.1", "127.0.0.1", server=True)
    address = servers[number - 1]
    settings = ConsensusSettings(
        scaled_timing(1),
        folder,
        expect=expect,
        server_address=address,
        primary_grace_s=math.inf,
        snapshot_threshold=2**40,
        trailing_logs=64,
    )
    role = ConsensusRole(identity, settings, KnownServers(servers, expect), PlainConnector(), random.Random())
    handlers = Handlers()
    handlers.add(raft_pb2_grpc.add_RaftServiceServicer_to_server, role.raft_servicer)
    handlers.add(consensus_pb2_grpc.add_ConsensusServiceServicer_to_server, role.servicer)
    door = Door("server port", [address], handlers, {})
    await role.start()
    await door.start()
    running = asyncio.ensure_future(role.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        await door.stop()


def main() -> None:
    """``consensus_server.py NUMBER FOLDER EXPECT HOST:PORT …``"""
    parser = argparse.ArgumentParser()
    parser.add_argument("number", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("expect", type=int)
    parser.add_argument("servers", nargs="+")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments.number, arguments.servers, arguments.folder, expect=arguments.expect))


if __name__ == "__main__":
    main()
