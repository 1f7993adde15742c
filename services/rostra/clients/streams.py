"""What clients of bidirectional streams do alike: open with the Hellos, send, receive, and turn failures into our errors."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from grpc import aio

from rostra.errors import Unavailable
from rostra.rpc.hello import check_hello, describe
from rostra.rpc.status import error_from_rpc
from rostra.v1 import common_pb2

Request = TypeVar("Request")
Response = TypeVar("Response")

HELLO_TIMEOUT_S: Final = 1.0
"""A server that does not answer the Hello for so long is taken for dead."""


class BidiStream(Generic[Request, Response]):
    """An async context manager that is open inside and cancelled at its end. One task may send and one receive.

    ``cluster_id`` and ``peer`` are the server's word; after a failure the stream is of no more use.
    """

    def __init__(self, method: Any, *opening: Request) -> None:
        """``opening`` is the Hello, and what else goes out before the other side says its own."""
        self._method = method
        self._opening = opening
        self._call: Any = None
        self.cluster_id = ""
        self.peer = ""

    async def __aenter__(self) -> Self:
        try:
            self._call = self._method()
        except aio.UsageError as error:
            raise Unavailable(str(error)) from None
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                for message in self._opening:
                    await self.write(message)
                self._accept(await self.read())
        except TimeoutError:
            self._call.cancel()
            raise Unavailable(f"no Hello within {HELLO_TIMEOUT_S:g} s") from None
        except BaseException:
            self._call.cancel()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._call.cancel()

    async def write(self, message: Request) -> None:
        """Waits while the server is slow."""
        try:
            await self._call.write(message)
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None
        except (asyncio.InvalidStateError, aio.UsageError):
            raise Unavailable("the server ended the stream") from None

    @property
    def writes_at_once(self) -> bool:
        """Whether the server is in this process and ready to take a message within the caller's turn."""
        return getattr(self._call, "writes_at_once", False)

    def write_at_once(self, message: Request) -> None:
        """While ``writes_at_once``: ``write``, without a task that sends."""
        self._call.write_at_once(message)

    async def read(self) -> Response:
        """The next message; a server that ends the stream is an error."""
        try:
            message = await self._call.read()
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None
        if message is aio.EOF:
            raise Unavailable("the server ended the stream")
        answer: Response = message
        return answer

    def _accept(self, message: Any) -> None:
        if not message.HasField("hello"):
            raise Unavailable("the server did not say Hello")
        hello: common_pb2.Hello = message.hello
        check_hello(hello)
        self.cluster_id, self.peer = hello.cluster_id, describe(hello)


def milliseconds(seconds: float) -> int:
    """At least one: zero has a meaning of its own on the wire."""
    return max(1, round(seconds * 1000))
