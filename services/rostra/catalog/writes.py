"""Commands on their way: proposed to consensus, answered from this catalog's own apply (docs/architecture.md, "A write").

A write is done when its request ID comes by in the log, whatever became of the stream that carried it: so a broken stream
or an unknown outcome is answered by proposing it again under the same ID, which is done once at most. What is neither
seen nor definitely refused until its deadline is an ``UnknownOutcome``.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from typing import Final

from rostra.catalog.levels import level_of
from rostra.catalog.results import Outcome
from rostra.clients.consensus import ConsensusClient, Proposal, ProposalResult, ProposeStream
from rostra.errors import BadRequest, Busy, NoLeader, NotLeader, NotReady, RostraError, UnknownOutcome
from rostra.model.catalog import Command
from rostra.model.proto import command_to_proto, survives_the_wire
from rostra.model.rules import check_command
from rostra.rpc.back_off import BackOff
from rostra.rpc.deadlines import Deadlines
from rostra.rpc.together import run_together

MAX_PENDING: Final = 8192
"""Writes whose fate is not known; a further one is refused as Busy."""
MAX_COMMAND_BYTES: Final = (1 << 20) - 16 * 1024
"""A message is at most 1 MiB; this leaves room for what surrounds a command on its way through consensus."""
MAX_BATCH: Final = 512
MAX_BATCH_BYTES: Final = 512 * 1024
REQUEST_ID_BYTES: Final = 16
LAST_WORD_S: Final = 0.2
"""What a write waits beyond its deadline for consensus to say that it did not happen, rather than not to know."""
TRY_AGAIN_S: Final = 0.02
"""Pause before a proposal that found no leader to take it is made again."""


Tell = Callable[[int, RostraError | None], None]
"""Takes the log index at which a write was first applied, or why it was not. Must not start another within the call."""


class Waiter:
    """One who asked for a write. Two may ask for the same, under one request ID."""

    __slots__ = ("tell", "write")

    def __init__(self, write: _Write, tell: Tell) -> None:
        self.write = write
        self.tell = tell


class _Write:
    """``uncertain``: a proposal of it may have been taken and not come by yet. ``command`` is what ``data`` says."""

    __slots__ = ("command", "data", "deadline", "handed_on", "level", "only_in_term", "request_id", "sequence", "uncertain", "waiters")

    def __init__(self, request_id: bytes, command: Command, data: bytes, level: int, deadline: float, only_in_term: int) -> None:
        self.request_id = request_id
        self.command = command
        self.data = data
        self.level = level
        self.deadline = deadline
        self.only_in_term = only_in_term
        self.sequence = 0
        self.handed_on = False
        self.uncertain = False
        self.waiters: dict[Waiter, None] = {}


class Writes:
    """``known`` looks a request ID up among the results that the state remembers; ``patience_s`` says how long a leader is
    worth waiting for, given how long the caller would; ``admit`` raises what a command is refused with that is not proposed at all."""

    def __init__(
        self,
        consensus: ConsensusClient,
        known: Callable[[bytes], Outcome | None],
        patience_s: Callable[[float], float],
        *,
        hold_s: float,
        rng: random.Random,
        admit: Callable[[Command], None] = lambda command: None,
    ) -> None:
        self._consensus = consensus
        self._admit = admit
        self._known = known
        self._patience_s = patience_s
        self._hold_s = hold_s
        self._rng = rng
        self._writes: dict[bytes, _Write] = {}
        self._by_data: dict[bytes, _Write] = {}
        self._deadlines: Deadlines[Waiter] = Deadlines(self._expire)
        self._by_sequence: dict[int, _Write] = {}
        self._queue: dict[bytes, _Write] = {}
        self._queued = asyncio.Event()
        self._stream: ProposeStream | None = None
        self._last_sequence = 0

    def __len__(self) -> int:
        return len(self._writes)

    async def write(self, command: Command, *, request_id: bytes = b"", timeout_s: float | None = None, only_in_term: int = 0) -> int:
        """Proposes the command and returns the log index at which it was first applied. Raises what it was refused with,
        and after ``timeout_s`` (the hold time when None) ``NoLeader`` or ``UnknownOutcome``."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def tell(index: int, error: RostraError | None) -> None:
            if not done.done():
                done.set_result(index) if error is None else done.set_exception(error)

        waiter = self.start(command, tell, request_id=request_id, timeout_s=timeout_s, only_in_term=only_in_term)
        try:
            return await done
        finally:
            if waiter is not None:
                self.leave(waiter)

    def start(
        self,
        command: Command,
        tell: Tell,
        *,
        request_id: bytes = b"",
        timeout_s: float | None = None,
        only_in_term: int = 0,
        was_read: bool = False,
    ) -> Waiter | None:
        """The same without waiting: ``tell`` is called once, unless the waiter ``leave``s before. None: it was called already.
        Raises what is refused at once. ``was_read``: the command came out of a message."""
        check_command(command)
        timeout_s = self._hold_s if timeout_s is None else min(timeout_s, self._hold_s)
        if self._patience_s(self._hold_s) <= 0:
            raise NoLeader
        request_id = request_id or secrets.token_bytes(REQUEST_ID_BYTES)
        known = self._known(request_id)
        if known is not None:
            tell(known.index, known.error)
            return None
        deadline = asyncio.get_running_loop().time() + timeout_s
        if request_id not in self._writes:
            self._admit(command)
        write = self._writes.get(request_id) or self._add(command, request_id, deadline, only_in_term, was_read=was_read)
        write.deadline = max(write.deadline, deadline)
        waiter = Waiter(write, tell)
        write.waiters[waiter] = None
        self._deadlines.add(waiter, deadline + LAST_WORD_S)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """The one who asked has gone; a write that nobody waits for is not tried again."""
        self._deadlines.discard(waiter)
        write = waiter.write
        if write.waiters.pop(waiter, waiter) is None and not write.waiters:
            self._forget(write)

    def command_of(self, data: bytes) -> tuple[bytes, Command] | None:
        """Request ID and command of an entry that was proposed from here, so that its bytes need not be read again. Only of commands
        that others, who do read them, are sure to see the same: every catalog has to come to the same state."""
        write = self._by_data.get(data)
        return None if write is None else (write.request_id, write.command)

    def applied(self, request_id: bytes, outcome: Outcome) -> None:
        """A command with that ID came by in the log."""
        write = self._writes.get(request_id)
        if write is not None:
            self._decide(write, outcome)

    def state_replaced(self) -> None:
        """A snapshot took the state's place: what came by within it is among its results."""
        for write in tuple(self._writes.values()):
            known = self._known(write.request_id)
            if known is not None:
                self._decide(write, known)

    async def run(self) -> None:
        """For ever: keeps a stream to consensus and everything undecided on it."""
        backoff = BackOff(self._rng)
        while True:
            try:
                async with self._consensus.propose() as stream:
                    self._stream = stream
                    backoff.reset()
                    await run_together(receive=self._receive(stream), send=self._send(stream))
            except RostraError:
                pass  # the driver, which also depends on consensus, says why in the log
            self._stream = None
            self._stream_lost()
            await asyncio.sleep(backoff.next_delay_s())

    def _add(self, command: Command, request_id: bytes, deadline: float, only_in_term: int, *, was_read: bool) -> _Write:
        if len(self._writes) >= MAX_PENDING:
            raise Busy(f"{MAX_PENDING} writes are under way")
        message = command_to_proto(command, request_id)
        data = message.SerializeToString()
        if len(data) > MAX_COMMAND_BYTES:
            raise BadRequest(f"the write takes {len(data)} bytes; at most {MAX_COMMAND_BYTES} are allowed", field="body")
        write = _Write(request_id, command, data, level_of(message), deadline, only_in_term)
        self._writes[request_id] = write
        if was_read and survives_the_wire(command):
            self._by_data[data] = write
        self._enqueue(write)
        return write

    def _enqueue(self, write: _Write) -> None:
        if self._writes.get(write.request_id) is write:
            self._queue[write.request_id] = write
            stream = self._stream
            if stream is not None and len(self._writes) == 1 and stream.writes_at_once:
                stream.send_at_once(self._take_proposals())  # who is alone need not wait for others to join
            else:
                self._queued.set()

    async def _receive(self, stream: ProposeStream) -> None:
        while True:
            for result in await stream.receive():
                self._take(result)

    async def _send(self, stream: ProposeStream) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            while batch := self._take_proposals():
                await stream.send(batch)

    def _take_proposals(self) -> list[Proposal]:
        batch, now = self._take_batch(), asyncio.get_running_loop().time()
        # One time-out for all keeps the batch together behind the door; each write has its own deadline here.
        timeout_s = max([0.01, *(write.deadline - now for write in batch)])
        return [Proposal(write.sequence, write.data, timeout_s, write.only_in_term, write.level) for write in batch]

    def _take_batch(self) -> list[_Write]:
        batch: list[_Write] = []
        size = 0
        while self._queue and len(batch) < MAX_BATCH:
            request_id, write = next(iter(self._queue.items()))
            if batch and size + len(write.data) > MAX_BATCH_BYTES:
                break
            del self._queue[request_id]
            self._last_sequence += 1
            write.sequence, write.handed_on = self._last_sequence, True
            self._by_sequence[write.sequence] = write
            batch.append(write)
            size += len(write.data)
        return batch

    def _take(self, result: ProposalResult) -> None:
        """A committed one is waited for in the log; the others are over, or tried again."""
        write = self._by_sequence.pop(result.sequence, None)
        if write is None or write.sequence != result.sequence:
            return
        match result.error:
            case None:
                write.uncertain = True  # it is certain to come by, but what it will come to is not known
            case UnknownOutcome() if not write.only_in_term:
                write.uncertain = True
                self._try_again(write)
            case NotLeader() | NotReady() if not write.only_in_term:
                write.handed_on = False
                self._try_again(write)
            case error:
                write.handed_on = False
                self._fail(write, _fate(write, error))

    def _try_again(self, write: _Write) -> None:
        asyncio.get_running_loop().call_later(TRY_AGAIN_S, self._enqueue, write)

    def _stream_lost(self) -> None:
        """What was handed on may have been taken; it goes out again on the next stream."""
        self._by_sequence.clear()
        for write in tuple(self._writes.values()):
            if write.handed_on:
                write.handed_on, write.uncertain = False, True
                if write.only_in_term:
                    self._fail(write, UnknownOutcome("the connection to consensus broke"))
                else:
                    self._enqueue(write)

    def _decide(self, write: _Write, outcome: Outcome) -> None:
        self._forget(write)
        waiters, write.waiters = write.waiters, {}
        for waiter in waiters:
            self._deadlines.discard(waiter)
            waiter.tell(outcome.index, outcome.error)

    def _fail(self, write: _Write, error: RostraError) -> None:
        self._decide(write, Outcome(0, error))

    def _expire(self, waiter: Waiter) -> None:
        write = waiter.write
        error = _fate(write, NoLeader())
        self.leave(waiter)
        waiter.tell(0, error)

    def _forget(self, write: _Write) -> None:
        if self._writes.get(write.request_id) is write:
            del self._writes[write.request_id]
            self._by_data.pop(write.data, None)
            self._queue.pop(write.request_id, None)
            self._by_sequence.pop(write.sequence, None)


def _fate(write: _Write, error: RostraError) -> RostraError:
    """The error, unless an earlier proposal of the same write may still be done."""
    if write.uncertain or write.handed_on:
        return UnknownOutcome("the write was handed on and its fate was not learned in time: it may or may not be done")
    return error
