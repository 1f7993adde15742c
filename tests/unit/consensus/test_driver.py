"""The asyncio shell with one server, over both stores: what a proposer, a reader and a state machine rely on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rostra.consensus.attachment import Attachment, Entries, Restore, SnapshotWanted
from rostra.consensus.driver import Consensus, Limits
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import EntryKind, ReadMode, Write
from rostra.consensus.proposals import Committed
from rostra.consensus.ready import Options
from rostra.consensus.snapshots import FileSnapshots, MemorySnapshots, SnapshotStore
from rostra.consensus.storage import MemoryStore, StorageFailed, StorageFull, Store
from rostra.consensus.timing import DEVELOPMENT_TIMING
from rostra.errors import BadRequest, Busy, Conflict, NotLeader, NotReady

Open = Callable[[], tuple[Store, SnapshotStore]]


@pytest.fixture(params=["memory", "lmdb"])
def open_stores(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store each time it is called, as a restart does."""
    memory: tuple[Store, SnapshotStore] = MemoryStore(), MemorySnapshots()
    if request.param == "memory":
        return lambda: memory
    return lambda: (LmdbStore(tmp_path / "raft"), FileSnapshots(tmp_path / "snapshots"))


@contextlib.asynccontextmanager
async def running(store: Store, snapshots: SnapshotStore, **changes: object) -> AsyncIterator[Consensus]:
    consensus = Consensus(node_id="n1", store=store, snapshots=snapshots, timing=DEVELOPMENT_TIMING, **changes)  # type: ignore[arg-type]
    task = asyncio.create_task(consensus.run())
    try:
        yield consensus
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def leading(open_stores: Open, **changes: Any) -> AsyncIterator[Consensus]:
    async with running(*open_stores(), **changes) as consensus:
        if not consensus.core.cluster_id:
            consensus.bootstrap(node_name="n1", address="127.0.0.1:8300")
        await until_leader(consensus)
        yield consensus


async def until_leader(consensus: Consensus) -> None:
    async for leadership in consensus.watch_leadership():
        if leadership.is_leader:
            return


async def commands_until(attachment: Attachment, index: int) -> list[bytes]:
    """Applies until ``index`` and returns the commands seen."""
    commands: list[bytes] = []
    async for delivery in attachment:
        assert isinstance(delivery, Entries)
        commands += [entry.data for entry in delivery.entries if entry.kind == EntryKind.COMMAND]
        attachment.applied(delivery.entries[-1].index)
        if delivery.entries[-1].index >= index:
            break
    return commands


def last_index(outcomes: Sequence[object]) -> int:
    assert all(isinstance(outcome, Committed) for outcome in outcomes), outcomes
    outcome = outcomes[-1]
    assert isinstance(outcome, Committed)
    return outcome.index


async def test_a_sole_voter_elects_itself_and_answers_each_proposal_with_its_place(open_stores: Open) -> None:
    async with leading(open_stores) as consensus:
        outcomes = await consensus.propose([b"a", b"b"])
        # 1 is the configuration, 2 the no-op of the new leader.
        assert outcomes == [Committed(3, 2), Committed(4, 2)]
        assert consensus.leadership.leader_name == "n1"


async def test_proposals_of_one_turn_share_one_write(open_stores: Open) -> None:
    store, snapshots = open_stores()
    numbers: list[int] = []
    perform = store.perform

    def counting(writes: Sequence[Write]) -> None:
        numbers.extend(len(write.entries) for write in writes if write.entries)
        perform(writes)

    store.perform = counting  # type: ignore[method-assign]
    async with leading(lambda: (store, snapshots)) as consensus:
        numbers.clear()
        await asyncio.gather(*(consensus.propose([b"x"]) for _ in range(50)))
    assert numbers == [50]


async def test_after_a_restart_the_log_is_there_and_no_entry_is_lost_or_doubled(open_stores: Open) -> None:
    sent = [b"%d" % number for number in range(300)]
    async with leading(open_stores) as consensus:
        cluster = consensus.core.cluster_id
        await consensus.propose(sent)
    async with leading(open_stores) as consensus:
        assert consensus.core.cluster_id == cluster
        end = last_index(await consensus.propose([b"end"]))
        attachment = consensus.attach(cluster_id="", applied_index=0, applied_term=0, primary=True)
        assert await commands_until(attachment, end) == [*sent, b"end"]


async def test_reads_wait_for_the_first_entry_of_the_term_and_cover_acknowledged_writes(open_stores: Open) -> None:
    async with running(*open_stores()) as consensus:
        consensus.bootstrap()
        early = [asyncio.create_task(consensus.read_index(mode)) for mode in ReadMode]
        assert min(await asyncio.gather(*early)) >= 2
        index = last_index(await consensus.propose([b"a"]))
        assert await consensus.read_index(ReadMode.LEASE) >= index
        assert await consensus.read_index(ReadMode.QUORUM) >= index


async def test_an_attachment_gets_every_entry_in_order_from_its_place(open_stores: Open) -> None:
    async with leading(open_stores) as consensus:
        first = last_index(await consensus.propose([b"a"]))
        end = last_index(await consensus.propose([b"b", b"c"]))
        attachment = consensus.attach(cluster_id=consensus.core.cluster_id, applied_index=first, applied_term=2, primary=False)
        assert await commands_until(attachment, end) == [b"b", b"c"]


async def test_an_attachment_is_held_back_until_it_has_applied(open_stores: Open) -> None:
    async with leading(open_stores) as consensus:
        end = last_index(await consensus.propose([b"x" * 1000] * 10))
        attachment = consensus.attach(cluster_id="", applied_index=0, applied_term=0, primary=False, window_bytes=3000)
        delivery = await anext(attachment)
        assert isinstance(delivery, Entries)
        assert len(delivery.entries) < 6
        second = await anext(attachment)
        assert isinstance(second, Entries)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(attachment)
        attachment.applied(second.entries[-1].index)
        assert len(await commands_until(attachment, end)) > 3


async def test_a_place_of_another_history_begins_again(open_stores: Open) -> None:
    async with leading(open_stores) as consensus:
        attachment = consensus.attach(cluster_id=consensus.core.cluster_id, applied_index=2, applied_term=1, primary=False)
        assert await anext(attachment) == Restore(None)
        delivery = await anext(attachment)
        assert isinstance(delivery, Entries)
        assert delivery.entries[0].index == 1


async def test_a_state_machine_of_another_cluster_or_ahead_of_the_log_is_refused(open_stores: Open) -> None:
    async with leading(open_stores) as consensus:
        with pytest.raises(Conflict, match="belongs to cluster other"):
            consensus.attach(cluster_id="other", applied_index=0, applied_term=0, primary=False)
        with pytest.raises(NotReady, match="ends at 2"):
            consensus.attach(cluster_id=consensus.core.cluster_id, applied_index=9, applied_term=2, primary=False)


async def test_one_primary_at_a_time(open_stores: Open) -> None:
    async with leading(open_stores) as consensus:
        primary = consensus.attach(cluster_id="", applied_index=0, applied_term=0, primary=True)
        with pytest.raises(Conflict, match="another primary"):
            consensus.attach(cluster_id="", applied_index=0, applied_term=0, primary=True)
        primary.detach()
        consensus.attach(cluster_id="", applied_index=0, applied_term=0, primary=True)
        assert [delivery async for delivery in primary] == []


async def test_a_duty_of_another_term_is_refused(open_stores: Open) -> None:
    async with leading(open_stores) as consensus:
        with pytest.raises(NotLeader):
            await consensus.propose([b"duty"], only_in_term=1)
        assert last_index(await consensus.propose([b"duty"], only_in_term=2)) == 3


async def test_too_much_is_refused_and_changes_nothing(open_stores: Open) -> None:
    limits = Limits(max_command_bytes=10, max_pending_proposals=5)
    async with leading(open_stores, limits=limits) as consensus:
        with pytest.raises(BadRequest, match="up to 10 bytes"):
            await consensus.propose([b"x" * 11])
        with pytest.raises(Busy):
            await consensus.propose([b"x"] * 6)
        assert last_index(await consensus.propose([b"x" * 10] * 5)) == 7


async def test_a_snapshot_is_asked_for_and_the_log_behind_it_goes(open_stores: Open) -> None:
    changes = {"limits": Limits(snapshot_threshold=20, snapshot_interval_s=0.01), "options": Options(trailing_logs=5, cached_bytes=0)}
    async with leading(open_stores, **changes) as consensus:
        attachment = consensus.attach(cluster_id="", applied_index=0, applied_term=0, primary=True)
        end = last_index(await consensus.propose([b"%d" % number for number in range(40)]))
        await commands_until(attachment, end)
        wanted = await anext(attachment)
        assert isinstance(wanted, SnapshotWanted)
        meta = await attachment.offer_snapshot(end, chunks(b"state ", b"of the machine"))
        assert meta.index == end
        assert consensus.core.log.base_index == end - 5
        await consensus.propose([b"later"])

    async with leading(open_stores, **changes) as consensus:
        attachment = consensus.attach(cluster_id="", applied_index=0, applied_term=0, primary=True)
        restore = await anext(attachment)
        assert isinstance(restore, Restore)
        assert restore.meta == meta
        assert b"".join([chunk async for chunk in attachment.read_snapshot(meta)]) == b"state of the machine"
        assert await commands_until(attachment, end + 2) == [b"later"]


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for chunk in data:
        yield chunk


async def test_a_watcher_never_misses_the_last_state(open_stores: Open) -> None:
    async with running(*open_stores()) as consensus:
        seen = []
        consensus.bootstrap()
        async for leadership in consensus.watch_leadership():
            seen.append(leadership)
            if leadership.is_leader:
                break
        assert seen[-1].term == 2


async def test_stats_carry_consuls_names(open_stores: Open) -> None:
    async with leading(open_stores) as consensus:
        stats = consensus.stats()
        assert stats["state"] == "Leader"
        assert stats["num_peers"] == "0"
        assert stats["last_log_index"] == stats["commit_index"] == "2"
        assert "Suffrage:Voter" in stats["latest_configuration"]


async def test_a_failed_fsync_ends_the_role_and_is_not_tried_again(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "raft")
    attempts = 0

    def failing(writes: Sequence[Write]) -> None:
        nonlocal attempts
        attempts += 1
        raise StorageFailed("Input/output error")

    store.perform = failing  # type: ignore[method-assign]
    consensus = Consensus(node_id="n1", store=store, snapshots=MemorySnapshots(), timing=DEVELOPMENT_TIMING)
    with pytest.raises(StorageFailed):
        await consensus.run()
    assert attempts == 1


async def test_a_full_disk_acknowledges_nothing_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rostra.consensus.storage_thread.FULL_RETRY_S", 0.01)
    said = asyncio.Event()
    monkeypatch.setattr("rostra.consensus.driver.log.error", lambda message, **_: said.set())
    store = LmdbStore(tmp_path / "raft")
    async with leading(lambda: (store, MemorySnapshots())) as consensus:
        store.free_bytes = lambda: 0  # type: ignore[method-assign]
        proposal = asyncio.create_task(consensus.propose([b"a"]))
        await said.wait()
        with pytest.raises(Busy):
            await consensus.propose([b"b"])
        assert not proposal.done()
        store.free_bytes = lambda: 1 << 40  # type: ignore[method-assign]
        assert last_index(await proposal) == 3


def test_the_full_disk_error_is_not_the_failed_one() -> None:
    assert not issubclass(StorageFull, StorageFailed)
