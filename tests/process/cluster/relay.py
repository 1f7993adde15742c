"""A network that can be cut, without privileges: every node is reached at an address where a relay of ours stands in front of it.

A node binds one loopback address and advertises another. What comes for the second is carried to the first, unless the cut runs
between the node and who sent it: then datagrams are dropped, connections are broken and new ones are not accepted. The sender of a
datagram is known by its address, that of a connection by the process that owns it, since connections on loopback all come from one
address.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

from ..harness.system import Ends, owners_of_connections

MAX_DATAGRAM: Final = 65_536


class Relay:
    """What stands in front of one node: from ``outside`` to ``inside`` on each port. ``let_through`` says of a sender whether it may."""

    def __init__(
        self,
        outside: str,
        inside: str,
        is_cut: Callable[[], bool],
        let_through: Callable[[str], bool],
        processes: Callable[[], Mapping[int, str]],
    ) -> None:
        """``let_through`` takes the bound address of the sending node, empty for anyone else; ``processes`` gives it by process ID.
        It takes a look at every socket of the machine to tell whose one is, so that is done only while somebody is cut off."""
        self._is_cut = is_cut
        self.outside, self.inside = outside, inside
        self._let_through = let_through
        self._processes = processes
        self._servers: list[asyncio.Server] = []
        self._doors: list[_Door] = []
        self._connections: dict[asyncio.Task[None], Ends] = {}
        self._healed = asyncio.Event()

    async def start(self, datagram_ports: Collection[int], connection_ports: Collection[int]) -> None:
        loop = asyncio.get_running_loop()
        for port in datagram_ports:
            make = partial(_Door, (self.inside, port), self._let_through)
            _, door = await loop.create_datagram_endpoint(make, local_addr=(self.outside, port))
            self._doors.append(door)
        for port in connection_ports:
            accept = lambda reader, writer, port=port: self._accept(reader, writer, port)  # noqa: E731
            self._servers.append(await asyncio.start_server(accept, self.outside, port))

    def heal(self) -> None:
        """What waits in the void goes on."""
        self._healed.set()

    def cut(self) -> None:
        """Breaks the connections that may no longer be."""
        self._healed = asyncio.Event()
        connections = tuple(self._connections.items())
        senders = self._senders_of([ends for _, ends in connections])
        for task, ends in connections:
            if not self._let_through(senders[ends]):
                task.cancel()

    async def stop(self) -> None:
        for door in self._doors:
            door.close()
        for server in self._servers:
            server.close()
        for task in tuple(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        await asyncio.sleep(0.05)  # transports close in a later turn of the loop

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        ends = self._connections[task] = (writer.get_extra_info("peername"), writer.get_extra_info("sockname"))
        try:
            if self._is_cut() and not self._let_through(self._senders_of([ends])[ends]):
                await self._healed.wait()  # into a void: neither taken nor refused
            with contextlib.suppress(OSError):
                await _carry_both(reader, writer, self.inside, port)
        except asyncio.CancelledError:
            pass
        finally:
            self._connections.pop(task, None)
            writer.transport.abort()

    def _senders_of(self, wanted: Collection[Ends]) -> Mapping[Ends, str]:
        nodes = self._processes()
        owners = owners_of_connections(nodes, wanted)
        return {ends: nodes.get(owners.get(ends, 0), "") for ends in wanted}


async def _carry_both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    far_reader, far_writer = await asyncio.open_connection(host, port)
    try:
        await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
    finally:
        far_writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(MAX_DATAGRAM):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


class _Door(asyncio.DatagramProtocol):
    """Datagrams for the node; its answers go back through a socket for each sender, from the address that was asked."""

    def __init__(self, inside: tuple[str, int], let_through: Callable[[str], bool]) -> None:
        self._inside = inside
        self._let_through = let_through
        self._flows: dict[tuple[str, int], asyncio.DatagramTransport] = {}
        self._waiting: dict[tuple[str, int], list[bytes]] = {}
        self._opening: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if not self._let_through(address[0]):
            return
        flow = self._flows.get(address)
        if flow is not None:
            flow.sendto(data, self._inside)
            return
        waiting = self._waiting.get(address)
        if waiting is not None:
            waiting.append(data)
            return
        self._waiting[address] = [data]
        task = asyncio.ensure_future(self._open(address))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Back(lambda answer: self._answer(answer, address)), local_addr=("127.0.0.1", 0), family=socket.AF_INET
        )
        self._flows[address] = transport
        for data in self._waiting.pop(address):
            transport.sendto(data, self._inside)

    def _answer(self, data: bytes, address: tuple[str, int]) -> None:
        if self._let_through(address[0]):
            assert isinstance(self._transport, asyncio.DatagramTransport)
            self._transport.sendto(data, address)

    def close(self) -> None:
        for task in self._opening:
            task.cancel()
        for flow in self._flows.values():
            flow.close()
        self._transport.close()


class _Back(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], None]) -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, _address: tuple[str, int]) -> None:
        self._answer(data)


class Network:
    """All relays, on a loop of their own. ``processes`` gives the bound address of its node for each process ID."""

    def __init__(self, processes: Callable[[], Mapping[int, str]]) -> None:
        self._processes = processes
        self._cut: frozenset[str] = frozenset()
        self._relays: list[Relay] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)
        self._thread.start()

    def add(self, outside: str, inside: str, datagram_ports: Collection[int], connection_ports: Collection[int]) -> None:
        """Puts a relay in front of a node."""
        relay = Relay(
            outside,
            inside,
            lambda: bool(self._cut),
            lambda sender: (sender in self._cut) == (inside in self._cut),
            self._processes,
        )
        self._relays.append(relay)
        self._run(relay.start(datagram_ports, connection_ports))

    def cut_off(self, *inside: str) -> None:
        """From now on nothing passes between these nodes and any other; among themselves they hear each other."""
        self._cut = frozenset(inside)
        self._run(self._break())

    def heal(self) -> None:
        self._cut = frozenset()
        self._run(self._tell_healed())

    def stop(self) -> None:
        for relay in self._relays:
            self._run(relay.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _tell_healed(self) -> None:
        for relay in self._relays:
            relay.heal()

    async def _break(self) -> None:
        for relay in self._relays:
            relay.cut()

    def _run(self, work: object) -> None:
        assert asyncio.iscoroutine(work)
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
