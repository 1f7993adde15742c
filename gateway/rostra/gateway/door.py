"""The HTTP door: what all connections share, and the sockets they come from."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import stat
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from rostra.errors import RostraError, Unavailable
from rostra.gateway import metrics
from rostra.gateway.answer import Date
from rostra.gateway.app import Application, Rules
from rostra.gateway.ask import decode_path
from rostra.gateway.batches import Batch
from rostra.gateway.busy_poll import BusyPoll
from rostra.gateway.parking import Parking
from rostra.gateway.protocol import HttpProtocol
from rostra.gateway.reads import Read, Reads
from rostra.gateway.routes import Table
from rostra.gateway.settings import GatewaySettings
from rostra.model.addresses import host_port
from rostra.model.consistency import Consistency
from rostra.views.barriers import Barrier

log = logging.getLogger("rostra.gateway.http")

MEMO_HEADS: Final = 1024
"""Request heads known whole, and URLs made ready; when there are more, all are dropped."""
SWEEP_S: Final = 1.0
BACKLOG: Final = 2048
STOP_S: Final = 5.0
"""How long answers under way may take when the door closes."""
UNIX: Final = "unix://"


class Door:
    """Connections, and what they share. ``start`` binds, ``stop`` lets answers under way finish, within ``STOP_S``."""

    def __init__(self, table: Table, reads: Reads, settings: GatewaySettings, tls: ssl.SSLContext | None = None) -> None:
        self.table = table
        self.reads = reads
        self.limits = settings.limits
        self.rules = Rules(settings)
        self.date = Date()
        self.memo: dict[bytes, Read] = {}
        self.prepared: dict[tuple[bytes, bytes], Read] = {}
        self.state = ServerState()
        self.batches = {each: Batch(self, each) for each in (Consistency.DEFAULT, Consistency.CONSISTENT)}
        self.parking = Parking(reads, self.spawn)
        self.busy_poll = BusyPoll(settings.busy_poll_s)
        self.from_memo = 0
        self.from_view = 0
        """Requests answered so; counted here, and shown by the metrics with every sweep."""
        self.addresses: list[str] = []
        """``HOST:PORT`` or ``unix://PATH`` of each socket that is open."""
        self.secure_addresses: list[str] = []
        """``HOST:PORT`` of each socket that speaks HTTPS."""
        self._settings = settings
        self._tls = tls
        self.application = Application(table, reads, settings)
        self.config = Config(
            self.application,
            http=HttpProtocol,
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
        self._connections: set[HttpProtocol] = set()
        self._by_peer: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._paths: list[str] = []
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

    def enter(self, connection: HttpProtocol) -> bool:
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

    def leave(self, connection: HttpProtocol) -> None:
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

    async def start(self) -> None:
        """Binds every address; raises an error that names the one that is taken, and then keeps none."""
        try:
            for address in self._settings.http_addresses:
                await self._bind(address)
            for address in self._settings.https_addresses if self._tls is not None and self._settings.https_port >= 0 else ():
                self.secure_addresses.append(await self._bind_ip("HTTPS", address, self._settings.https_port, self._tls))
        except BaseException:
            await self.stop()
            raise

    async def _bind(self, address: str) -> None:
        loop = asyncio.get_running_loop()
        if address.startswith(UNIX):
            path = address.removeprefix(UNIX)
            _remove_dead_socket(path)
            try:
                self._servers.append(await loop.create_unix_server(lambda: HttpProtocol(self), path, backlog=BACKLOG))
            except OSError as error:
                raise Unavailable(f"HTTP socket: cannot listen on {path}: {error.strerror or error}") from error
            self._paths.append(path)
            self.addresses.append(address)
        elif self._settings.http_port >= 0:
            self.addresses.append(await self._bind_ip("HTTP", address, self._settings.http_port))

    async def _bind_ip(self, kind: str, address: str, port: int, tls: ssl.SSLContext | None = None) -> str:
        limit_s = self.limits.tls_handshake_timeout_s if tls is not None else None
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: HttpProtocol(self), sock=_listen(address, port), ssl=tls, ssl_handshake_timeout=limit_s
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            raise Unavailable(f"{kind} port: cannot listen on {host_port(address, port)}: {reason}") from error
        self._servers.append(server)
        host, bound = server.sockets[0].getsockname()[:2]
        return host_port(host, bound)

    async def stop(self) -> None:
        """Takes no more connections, lets answers under way finish, then ends what is left. Before that, for ``drain_s``, who asks on a
        connection that was kept is answered, and told to come no more on it: a request that was on its way would be lost with it."""
        for server in self._servers:
            server.close()
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
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self._servers.clear()
        self._paths.clear()
        self.addresses.clear()
        self.secure_addresses.clear()


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _remove_dead_socket(path: str) -> None:
    """A socket file that nobody listens on is what a killed process left behind."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise Unavailable(f"HTTP socket {path}: a file that is no socket is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise RostraError(f"HTTP socket {path}: another process listens on it")
