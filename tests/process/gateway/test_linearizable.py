"""Default and consistent reads never go back behind an acknowledged write, on whichever agent, while leaders are killed.

Writers and readers use all three servers and a client agent, each over its own gateway; the log then says where each write took
effect, and so whether a read saw less than was certain when it began. ``ROSTRA_LINEARIZABLE_S=300`` makes it longer.
"""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..consensus.load import Load, check_reads, places
from ..consensus.servers import Servers
from ..harness.http import Api
from ..harness.ports import Ports
from ..harness.program import this_rostra
from ..harness.running import Running
from ..harness.waiting import eventually

SECONDS = float(os.environ.get("ROSTRA_LINEARIZABLE_S", "10"))
FIRST_HOST = 171
CLIENT_HOST = f"127.0.0.{FIRST_HOST + 3}"
ALL_OF_THE_LOG = "-hcl=raft_snapshot_threshold = 100000000"

pytestmark = [pytest.mark.process, pytest.mark.timeout(180 + 4 * SECONDS)]


@dataclass
class ClientAgent:
    """A client agent, as ``Load`` wants one more server to ask."""

    name: str
    http: str
    process: Running


def start_client(folder: Path, servers: Servers) -> ClientAgent:
    ports = Ports.free(CLIENT_HOST)
    join = [f"-retry-join={server.host}:{server.ports.serf_lan}" for server in servers.all]
    flags = [f"-data-dir={folder / 'data'}", "-node=client", f"-bind={CLIENT_HOST}", f"-client={CLIENT_HOST}", "-retry-interval=1s", *join]
    process = Running(this_rostra(), folder, ["agent", *flags, *ports.flags("http", "dns", "grpc", "serf_lan", "serf_wan")])
    return ClientAgent("client", f"{CLIENT_HOST}:{ports.http}", process)


def kill_leaders(servers: Servers, ended: threading.Event, killed: list[str]) -> None:
    """One leader after another: killed, and started again once there is another."""
    while not ended.wait(0.5):
        leader = servers.wait_for_leader()
        killed.append(leader.name)
        leader.kill()
        eventually(lambda dead=leader: any(other.leader() not in ("", f"{dead.host}:{dead.ports.server}") for other in servers.up), 30)  # type: ignore[misc]
        leader.start()


def test_no_read_goes_back_behind_an_acknowledged_write_while_leaders_are_killed(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    servers = Servers(tmp_path, 3, [ALL_OF_THE_LOG], first_host=FIRST_HOST)
    client: ClientAgent | None = None
    killed: list[str] = []
    try:
        servers.start()
        client = start_client(tmp_path / "client", servers)
        api = Api(client.http)
        eventually(lambda: api.get("/v1/catalog/nodes?consistent").status_code == 200, 30, "the client agent reads")
        api.close()
        ended = threading.Event()
        with Load([*servers.all, client], seed, writers=2, readers=4) as load:  # type: ignore[list-item]
            timer = threading.Timer(SECONDS, ended.set)
            timer.start()
            kill_leaders(servers, ended, killed)
            timer.join()
        log = servers.wait_for_leader().log()
        assert log.base == 0
        check_reads(load.record, places(log))
        reads = load.record.reads
        print(f"{len(killed)} leaders killed; {len(load.record.acknowledged)} writes acknowledged; {len(reads)} reads")
        assert killed
        for name in ("s1", "s2", "s3", "client"):
            assert any(f"read by {name} " in read.how for read in reads), f"no read by way of {name} was answered"
        assert any(call.how == "write by client" for call in load.record.counted)
    except BaseException as error:
        error.add_note(f"seed {seed}, killed {killed}\n{servers.output()}\n{client.process.output if client else ''}"[-20_000:])
        raise
    finally:
        if client is not None:
            client.process.kill()
        servers.stop()
