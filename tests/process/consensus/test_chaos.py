"""Real servers killed with -9, stopped by SIGSTOP and started again at random while clients write and read.

``ROSTRA_CHAOS_S=300`` runs each for so many seconds; ``ROSTRA_CHAOS_SEED`` repeats the choices of a run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from ..harness.waiting import eventually
from .chaos import Chaos
from .load import Load, check_reads, places
from .servers import Log, Server, Servers

SECONDS = float(os.environ.get("ROSTRA_CHAOS_S", "10"))
SEED = int(os.environ.get("ROSTRA_CHAOS_SEED", random.randrange(10**6)))

pytestmark = [pytest.mark.process, pytest.mark.timeout(120 + 4 * SECONDS)]

ALL_OF_THE_LOG = "-hcl=raft_snapshot_threshold = 100000000"
SNAPSHOTS = '-hcl=raft_snapshot_threshold = 100 raft_snapshot_interval = "1s" raft_trailing_logs = 50'


@pytest.mark.parametrize("count", [3, 5])
def test_every_acknowledged_write_is_on_every_server_in_the_same_order_and_reads_never_go_back(tmp_path: Path, count: int) -> None:
    servers = Servers(tmp_path, count, [ALL_OF_THE_LOG], first_host=31)
    chaos = Chaos(servers, SEED)
    try:
        servers.start()
        with Load(servers.all, SEED) as load:
            chaos.run(SECONDS)
            eventually(lambda: load.is_worth_the_name(SECONDS / 3), 60, "so many calls are answered, on a busy machine only now")
        logs = final_logs(servers)
        first = logs["s1"]
        for name, log in logs.items():
            assert log.base == 0
            assert log.entries == first.entries, f"the log of {name} differs from that of s1"
        place = places(first)
        assert [name for name in load.record.acknowledged if name not in place] == []
        check_reads(load.record, place)
        print(f"seed {SEED}:", describe(load), f"{len(first.entries)} entries, last term {first.entries[-1].term}")
    except BaseException as error:
        error.add_note("\n".join([f"seed {SEED}", *chaos.journal]))
        raise
    finally:
        servers.stop()


def test_the_same_with_snapshots_taken_and_sent_all_the_time(tmp_path: Path) -> None:
    servers = Servers(tmp_path, 3, [SNAPSHOTS], first_host=41)
    chaos = Chaos(servers, SEED)
    try:
        servers.start()
        with Load(servers.all, SEED) as load:
            chaos.run(SECONDS)
            eventually(lambda: all(has_snapshot(server) for server in servers.all), 60, "every server has a snapshot")
        logs = final_logs(servers)
        assert all(log.base > 0 for log in logs.values())
        newest = max(log.base for log in logs.values())
        tails = {name: [entry for entry in log.entries if entry.index > newest] for name, log in logs.items()}
        assert all(tail == tails["s1"] for tail in tails.values())
        for server in servers.all:
            nodes = {node["Node"] for node in server.api.get("/v1/catalog/nodes").json()}
            lost = [name for name in load.record.acknowledged if name.startswith("w-") and name not in nodes]
            assert lost == [], f"acknowledged, and not in the catalog of {server.name}"
        print(f"seed {SEED}:", describe(load))
    except BaseException as error:
        error.add_note("\n".join([f"seed {SEED}", *chaos.journal]))
        raise
    finally:
        servers.stop()


def has_snapshot(server: Server) -> bool:
    return int(server.api.get("/v1/agent/self").json()["Stats"]["raft"]["last_snapshot_index"]) > 0


def final_logs(servers: Servers) -> dict[str, Log]:
    """Every server's log up to a write that was made when all was over."""
    leader = servers.wait_for_leader()
    eventually(lambda: leader.api.put("/v1/catalog/register", {"Node": "last", "Address": "127.0.0.1"}).status_code == 200, 20)

    def has_last(server_log: Log) -> bool:
        return bool(server_log.entries) and b"last" in b"".join(entry.data for entry in server_log.entries[-20:])

    logs = {}
    for server in servers.all:

        def whole(server: Server = server) -> Log | None:
            return log if has_last(log := server.log()) else None

        logs[server.name] = eventually(whole, 30, f"{server.name} has all")
    end = min(log.entries[-1].index for log in logs.values())
    return {name: Log(log.base, [entry for entry in log.entries if entry.index <= end]) for name, log in logs.items()}


def describe(load: Load) -> str:
    record = load.record
    return f"{len(record.acknowledged)} writes acknowledged, {len(record.failed)} not, {len(record.reads)} reads"
