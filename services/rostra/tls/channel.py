"""A channel whose connection can be made anew while calls go on: after a reload, or when another name is to be expected.

gRPC's channels keep for ever the credentials that they were made with. So this one is a channel in front of them: new calls go to the
newest, those under way end where they began, and an older one closes after its last call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from grpc import aio

from rostra.errors import Unsupported


class _Line:
    """One of gRPC's channels and the number of calls on it."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel
        self.calls = 0


class RenewableChannel(aio.Channel):
    """``open_line`` makes what calls go over; ``on_failure`` is told when a call ended and there is no connection."""

    def __init__(self, open_line: Callable[[], aio.Channel], on_failure: Callable[[], None]) -> None:
        self._open_line = open_line
        self._on_failure = on_failure
        self._newest: _Line | None = None
        self._older: set[_Line] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def renew(self) -> None:
        """Later calls go over a new connection."""
        if self._newest is not None:
            self._older.add(self._newest)
            self._newest = None
            self._close_unused()

    def unary_unary(self, method: str, *serde: Any, **options: Any) -> Any:
        async def call(request: Any, **of_call: Any) -> Any:
            line = self._begin()
            try:
                return await line.channel.unary_unary(method, *serde, **options)(request, **of_call)
            finally:
                self._end(line)

        return call

    def unary_stream(self, method: str, *serde: Any, **options: Any) -> Any:
        return self._streaming(lambda channel: channel.unary_stream(method, *serde, **options))

    def stream_stream(self, method: str, *serde: Any, **options: Any) -> Any:
        return self._streaming(lambda channel: channel.stream_stream(method, *serde, **options))

    def stream_unary(self, method: str, *_: Any, **__: Any) -> Any:
        raise Unsupported(f"{method}: none of rostra's methods takes a stream and answers once")

    def _streaming(self, method_of: Callable[[aio.Channel], Any]) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            line = self._begin()
            made = method_of(line.channel)(*arguments, **options)
            made.add_done_callback(lambda _: self._end(line))
            return made

        return call

    def _line(self) -> _Line:
        if self._closed:
            raise aio.UsageError("Channel is closed.")
        if self._newest is None:
            self._newest = _Line(self._open_line())
        return self._newest

    def _begin(self) -> _Line:
        line = self._line()
        line.calls += 1
        return line

    def _end(self, line: _Line) -> None:
        line.calls -= 1
        if self._closed:
            return
        if line is self._newest and line.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            self._on_failure()
        self._close_unused()

    def _close_unused(self) -> None:
        for line in [each for each in self._older if not each.calls]:
            self._older.discard(line)
            closing = asyncio.get_running_loop().create_task(line.channel.close(), name="close an older connection")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self, grace: float | None = None) -> None:
        self._closed = True
        for line in (*self._older, *((self._newest,) if self._newest else ())):
            await line.channel.close(grace)
        await asyncio.gather(*self._closing)

    async def __aenter__(self) -> RenewableChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return grpc.ChannelConnectivity.SHUTDOWN if self._closed else self._line().channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._line().channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._line().channel.channel_ready()
