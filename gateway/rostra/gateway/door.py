"""The HTTP door: what all connections share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from uvicorn.config import Config
from uvicorn.server import ServerState

from rostra.gateway import metrics
from rostra.gateway.answer import Date
from rostra.gateway.app import Application, Rules
from rostra.gateway.ask import decode_path
from rostra.gateway.batches import Batch
from rostra.gateway.busy_poll import BusyPoll
from rostra.gateway.parking import Parking
from rostra.gateway.read import Read
from rostra.gateway.reads import Reads
from rostra.gateway.routes import Table
from rostra.gateway.settings import GatewaySettings
from rostra.model.consistency import Consistency
from rostra.views.barriers import Barrier

log = logging.getLogger("rostra.gateway.http")

MEMO_HEADS: Final = 1024
"""Request heads known whole, and URLs made ready; when there are more, all are dropped."""
SWEEP_S: Final = 1.0
STOP_S: Final = 5.0
"""How long answers under way may take when the door closes."""


class Connection(Protocol):
    """What the door needs of a connection, and a request of the one it came on. ``client`` is address and port."""

    door: Door
    transport: asyncio.Transport
    client: tuple[str, int] | None
    peer: str

    def on_answered(self, head: bytes) -> None: ...

    def sweep(self, now: float) -> None: ...

    def finish(self) -> asyncio.Task[None] | None: ...


class Door:
    """Connections, and what they share. ``stop`` lets answers under way finish, within ``STOP_S``."""

    def __init__(self, table: Table, reads: Reads, settings: GatewaySettings) -> None:
        self.table = table
        self.reads = reads
        self.limits = settings.limits
        self.rules = Rules(settings)
        self.date = Date()
        self.memo: dict[bytes, Read] = {}
        self.prepared: dict[tuple[bytes, bytes], Read] = {}
        self.state = ServerState()
        self.batches = {each: Batch(reads.reader, self.at_hand, each) for each in (Consistency.DEFAULT, Consistency.CONSISTENT)}
        self.parking = Parking(reads, self.spawn)
        self.busy_poll = BusyPoll(settings.busy_poll_s)
        self.from_memo = 0
        self.from_view = 0
        """Requests answered so; counted here, and shown by the metrics with every sweep."""
        self._settings = settings
        self.application = Application(table, reads, settings)
        self.config = Config(
            self.application,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        self.config.load()
        self.is_closing = False
        """Whether connections are kept no longer."""
        self._all_gone = asyncio.Event()
        self._connections: set[Connection] = set()
        self._by_peer: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def streams_body(self, method: bytes, path: bytes) -> bool:
        """Whether the body of this request is taken as it comes, so that no limit on its length is needed here."""
        if method != b"PUT":
            return False
        route = self.table.by_path.get(decode_path(path), {}).get("PUT")
        return route is not None and route.streams_body

    def at_hand(self, read: Read, barrier: Barrier | None = None) -> bytes:
        """The whole answer, for a connection that stays open, if it can be given without waiting; else nothing."""
        return self.reads.at_hand(read, barrier, self.date.now(), self.rules.headers)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that the door owns: it is cancelled when the door closes."""
        task = asyncio.get_running_loop().create_task(work, name="gateway request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def remember(self, head: bytes, read: Read) -> None:
        """A whole head, and what it asks. What is known is answered on a connection that stays."""
        if self.is_closing:
            return
        if len(self.memo) >= MEMO_HEADS:
            self.memo.clear()
        self.memo[head] = read

    def keep(self, url: bytes, accepted: bytes, read: Read) -> None:
        """A URL with the encodings that are accepted, and the read that it means; shared by all who ask it."""
        if len(self.prepared) >= MEMO_HEADS:
            self.prepared.clear()
        self.prepared[url, accepted] = read

    def enter(self, connection: Connection) -> bool:
        """A new connection; False when its client has too many."""
        self._connections.add(connection)
        metrics.CONNECTIONS.set(len(self._connections))
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        if connection.peer:
            self._by_peer[connection.peer] += 1
            limit = self.limits.connections_per_client
            return not limit or self._by_peer[connection.peer] <= limit
        return True

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()
        metrics.CONNECTIONS.set(len(self._connections))
        if connection.peer:
            self._by_peer[connection.peer] -= 1
            if not self._by_peer[connection.peer]:
                del self._by_peer[connection.peer]

    def sweep(self) -> None:
        """Ends connections that are in one state for too long; called about once a second, for as long as there are any."""
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._connections):
            connection.sweep(now)

    def _sweep(self) -> None:
        self._sweeper = None
        self._count()
        if self._connections:
            self.sweep()
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _count(self) -> None:
        metrics.BLOCKED.set(self.reads.places.taken)
        metrics.FROM_MEMO.inc(self.from_memo)
        metrics.FROM_VIEW.inc(self.from_view)
        self.from_memo = self.from_view = 0

    async def stop(self) -> None:
        """Lets answers under way finish, then ends what is left. Before that, for ``drain_s``, who asks on a connection that was kept is
        answered, and told to come no more on it: a request that was on its way would be lost with it."""
        self.is_closing = True
        self.memo.clear()
        if self._connections:
            self._all_gone.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_gone.wait(), self._settings.drain_s)
        under_way = [task for connection in tuple(self._connections) if (task := connection.finish()) is not None]
        if under_way:
            await asyncio.wait(under_way, timeout=STOP_S)
        for connection in tuple(self._connections):
            connection.transport.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
