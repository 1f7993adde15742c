"""Three drivers in one loop, joined by a transport that hands batches over: forwarding, follower reads, failover, snapshots."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from rostra.consensus.attachment import Attachment, Entries, Restore
from rostra.consensus.driver import Consensus, Leadership, Limits
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.messages import AppendRequest, Message
from rostra.consensus.model import ChangeAction, EntryKind, Member, PeerId, ReadMode, SnapshotMeta, Suffrage
from rostra.consensus.proposals import Committed, Outcome
from rostra.consensus.ready import Options
from rostra.consensus.snapshots import FileSnapshots, SnapshotStore
from rostra.consensus.timing import Timing
from rostra.errors import BadRequest, Busy, NoLeader, NotLeader, UnknownOutcome

TIMING = Timing(heartbeat_timeout_s=0.5, election_timeout_s=0.5, lease_timeout_s=0.5, heartbeat_interval_s=0.05)
"""As slow as can be waited for: a machine that keeps this process from running for longer makes another lead, which is right of it."""


class Network:
    """Servers by store; ``cut`` ones hear and say nothing."""

    def __init__(self, folder: Path, options: Options, limits: Limits) -> None:
        self.folder = folder
        self.options = options
        self.limits = limits
        self.servers: dict[PeerId, Consensus] = {}
        self.links: dict[PeerId, Link] = {}
        self.tasks: dict[PeerId, asyncio.Task[None]] = {}
        self.cut: set[PeerId] = set()
        self.sent: list[tuple[Sequence[Message], bool]] = []

    def start(self, name: str) -> Consensus:
        server = Consensus(
            node_id=name,
            store=LmdbStore(self.folder / name / "raft"),
            snapshots=FileSnapshots(self.folder / name / "snapshots"),
            timing=TIMING,
            transport=(link := Link(self)),
            options=self.options,
            limits=self.limits,
        )
        link.own = server.core.id
        self.servers[server.core.id], self.links[server.core.id] = server, link
        self.tasks[server.core.id] = asyncio.create_task(server.run())
        return server

    async def stop(self, server: Consensus) -> None:
        task = self.tasks.pop(server.core.id)
        del self.servers[server.core.id]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def reach(self, sender: PeerId, to: PeerId) -> Consensus | None:
        return None if {sender, to} & self.cut else self.servers.get(to)


class Link:
    """One server's way to the others."""

    own: PeerId

    def __init__(self, network: Network) -> None:
        self._network = network
        self.leaders: list[PeerId] = []

    def led_by(self, leader: PeerId) -> None:
        self.leaders.append(leader)

    def send(self, peer: PeerId, batch: Sequence[Message], *, unhurried: bool = False) -> None:
        self._network.sent.append((batch, unhurried))
        server = self._network.reach(self.own, peer)
        if server is not None:
            asyncio.get_running_loop().call_soon(server.deliver, list(batch))

    async def send_snapshot(self, peer: PeerId, meta: SnapshotMeta, term: int, snapshots: SnapshotStore) -> bool:
        server = self._network.reach(self.own, peer)
        if server is None:
            return False
        size, checksum = snapshots.measure(meta)
        writer = await server.begin_snapshot(meta, size)
        for chunk in snapshots.read(meta, writer.offset):
            await server.write_snapshot(writer, chunk)
        await server.install_snapshot(writer, meta, term, self.own, size=size, checksum=checksum)
        return True

    async def forward(self, leader: PeerId, commands: Sequence[bytes], only_in_term: int, level: int, timeout_s: float) -> list[Outcome]:
        server = self._network.reach(self.own, leader)
        if server is None:
            return [UnknownOutcome("the leader cannot be reached") for _ in commands]
        return await server.propose(commands, only_in_term=only_in_term, level=level, forwarded=True, timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def cluster(folder: Path, limits: Limits | None = None) -> AsyncIterator[tuple[Network, list[Consensus]]]:
    # A primary state machine is attached to none of them unless a test does it: leaders must not hand over for that.
    network = Network(folder, Options(trailing_logs=5), limits or Limits(primary_grace_s=60.0, snapshot_interval_s=0.05))
    servers = [network.start(name) for name in ("n1", "n2", "n3")]
    first = servers[0].bootstrap(members=[Member(server.core.id, Suffrage.VOTER, server.core.id.node_id) for server in servers])
    assert first
    for server in servers[1:]:
        server.bootstrap_as(servers[0].core.configuration)
    try:
        yield network, servers
    finally:
        for server in list(network.servers.values()):
            await network.stop(server)


async def leader_of(network: Network, where: Callable[[Leadership], bool] = lambda _: True) -> Consensus:
    """The server that leads, as soon as one does."""
    found: asyncio.Future[Consensus] = asyncio.get_running_loop().create_future()

    async def watch(server: Consensus) -> None:
        async for leadership in server.watch_leadership():
            if leadership.is_leader and where(leadership) and not found.done():
                found.set_result(server)

    watchers = [asyncio.create_task(watch(server)) for server in network.servers.values() if server.core.id not in network.cut]
    try:
        return await asyncio.wait_for(found, 60)
    finally:
        for watcher in watchers:
            watcher.cancel()


async def applied_commands(server: Consensus, index: int) -> list[bytes]:
    """What a state machine of that server sees up to ``index``."""
    attachment = server.attach(cluster_id="", applied_index=0, applied_term=0, primary=False)
    commands: list[bytes] = []
    try:
        async for delivery in attachment:
            if isinstance(delivery, Restore):
                assert delivery.meta is not None
                data = b"".join([chunk async for chunk in attachment.read_snapshot(delivery.meta)])
                commands = data.split(b" ")
                attachment.applied(delivery.meta.index)
                last = delivery.meta.index
            else:
                assert isinstance(delivery, Entries)
                commands += [entry.data for entry in delivery.entries if entry.kind == EntryKind.COMMAND]
                last = delivery.entries[-1].index
                attachment.applied(last)
            if last >= index:
                break
    finally:
        attachment.detach()
    return commands


def places(outcomes: Sequence[Outcome]) -> list[int]:
    return [outcome.index for outcome in outcomes if isinstance(outcome, Committed)]


async def test_a_follower_forwards_proposals_and_answers_reads(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (network, servers):
        leader = await leader_of(network)
        follower = next(server for server in servers if server is not leader)
        await follower.read_index(ReadMode.LEASE)
        (index,) = places(await follower.propose([b"a"]))
        assert await follower.read_index(ReadMode.LEASE) >= index
        assert await follower.read_index(ReadMode.QUORUM) >= index
        assert await applied_commands(follower, index) == [b"a"]
        with pytest.raises(NotLeader):
            await follower.propose([b"a"], forwarded=True)


def notices(network: Network) -> list[bool]:
    """Of each notice of the commit index whether it may wait."""
    return [unhurried for batch, unhurried in network.sent for each in batch if isinstance(each, AppendRequest) and each.is_notice]


async def test_followers_hear_at_once_of_a_commit_that_one_of_them_waits_for(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (network, servers):
        leader = await leader_of(network)
        follower = next(server for server in servers if server is not leader)
        await follower.read_index(ReadMode.QUORUM)
        network.sent.clear()
        for own in (b"b", b"c"):
            await leader.propose([own])
        assert set(notices(network)) <= {True}
        network.sent.clear()
        (index,) = places(await follower.propose([b"a"]))
        assert (await applied_commands(follower, index))[-1] == b"a"
        assert set(notices(network)) == {False}


async def test_a_reader_that_gives_up_early_does_not_take_the_answer_from_those_who_wait(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (network, servers):
        leader = await leader_of(network)
        follower = next(server for server in servers if server is not leader)
        await follower.read_index(ReadMode.LEASE)
        network.cut = {follower.core.id}
        patient = asyncio.create_task(follower.read_index(ReadMode.LEASE, timeout_s=60.0))
        with pytest.raises(NoLeader):
            await follower.read_index(ReadMode.LEASE, timeout_s=0.01)
        network.cut = set()
        assert await patient > 0


async def test_when_the_leader_dies_another_takes_over_and_every_acknowledged_write_is_there(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (network, _):
        leader = await leader_of(network)
        before = [b"%d" % number for number in range(50)]
        assert len(places(await leader.propose(before))) == 50
        await network.stop(leader)
        successor = await leader_of(network)
        (index,) = places(await successor.propose([b"after"]))
        for server in network.servers.values():
            assert await applied_commands(server, index) == [*before, b"after"]


async def test_a_leader_that_is_cut_off_answers_nothing_and_names_unknown_outcomes(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (network, _):
        leader = await leader_of(network)
        network.cut = {leader.core.id}
        lost = asyncio.create_task(leader.propose([b"lost"], timeout_s=60.0))
        undecided = asyncio.create_task(leader.propose([b"undecided"], timeout_s=0.05))
        (outcome,) = await undecided
        assert isinstance(outcome, UnknownOutcome)
        term = leader.core.term
        successor = await leader_of(network, lambda leadership: leadership.term > term)
        await successor.propose([b"kept"])
        network.cut = set()
        (outcome,) = await lost
        assert isinstance(outcome, NotLeader), "another entry is committed in its place: it will never be"


async def test_everybody_is_told_who_leads_now_so_that_nobody_waits_for_who_led(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (network, _):
        former = await leader_of(network)
        network.cut = {former.core.id}
        leader = await leader_of(network, lambda leadership: leadership.term > former.core.term)
        (follower,) = (server for server in network.servers.values() if server not in (former, leader))
        async for leadership in follower.watch_leadership():
            if leadership.leader == leader.core.id:
                break
        assert network.links[follower.core.id].leaders[-1] == leader.core.id


async def test_leadership_is_handed_over_on_request(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (network, servers):
        leader = await leader_of(network)
        target = next(server for server in servers if server is not leader)
        leadership = await leader.transfer_leadership(target.core.id)
        assert leadership.leader == target.core.id


async def test_a_leader_without_a_state_machine_hands_over_to_one_that_has(tmp_path: Path) -> None:
    async with cluster(tmp_path, Limits(primary_grace_s=0.3)) as (network, servers):
        leader = await leader_of(network)
        others = [server for server in servers if server is not leader]
        for server in others:
            server.attach(cluster_id="", applied_index=0, applied_term=0, primary=True)
        term = leader.core.term
        assert await leader_of(network, lambda leadership: leadership.term > term) in others


async def test_a_leader_whose_disk_is_full_hands_over_and_follows_again_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rostra.consensus.storage_thread.FULL_RETRY_S", 0.01)
    async with cluster(tmp_path) as (network, _):
        leader = await leader_of(network)
        full = cast(LmdbStore, leader._store)
        monkeypatch.setattr(full, "free_bytes", lambda: 0)
        term = leader.core.term
        (before,) = places(await leader.propose([b"before"]))  # on the disks of the two others
        successor = await leader_of(network, lambda leadership: leadership.term > term)
        assert successor is not leader
        with pytest.raises(Busy, match="the disk is full"):
            await leader.propose([b"refused"])
        (after,) = places(await successor.propose([b"after"]))
        monkeypatch.setattr(full, "free_bytes", lambda: 1 << 40)
        assert await applied_commands(leader, after) == [b"before", b"after"]
        assert before < after


async def test_an_empty_server_joins_by_a_snapshot_and_becomes_a_voter(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (network, _):
        leader = await leader_of(network)
        sent = [b"%d" % number for number in range(100)]
        index = places(await leader.propose(sent))[-1]
        machine = leader.attach(cluster_id="", applied_index=0, applied_term=0, primary=True)
        with pytest.raises(BadRequest, match="has applied 0"):
            await machine.offer_snapshot(index, one(b""))
        await applied_by(machine, index)
        await machine.offer_snapshot(index, one(b" ".join(sent)))
        assert leader.core.log.base_index == index - 5

        new = network.start("n4")
        member = Member(new.core.id, Suffrage.LEARNER, "n4")
        await leader.change_membership(ChangeAction.ADD_LEARNER, member)
        (last,) = places(await leader.propose([b"later"]))
        assert await applied_commands(new, last) == [*sent, b"later"]
        await leader.change_membership(ChangeAction.PROMOTE, member)
        assert new.core.id in leader.core.configuration.voters


async def applied_by(machine: Attachment, index: int) -> None:
    async for delivery in machine:
        assert isinstance(delivery, Entries)
        machine.applied(delivery.entries[-1].index)
        if machine.applied_index >= index:
            return


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data
