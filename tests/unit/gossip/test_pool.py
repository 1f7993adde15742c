"""The pool over real sockets on the loopback interface: what other roles rely on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import uvloop

from rostra.errors import BadRequest, ConfigError, Conflict, NotFound, NotReady, Resync, Unavailable
from rostra.gossip import driver
from rostra.gossip.address import Address
from rostra.gossip.admission import within
from rostra.gossip.feed import Feed
from rostra.gossip.joining import RetryJoin
from rostra.gossip.key_queries import KeyOperation
from rostra.gossip.keyring import Keyring
from rostra.gossip.pool import Pool, PoolConfig
from rostra.gossip.queries import QueryAnswered, QueryRequest
from rostra.gossip.storage import PoolStorage
from rostra.gossip.timing import LAN
from rostra.gossip.versions import OURS
from rostra.gossip.wire import msgpack
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.messages import Ack, Alive, Err, Ping, encode_message
from rostra.gossip.wire.packets import decode_packet
from rostra.gossip.wire.streams import StreamDecoder
from rostra.gossip.wire.tags import encode_tags
from rostra.model.members import MemberChangeKind, MemberStatus

from ...process.harness.ports import free_port

QUICK = dataclasses.replace(
    LAN, probe_interval_s=30.0, gossip_interval_s=0.01, leave_propagate_delay_s=0.02, broadcast_timeout_s=1.0, query_timeout_mult=3000
)  # fmt: skip
"""Quick, but for how long an answer may take: every member of these pools has to find time for it, and nobody is to be thought dead."""
PROBING = dataclasses.replace(QUICK, probe_interval_s=0.05, probe_timeout_s=0.02)


class Pools:
    """Pools that one test runs."""

    def __init__(self) -> None:
        self.tasks: dict[Pool, asyncio.Task[None]] = {}

    def config(self, name: str, **config: Any) -> PoolConfig:
        return PoolConfig("lan", name, **{"bind_host": "127.0.0.1", "bind_port": 0, "tags": {"role": "test"}, "timing": QUICK, **config})

    async def start(self, name: str, **config: Any) -> Pool:
        pool = Pool(self.config(name, **config))
        self.tasks[pool] = asyncio.create_task(pool.run())
        await pool.ready.wait()
        return pool

    async def pair(self, **config: Any) -> tuple[Pool, Pool]:
        a, b = await self.start("a", **config), await self.start("b", **config)
        assert [result.error for result in await b.join([str(a.address)])] == [""]
        await has(a, lambda: len(a.members()) == 2)
        return a, b

    async def stop(self, pool: Pool) -> None:
        task = self.tasks.pop(pool)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def pools() -> AsyncIterator[Pools]:
    found = Pools()
    yield found
    for pool in list(found.tasks):
        await found.stop(pool)


async def has(pool: Pool, condition: Callable[[], bool]) -> None:
    """Wait for the change after which it is so."""
    with pool.watch().changes as changes:
        while not condition():
            await anext(changes)


def status(pool: Pool, name: str) -> MemberStatus | None:
    return next((member.status for member in pool.members() if member.name == name), None)


async def test_two_find_each_other_and_the_changes_are_watched_in_order(pools: Pools) -> None:
    a = await pools.start("a")
    watch = a.watch()
    assert [member.name for member in watch.snapshot] == ["a"]
    assert not a.is_settled
    b = await pools.start("b")
    await b.join([str(a.address)])
    assert b.is_settled
    b.set_tags({"role": "changed"})
    await b.leave()
    kinds: list[MemberChangeKind] = []
    while not kinds or kinds[-1] is not MemberChangeKind.LEFT:
        change = await anext(watch.changes)
        assert change.member.name == "b"
        kinds.append(change.kind)
    assert kinds == [MemberChangeKind.JOINED, MemberChangeKind.UPDATED, MemberChangeKind.LEAVING, MemberChangeKind.LEFT]
    assert status(b, "b") is MemberStatus.LEFT


async def test_who_stops_without_a_word_fails_and_may_be_forced_to_leave(pools: Pools) -> None:
    a, b = await pools.pair(timing=PROBING)
    await pools.stop(b)
    await has(a, lambda: status(a, "b") is MemberStatus.FAILED)
    a.force_leave("b")
    assert status(a, "b") is MemberStatus.LEFT
    with pytest.raises(NotFound):
        a.force_leave("nobody")


async def test_who_is_told_to_force_itself_out_is_alive_and_stays(pools: Pools) -> None:
    a, b = await pools.pair()
    a.force_leave("a")
    a.force_leave("a", prune=True)
    a.set_tags({"role": "changed"})
    await has(b, lambda: any(member.tags == {"role": "changed"} for member in b.members()))
    assert status(a, "a") is status(b, "a") is MemberStatus.ALIVE


async def test_joining_says_what_went_wrong_where(pools: Pools) -> None:
    a, b = await pools.start("a"), await pools.start("b")
    results = await b.join([f"127.0.0.1:{free_port()}", str(a.address), "nowhere.invalid", "127.0.0.1:x"])
    assert [bool(result.error) for result in results] == [True, False, True, True]
    assert "refused" in results[0].error.lower()
    assert "resolve" in results[2].error


async def test_a_pool_that_is_alone_leaves_at_once(pools: Pools) -> None:
    a = await pools.start("a", timing=dataclasses.replace(LAN, leave_propagate_delay_s=1000.0, broadcast_timeout_s=1000.0))
    async with asyncio.timeout(60):
        await a.leave()


async def test_events_and_queries_reach_the_other_side(pools: Pools) -> None:
    a, b = await pools.pair()
    with b.watch_user_events() as events:
        a.user_event("deploy", b"v1")
        event = await anext(events)
        assert (event.name, event.payload) == ("deploy", b"v1")
    with b.watch_queries() as queries:
        run = a.query(QueryRequest("load", timeout_s=5.0))
        received = await anext(queries)
        b.respond(received.key, b"0.1")
        answer = await anext(run)
        assert isinstance(answer, QueryAnswered)
        assert (answer.responder, answer.payload) == ("b", b"0.1")


async def test_a_query_ends_when_its_time_is_over(pools: Pools) -> None:
    a = await pools.start("a")
    run = a.query(QueryRequest("load", timeout_s=0.01))
    assert [answer async for answer in run] == []
    assert [answer async for answer in run] == []


async def test_keys_are_rotated_and_kept(pools: Pools, tmp_path: Path) -> None:
    old, new = bytes(16), bytes(32)
    storage = PoolStorage(tmp_path, "lan")
    a = await pools.start("a", keys=[old], storage=storage)
    b = await pools.start("b", keys=[old])
    await b.join([str(a.address)])
    await has(a, lambda: len(a.members()) == 2)
    for operation, key in ((KeyOperation.INSTALL, new), (KeyOperation.USE, new), (KeyOperation.REMOVE, old)):
        result = await b.change_keys(operation, key)
        assert (result.members, result.responses, dict(result.errors)) == (2, 2, {})
    assert a.keys == b.keys == (new,)
    await pools.stop(a)
    again = await pools.start("again", keys=[old], storage=storage)
    assert again.keys == (new,)  # the file wins over the configuration


async def test_a_pool_without_encryption_has_no_keys_to_change(pools: Pools) -> None:
    a = await pools.start("a")
    with pytest.raises(BadRequest):
        await a.change_keys(KeyOperation.LIST)


async def test_with_another_key_or_none_nobody_gets_in(pools: Pools) -> None:
    a = await pools.start("a", keys=[bytes(16)])
    for number, keys in enumerate(([bytes(32)], [])):
        stranger = await pools.start(f"stranger{number}", keys=keys)
        (result,) = await stranger.join([str(a.address)])
        assert result.error
        assert len(a.members()) == len(stranger.members()) == 1
    assert a.refused() == {"wrong_key": 1, "not_encrypted": 1}


async def test_known_peers_are_found_again_after_a_restart(pools: Pools, tmp_path: Path) -> None:
    a = await pools.start("a")
    storage = PoolStorage(tmp_path, "lan")
    b = await pools.start("b", storage=storage)
    await b.join([str(a.address)])
    await b.leave()
    assert storage.load_peers().has_left
    peers = dataclasses.replace(storage.load_peers(), has_left=False)
    assert peers.addresses == (str(a.address),)
    await pools.stop(b)
    storage.save_peers(peers)
    again = await pools.start("b", storage=storage)
    await has(again, lambda: len(again.members()) == 2)
    await has(a, lambda: status(a, "b") is MemberStatus.ALIVE)


async def test_who_left_on_purpose_returns_only_when_told(pools: Pools, tmp_path: Path) -> None:
    a = await pools.start("a")
    storage = PoolStorage(tmp_path, "lan")
    storage.save_peers(dataclasses.replace(storage.load_peers(), addresses=(str(a.address),), has_left=True))
    told = await pools.start("told", storage=storage, rejoins_after_leave=True)
    await has(told, lambda: len(told.members()) == 2)
    storage.save_peers(dataclasses.replace(storage.load_peers(), addresses=(str(a.address),), has_left=True))
    untold = await pools.start("untold", storage=storage)
    for _ in range(20):  # more than the first dial takes
        await asyncio.sleep(0)
    assert "streams_opened" not in untold.stats()


async def test_known_peers_that_do_not_answer_are_not_forgotten(pools: Pools, tmp_path: Path) -> None:
    peer = f"127.0.0.1:{free_port()}"
    storage = PoolStorage(tmp_path, "lan")
    storage.save_peers(dataclasses.replace(storage.load_peers(), addresses=(peer,), event_time=7))
    pool = await pools.start("a", storage=storage)
    await pools.stop(pool)
    assert storage.load_peers().addresses == (peer,)
    assert storage.load_peers().event_time == 7 + 1


async def test_a_disk_that_takes_nothing_is_no_reason_to_leave_the_pool(pools: Pools, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    a = await pools.start("a", storage=PoolStorage(tmp_path / "file", "lan", keeps_keys=False))
    b = await pools.start("b")
    await b.join([str(a.address)])
    await has(a, lambda: len(a.members()) == 2)
    await pools.stop(a)


async def test_an_address_of_our_own_answers_but_settles_nothing(pools: Pools) -> None:
    a = await pools.start("a")
    assert [result.error for result in await a.join([str(a.address)])] == [""]
    assert not a.is_settled
    b = await pools.start("b")
    await b.join([str(a.address)])
    await has(a, lambda: len(a.members()) == 2)
    assert a.is_settled


async def test_datagrams_from_elsewhere_are_refused(pools: Pools) -> None:
    a = await pools.start("a", networks=within(["127.0.0.2/32"]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.3", 0))
        udp.sendto(b"anything", (a.address.host, a.address.port))
        while not a.refused():  # noqa: ASYNC110 (the condition is a counter, not an event)
            await asyncio.sleep(0)
    assert a.refused() == {"not_admitted": 1}


async def test_joining_is_retried_until_someone_is_there(pools: Pools) -> None:
    a = Pool(pools.config("a"))
    address = a.bind()
    # b dials before a runs: the connection waits in the backlog, or is refused and tried again.
    b = await pools.start("b", retry_join=RetryJoin([str(address)], interval_s=0.05))
    pools.tasks[a] = asyncio.create_task(a.run())
    await has(b, lambda: len(b.members()) == 2)


async def test_joining_is_given_up_after_so_many_attempts(pools: Pools) -> None:
    pool = Pool(pools.config("a", retry_join=RetryJoin([f"127.0.0.1:{free_port()}"], interval_s=0.01, attempts=3)))
    with pytest.raises(ExceptionGroup) as failure:
        await pool.run()
    (error,) = failure.value.exceptions
    assert isinstance(error, Unavailable)
    assert "3 attempts" in str(error)


async def test_a_port_in_use_is_named(pools: Pools) -> None:
    a = await pools.start("a")
    with pytest.raises(Unavailable, match=f"127.0.0.1:{a.address.port}"):
        Pool(pools.config("b", bind_port=a.address.port)).bind()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", port := free_port()))  # the system's choice might be in use over TCP
        with pytest.raises(Unavailable, match="UDP"):
            Pool(pools.config("b", bind_port=port)).bind()


async def test_an_address_that_was_bound_may_be_given_back(pools: Pools) -> None:
    pool = Pool(pools.config("a", bind_port=free_port()))
    address = pool.bind()
    pool.close()
    again = Pool(pools.config("b", bind_port=address.port))
    assert again.bind() == address
    again.close()


async def test_an_address_that_nobody_can_send_to_is_not_advertised(pools: Pools) -> None:
    pool = Pool(pools.config("a", bind_host="127.0.0.1", advertise_host="0.0.0.0"))
    with pytest.raises(ConfigError, match="advertise"):
        await pool.run()
    pool.close()


async def test_before_it_runs_and_after_it_ran_a_pool_is_not_ready(pools: Pools) -> None:
    with pytest.raises(NotReady):
        Pool(pools.config("a")).members()
    a = await pools.start("a")
    await pools.stop(a)
    with pytest.raises(NotReady):
        a.set_tags({})
    assert not a.ready.is_set()


async def test_who_loses_the_vote_about_its_name_stops(pools: Pools) -> None:
    a, _ = await pools.pair()
    twin = await pools.start("a", votes_on_names=True, timing=dataclasses.replace(QUICK, query_timeout_mult=50))
    task = pools.tasks.pop(twin)
    await twin.join([str(a.address)])
    with pytest.raises(ExceptionGroup) as failure:
        await task
    assert [type(error) for error in failure.value.exceptions] == [Conflict]
    assert status(a, "a") is MemberStatus.ALIVE


async def test_a_broken_invariant_ends_the_pool_with_its_error(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    a = await pools.start("a")
    core, _ = a._running or (None, None)
    assert core is not None

    def break_(now: float) -> None:
        raise AssertionError("broken")

    monkeypatch.setattr(core, "tick", break_)
    task = pools.tasks.pop(a)
    with pytest.raises(ExceptionGroup) as failure:
        await task
    assert "broken" in repr(failure.value.exceptions)


async def test_garbage_on_both_doors_is_counted_and_answered_with_nothing(pools: Pools) -> None:
    a = await pools.start("a")
    reader, writer = await asyncio.open_connection(a.address.host, a.address.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setblocking(False)
        udp.bind(("127.0.0.1", 0))
        udp.sendto(b"\xff garbage", (a.address.host, a.address.port))
        udp.sendto(encode_message(Ping(sequence=9)), (a.address.host, a.address.port))
        answer = await asyncio.get_running_loop().sock_recv(udp, 65_535)
    assert any(isinstance(message, Ack) and message.sequence == 9 for message in decode_packet(answer).messages)
    assert a.refused() == {"unknown_type": 2}


async def test_datagrams_that_cannot_be_sent_are_counted(pools: Pools) -> None:
    a = await pools.start("a")
    packets = a._driver._packets
    assert packets is not None
    packets.send(Address.parse("255.255.255.255", 9), b"x")  # nobody may broadcast who did not ask to
    assert a.stats()["send_errors"] == 1


async def test_a_silent_stream_is_closed_in_time(pools: Pools) -> None:
    a = await pools.start("a", timing=dataclasses.replace(QUICK, stream_timeout_s=0.05))
    reader, writer = await asyncio.open_connection(a.address.host, a.address.port)
    assert await reader.read() == b""
    writer.close()
    assert a.stats()["streams_timed_out"] == 1


async def test_a_stream_that_came_as_the_pool_stopped_is_closed(pools: Pools) -> None:
    a = await pools.start("a")
    writer, running = Mock(asyncio.StreamWriter), a._driver
    next(task for task in asyncio.all_tasks() if task.get_name() == "gossip lan").cancel()
    running._on_connection(asyncio.StreamReader(), writer)  # whose task does not come to its first step
    await pools.stop(a)
    writer.close.assert_called_once()
    assert running._inbound_streams == 0


async def test_only_so_many_streams_are_served_at_once(pools: Pools) -> None:
    a = await pools.start("a")
    connections = [await asyncio.open_connection(a.address.host, a.address.port) for _ in range(129)]
    reader, _ = connections[-1]
    assert await reader.read() == b""
    assert a.stats()["streams_refused"] == 1
    for _, writer in connections:
        writer.close()


async def test_streams_together_hold_only_so_much_that_is_incomplete(pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_BUFFERED_BYTES_MAX", 100_000)
    a = await pools.start("a")
    reader, writer = await asyncio.open_connection(a.address.host, a.address.port)
    writer.write(b"\x08\x81" + msgpack.encode("UserMsgLen") + msgpack.encode(1_000_000) + bytes(150_000))
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    assert a.refused() == {"oversized": 1}


async def test_a_large_state_is_exchanged_whole(pools: Pools) -> None:
    a = await pools.start("a", timing=LAN)
    for number in range(300):
        tags = encode_tags({"id": f"{number:036}", "role": "test"})
        member = Alive(incarnation=1, node=f"n{number}", ip=bytes((127, 9, 9, 9)), port=9, meta=tags, versions=bytes(OURS))
        a._driver._on_packet(encode_message(member), Address.parse("127.9.9.9", 9))  # by no socket, which may lose one
    assert len(a.members()) == 301
    b = await pools.start("b", timing=LAN)
    assert [result.error for result in await b.join([str(a.address)])] == [""]
    assert len(b.members()) == 302


async def test_a_plain_stranger_is_told_that_the_pool_is_encrypted(pools: Pools) -> None:
    a = await pools.start("a", keys=[bytes(16)])
    reader, writer = await asyncio.open_connection(a.address.host, a.address.port)
    writer.write(b"\x00\x80")
    envelope = Envelope(entropy=os.urandom, keyring=Keyring([bytes(16)]))
    answer = StreamDecoder(envelope, dialled=False).feed(await reader.read())  # sealed: only who has the key reads why
    assert isinstance(answer, Err)
    assert "not encrypted" in answer.error
    writer.close()


def test_it_runs_on_uvloop_as_in_production() -> None:
    async def meet() -> None:
        pools = Pools()
        a, b = await pools.pair()
        await b.leave()
        await has(a, lambda: status(a, "b") is MemberStatus.LEFT)
        for pool in (a, b):
            await pools.stop(pool)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(meet(), 60))


async def test_a_reader_that_falls_behind_is_told_and_the_others_go_on() -> None:
    feed: Feed[int] = Feed(queue_max=3)
    slow, fast = feed.subscribe(), feed.subscribe()
    for number in range(5):
        feed.publish(number)
        assert await anext(fast) == number
    with pytest.raises(Resync):
        await anext(slow)
    slow.close()
    fast.close()
    assert len(feed) == 0
