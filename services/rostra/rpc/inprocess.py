"""A channel without a socket, between roles of one process and one event loop.

Generated stubs take it like any ``grpc.aio.Channel``: the same messages, methods, deadlines, cancellation, errors,
bounded flow and message limit (docs/design/channels.md), and the same behaviour down to which exception a broken stream
raises; a contract test runs every client over both. Messages are handed over, not copied, so a message is immutable once
sent; ``verify`` (for tests) serialises at both ends and fails on a difference.

Unlike over a socket, a method runs as soon as it is called, within the caller's turn for unary calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final

import grpc
from grpc import aio

from rostra.errors import RostraError, Unsupported
from rostra.rpc.handlers import Handlers
from rostra.rpc.pipe import Pipe, PipeClosed

MAX_MESSAGE_BYTES: Final = 1 << 20
"""Of a request: what strangers may make a server hold."""
MAX_ANSWER_BYTES: Final = 4 << 20
"""Of an answer: gRPC's usual limit, so that any client takes it. It has to hold things whole that many writes have put together."""
STREAM_LIMIT: Final = 64
"""Messages under way in each direction of a stream before its sender waits."""
IN_PROCESS: Final = "in-process"
"""What a servicer's context says of a caller within the process."""

Metadata = tuple[tuple[str, str | bytes], ...]


class _Aborted(aio.AbortError):
    def __init__(self, code: grpc.StatusCode, details: str, trailing: Metadata) -> None:
        super().__init__(details)
        self.error = _rpc_error(code, details, trailing)


def _rpc_error(code: grpc.StatusCode, details: str, trailing: Metadata = ()) -> aio.AioRpcError:
    return aio.AioRpcError(code, aio.Metadata(), aio.Metadata(*trailing), details=details)


class _Context:
    """What servicers may ask of their context: the part of ``grpc.aio.ServicerContext`` that works on both channels."""

    def __init__(self, deadline: float | None, metadata: Metadata) -> None:
        self._deadline = deadline
        self._metadata = metadata

    def time_remaining(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def peer(self) -> str:
        return IN_PROCESS

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> None:
        raise _Aborted(code, details, trailing_metadata)


class InProcessChannel(aio.Channel):
    """A channel to the methods of ``handlers``, looked up at each call: roles may be added after it was made."""

    def __init__(
        self,
        handlers: Handlers,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        verify: bool = False,
    ) -> None:
        self._handlers = handlers
        self._verify = verify
        self._closed = False

    def unary_unary(self, method: str, *_: Any, **__: Any) -> Any:
        return _UnaryCallable(self, method)

    def unary_stream(self, method: str, *_: Any, **__: Any) -> Any:
        def call(request: Any, *, timeout: float | None = None, metadata: Metadata = (), **_: Any) -> _StreamCall:
            behaviour = self._find_or_none(method)
            return _StreamCall(self, behaviour and behaviour.unary_stream, request, timeout, tuple(metadata))

        return call

    def stream_stream(self, method: str, *_: Any, **__: Any) -> Any:
        def call(
            requests: AsyncIterable[Any] | Iterable[Any] | None = None,
            *,
            timeout: float | None = None,
            metadata: Metadata = (),
            **_: Any,
        ) -> _StreamCall:
            behaviour = self._find_or_none(method)
            stream = _StreamCall(self, behaviour and behaviour.stream_stream, None, timeout, tuple(metadata))
            if requests is not None:
                stream.feed(requests)
            return stream

        return call

    def stream_unary(self, method: str, *_: Any, **__: Any) -> Any:
        raise Unsupported(f"{method}: none of rostra's methods takes a stream and answers once")

    async def close(self, grace: float | None = None) -> None:
        """Later calls fail as on a closed channel."""
        self._closed = True

    async def __aenter__(self) -> InProcessChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return grpc.ChannelConnectivity.SHUTDOWN if self._closed else grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        while self.get_state() is last_observed_state:
            await asyncio.get_running_loop().create_future()

    async def channel_ready(self) -> None:
        """It always is."""

    def _find(self, method: str) -> Any:
        handler = self._find_or_none(method)
        if handler is None:
            raise _rpc_error(grpc.StatusCode.UNIMPLEMENTED, f"{method} is not served in this process")
        return handler

    def _find_or_none(self, method: str) -> Any:
        if self._closed:
            raise aio.UsageError("Channel is closed.")
        return self._handlers.methods.get(method)

    def _sent(self, message: Any) -> Any:
        return self._within(message, MAX_MESSAGE_BYTES)

    def _answered(self, message: Any) -> Any:
        return self._within(message, MAX_ANSWER_BYTES)

    def _within(self, message: Any, limit: int) -> Any:
        if message.ByteSize() > limit:
            text = f"message of {message.ByteSize()} bytes is over the limit of {limit}"
            raise _rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        return (message, message.SerializeToString(deterministic=True)) if self._verify else message

    def _received(self, sent: Any) -> Any:
        if not self._verify:
            return sent
        message, when_sent = sent
        assert message.SerializeToString(deterministic=True) == when_sent, f"{type(message).__name__} was changed after it was sent"
        return message


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else asyncio.get_running_loop().time() + timeout


class _UnaryCallable:
    """A unary method as its caller has it."""

    def __init__(self, channel: InProcessChannel, method: str) -> None:
        self._channel = channel
        self._method = method
        self._behaviour: Any = None

    async def __call__(self, request: Any, *, timeout: float | None = None, metadata: Metadata = (), **_: Any) -> Any:
        channel = self._channel
        behaviour = channel._find(self._method).unary_unary
        context = _Context(_deadline(timeout), tuple(metadata))
        sent = channel._sent(request)
        try:
            async with asyncio.timeout(timeout):
                response = await behaviour(channel._received(sent), context)
        except TimeoutError:
            raise _rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded") from None
        except _Aborted as aborted:
            raise aborted.error from None
        return channel._received(channel._answered(response))

    def at_once(self, request: Any) -> Any:
        """The same without a task, a timer or a turn of the loop, for a method that does not wait. None where it would, or fails: the
        caller has a longer way, which tells. The method runs without what ``Handlers`` puts around it, which costs more than it does."""
        channel = self._channel
        if self._behaviour is None:
            self._behaviour = inspect.unwrap(channel._find(self._method).unary_unary)
        answering = self._behaviour(channel._received(channel._sent(request)), _NO_DEADLINE)
        try:
            answering.send(None)
        except StopIteration as answered:
            return channel._received(channel._answered(answered.value))
        except RostraError:
            return None
        answering.close()
        return None


_NO_DEADLINE: Final = _Context(None, ())


class _Outcome:
    """How a stream ended: shared by the call and its serving task, which must not keep the call itself alive."""

    def __init__(self) -> None:
        self.error: aio.AioRpcError | None = None
        self.done = False
        self.cancelled = False


class _StreamCall:
    """The caller's end of a stream; served by a task of its own, which ends with it."""

    def __init__(self, channel: InProcessChannel, behaviour: Any, request: Any, timeout: float | None, metadata: Metadata) -> None:
        self._channel = channel
        self._requests: Pipe[Any] = Pipe(STREAM_LIMIT)
        self._responses: Pipe[Any] = Pipe(STREAM_LIMIT)
        self._outcome = _Outcome()
        self._feeder: asyncio.Task[None] | None = None
        incoming = channel._received(channel._sent(request)) if request is not None else _Requests(channel, self._requests)
        serving = _serve(channel, behaviour, incoming, timeout, metadata, self._requests, self._responses, self._outcome)
        self._task = asyncio.get_running_loop().create_task(serving, name="in-process stream")

    def __del__(self) -> None:
        if not self._outcome.done:
            self.cancel()

    async def write(self, message: Any) -> None:
        """Waits while the other end is slow."""
        try:
            await self._requests.send(self._channel._sent(message))
        except PipeClosed:
            if self._outcome.error is not None:
                raise self._outcome.error from None
            raise asyncio.InvalidStateError("RPC already finished.") from None

    @property
    def writes_at_once(self) -> bool:
        """Whether ``write`` would not wait."""
        return self._requests.has_room

    def write_at_once(self, message: Any) -> None:
        """``write``, within the caller's turn, while ``writes_at_once``."""
        self._requests.send_at_once(self._channel._sent(message))

    async def done_writing(self) -> None:
        self._requests.close()

    async def read(self) -> Any:
        """The next message, or ``grpc.aio.EOF``. A cancelled reader cancels the call, as grpc.aio does."""
        try:
            return self._channel._received(await self._responses.receive())
        except PipeClosed:
            if self._outcome.cancelled:
                raise asyncio.CancelledError from None
            if self._outcome.error is not None:
                raise self._outcome.error from None
            return aio.EOF
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not aio.EOF:
            yield message

    def cancel(self) -> bool:
        if self._outcome.done:
            return False
        self._outcome.done = self._outcome.cancelled = True
        self._outcome.error = _rpc_error(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
        for task in (self._task, self._feeder):
            if task is not None and not task.get_loop().is_closed():
                task.cancel()
        self._requests.close(drop=True)
        self._responses.close(drop=True)
        return True

    def cancelled(self) -> bool:
        return self._outcome.cancelled

    def done(self) -> bool:
        return self._outcome.done

    def feed(self, requests: AsyncIterable[Any] | Iterable[Any]) -> None:
        """Writes what the iterable gives, then ends the writing."""
        self._feeder = asyncio.get_running_loop().create_task(_feed(requests, self.write, self.done_writing), name="in-process feeder")


class _Requests:
    """The servicer's end of the request stream."""

    def __init__(self, channel: InProcessChannel, pipe: Pipe[Any]) -> None:
        self._channel = channel
        self._pipe = pipe

    def __aiter__(self) -> _Requests:
        return self

    async def __anext__(self) -> Any:
        return self._channel._received(await self._pipe.__anext__())


async def _serve(
    channel: InProcessChannel,
    behaviour: Callable[[Any, Any], AsyncGenerator[Any, None]] | None,
    incoming: Any,
    timeout: float | None,
    metadata: Metadata,
    requests: Pipe[Any],
    responses: Pipe[Any],
    outcome: _Outcome,
) -> None:
    try:
        if behaviour is None:
            raise _rpc_error(grpc.StatusCode.UNIMPLEMENTED, "not served in this process")
        async with asyncio.timeout(timeout):
            async with contextlib.aclosing(behaviour(incoming, _Context(_deadline(timeout), metadata))) as messages:
                async for message in messages:
                    await responses.send(channel._answered(message))
    except TimeoutError:
        outcome.error = _rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    except _Aborted as aborted:
        outcome.error = aborted.error
    except aio.AioRpcError as error:
        outcome.error = error
    except PipeClosed:
        pass  # the caller has gone
    finally:
        outcome.done = True
        responses.close()
        requests.close(drop=True)


async def _feed(
    requests: AsyncIterable[Any] | Iterable[Any], write: Callable[[Any], Awaitable[None]], done_writing: Callable[[], Awaitable[None]]
) -> None:
    if isinstance(requests, AsyncIterable):
        async for message in requests:
            await write(message)
    else:
        for message in requests:
            await write(message)
    await done_writing()
