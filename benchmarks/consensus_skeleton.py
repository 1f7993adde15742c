"""A bare skeleton of a replicated log: what this machine, gRPC and LMDB allow from Python, for ``consensus.py`` to measure beside.

Three processes as a log has them, and nothing of Raft: the leader hands each batch that came to its two followers over a gRPC stream
and puts it on its own disk; a follower puts it on disk and says so; whoever proposed is answered when one of them has. Messages are bare
bytes: no terms, no elections, no reads, no errors, and nothing survives a restart.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import lmdb
import uvloop
from consensus_load import LIMIT_S, SIZE, Measured, Servers, summarised
from grpc import aio

METHOD = "/skeleton/Exchange"
ACKNOWLEDGED = b"1"


class Store:
    """Batches by number, each on disk when ``put`` returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._environment = lmdb.open(str(folder), map_size=1 << 32)
        self._count = 0

    def put(self, data: bytes) -> None:
        self._count += 1
        with self._environment.begin(write=True) as transaction:
            transaction.put(self._count.to_bytes(8, "big"), data)


class Leader:
    """Everything that came while the last batch was put on disk is the next batch."""

    def __init__(self, store: Store, followers: Sequence[str]) -> None:
        self._store = store
        self._calls: list[Any] = [aio.insecure_channel(each).stream_stream(METHOD)(wait_for_ready=True) for each in followers]
        self._reached = [0] * (1 + len(followers))
        self._batches = 0
        self._arrived = asyncio.Event()
        self._waiting: list[tuple[bytes, Callable[[], None]]] = []
        self._decided: deque[tuple[int, Callable[[], None]]] = deque()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for place, call in enumerate(self._calls, 1):
                tasks.create_task(self._hear(place, call))
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                waiting, self._waiting = self._waiting, []
                self._batches += 1
                self._decided.extend((self._batches, answer) for _, answer in waiting)
                batch = b"".join(data for data, _ in waiting)
                sent = [asyncio.ensure_future(call.write(batch)) for call in self._calls]
                await asyncio.sleep(0)
                self._store.put(batch)
                self._reach(0)
                await asyncio.gather(*sent)

    async def exchange(self, requests: AsyncIterator[bytes], context: Any) -> None:
        answers: set[asyncio.Future[None]] = set()

        def answer(size: int) -> None:
            writing = asyncio.ensure_future(context.write(bytes(size // SIZE)))
            answers.add(writing)
            writing.add_done_callback(answers.discard)

        async for data in requests:
            self._waiting.append((data, partial(answer, len(data))))
            self._arrived.set()

    async def _hear(self, place: int, call: Any) -> None:
        while await call.read() == ACKNOWLEDGED:
            self._reach(place)

    def _reach(self, place: int) -> None:
        self._reached[place] += 1
        reached = sorted(self._reached)[len(self._reached) // 2]
        while self._decided and self._decided[0][0] <= reached:
            self._decided.popleft()[1]()


def exchange_of_follower(store: Store) -> Callable[[AsyncIterator[bytes], Any], Awaitable[None]]:
    async def exchange(requests: AsyncIterator[bytes], context: Any) -> None:
        async for batch in requests:
            store.put(batch)
            await context.write(ACKNOWLEDGED)

    return exchange


class OneMethod(grpc.GenericRpcHandler):
    """Serves every method by one behaviour, with bytes as they are."""

    def __init__(self, behaviour: Callable[..., Any]) -> None:
        self._handler: Any = grpc.stream_stream_rpc_method_handler(behaviour)

    def service(self, _: grpc.HandlerCallDetails) -> Any:
        return self._handler


async def serve(folder: Path, address: str, followers: Sequence[str]) -> None:
    """For ever; with followers as their leader."""
    store = Store(folder)
    leader = Leader(store, followers)
    server = aio.server()
    server.add_generic_rpc_handlers((OneMethod(leader.exchange if followers else exchange_of_follower(store)),))
    server.add_insecure_port(address)
    await server.start()
    await (leader.run() if followers else server.wait_for_termination())


class Skeleton(Servers):
    """Processes of it. The first leads."""

    name = "skeleton"

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(count)
        self._folder = folder
        for number in reversed(range(count)):
            self.start(number)

    def start(self, number: int) -> None:
        followers = self.addresses[1:] if number == 0 else []
        command = [sys.executable, __file__, str(self._folder / str(number)), self.addresses[number], *followers]
        self.processes[number] = subprocess.Popen(command)

    def leader(self, *, other_than: int | None = None) -> int:
        """As soon as all are there."""
        for address in self.addresses:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(LIMIT_S)
        return 0


async def propose(address: str, in_flight: int, streams: int, seconds: float) -> Measured:
    """Keeps so many proposals in flight, as ``consensus.propose`` does."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def one_stream(window: int) -> None:
        async with aio.insecure_channel(address) as channel:
            call: Any = channel.stream_stream(METHOD)()
            sent: deque[tuple[float, int]] = deque()
            due = window
            while (now := time.perf_counter()) < end:
                await call.write(bytes(SIZE * due))
                sent.append((now, due))
                due = len(await call.read())
                at, count = sent.popleft()
                assert count == due
                latencies.extend([time.perf_counter() - at] * count)
            call.cancel()

    await asyncio.gather(*(one_stream(in_flight // streams) for _ in range(streams)))
    return summarised(latencies, seconds)


def main() -> None:
    """``consensus_skeleton.py FOLDER HOST:PORT [FOLLOWER …]``"""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("address")
    parser.add_argument("followers", nargs="*")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments.folder, arguments.address, arguments.followers))


if __name__ == "__main__":
    main()
