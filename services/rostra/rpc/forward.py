"""Methods that live in another process, served here by handing bytes on: so the public door of a node is whole although its
roles are apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import grpc
from grpc import aio

from rostra.rpc.handlers import Handlers

HOLD_S: Final = 7.0


def forward(methods: Handlers, open_channel: Callable[[], aio.Channel]) -> Handlers:
    """The same methods, each answered by whoever is behind ``open_channel()``; messages are not parsed."""
    channel = open_channel()
    return Handlers({path: _forwarder(path, handler, channel) for path, handler in methods.methods.items()})


def _forwarder(path: str, handler: grpc.RpcMethodHandler[Any, Any], channel: aio.Channel) -> grpc.RpcMethodHandler[Any, Any]:
    if not handler.response_streaming:
        call: Any = channel.unary_unary(path)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: _unary(call, request, context))
    if not handler.request_streaming:
        watch: Any = channel.unary_stream(path)
        return grpc.unary_stream_rpc_method_handler(lambda request, context: _answers(watch(request), None, context))
    exchange: Any = channel.stream_stream(path)
    return grpc.stream_stream_rpc_method_handler(lambda requests, context: _answers(exchange(), requests, context))


async def _unary(call: Any, request: bytes, context: Any) -> bytes:
    remaining = context.time_remaining()
    try:
        answer: bytes = await call(request, timeout=HOLD_S if remaining is None else remaining)
    except aio.AioRpcError as error:
        await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
    return answer


async def _answers(call: Any, requests: Any, context: Any) -> AsyncGenerator[bytes, None]:
    pump = asyncio.ensure_future(_pump(call, requests)) if requests is not None else None
    try:
        async for answer in call:
            yield answer
    except aio.AioRpcError as error:
        await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
    finally:
        if pump is not None:
            pump.cancel()
        call.cancel()


async def _pump(call: Any, requests: Any) -> None:
    try:
        async for request in requests:
            await call.write(request)
        await call.done_writing()
    except (aio.AioRpcError, asyncio.InvalidStateError):
        pass  # the other direction says why
