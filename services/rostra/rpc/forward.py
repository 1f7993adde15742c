"""Methods that live in another process, served here by handing bytes on: so the public door of a node is whole although its
roles are apart.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pool
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rostra.rpc.doors import Readiness
from rostra.rpc.handlers import Handlers

HOLD_S: Final = 7.0
HEALTH_TIMEOUT_S: Final = 1.0


def forward(services: Iterable[str], channel: aio.Channel) -> Handlers:
    """The methods of these services of ``rostra.v1``, each answered by whoever is behind ``channel``; messages are not parsed."""
    handlers = Handlers()
    for service in services:
        descriptor = descriptor_pool.Default().FindServiceByName(f"rostra.v1.{service}")
        for method in descriptor.methods:
            path = f"/{descriptor.full_name}/{method.name}"
            handlers.methods[path] = _forwarder(path, channel, method.client_streaming, method.server_streaming)
    return handlers


def readiness(services: Iterable[str], channel: aio.Channel) -> Readiness:
    """Whether each of these services is ready, as whoever is behind ``channel`` says of it."""
    health = health_pb2_grpc.HealthStub(channel)

    def asking(service: str) -> Callable[[], Awaitable[bool]]:
        async def ask() -> bool:
            try:
                answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=HEALTH_TIMEOUT_S)
            except aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        return ask

    return {f"rostra.v1.{service}": asking(f"rostra.v1.{service}") for service in services}


def _forwarder(path: str, channel: aio.Channel, client_streaming: bool, server_streaming: bool) -> grpc.RpcMethodHandler[Any, Any]:
    # grpc.aio tells coroutines from plain functions by inspection, so each is a function of its own, not a lambda.
    if not server_streaming:
        call: Any = channel.unary_unary(path)

        async def unary(request: bytes, context: Any) -> bytes:
            return await _unary(call, request, context)

        return grpc.unary_unary_rpc_method_handler(unary)
    if not client_streaming:
        watch: Any = channel.unary_stream(path)

        async def stream(request: bytes, context: Any) -> AsyncGenerator[bytes, None]:
            async with contextlib.aclosing(_answers(watch(request), None, context)) as answers:
                async for answer in answers:
                    yield answer

        return grpc.unary_stream_rpc_method_handler(stream)
    exchange: Any = channel.stream_stream(path)

    async def both(requests: Any, context: Any) -> AsyncGenerator[bytes, None]:
        async with contextlib.aclosing(_answers(exchange(), requests, context)) as answers:
            async for answer in answers:
                yield answer

    return grpc.stream_stream_rpc_method_handler(both)


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
