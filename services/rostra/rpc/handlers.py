"""A role's methods, wrapped once with the error table and metrics; doors and the in-process channel serve the same table."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Any

import grpc
from grpc import aio
from prometheus_client import Counter, Gauge, Histogram

from rostra.errors import RostraError
from rostra.rpc.status import DETAIL_KEY, detail_from_error, grpc_status

log = logging.getLogger("rostra.rpc")

_LATENCY = Histogram(
    "rostra_rpc_seconds",
    "Time to answer a unary call",
    ["service", "method"],
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
_FAILURES = Counter("rostra_rpc_failures", "Calls that ended with an error", ["service", "method", "code"])
_OPEN_STREAMS = Gauge("rostra_rpc_open_streams", "Streams being served", ["service", "method"])


class Handlers:
    """Method path to handler. Passed to a generated ``add_…Servicer_to_server`` it collects what the servicer offers."""

    def __init__(self, methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]] | None = None) -> None:
        self.methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = dict(methods or {})

    def add(self, add_to_server: Callable[[Any, Any], None], servicer: object) -> None:
        """``add_to_server`` is the generated function for the servicer."""
        add_to_server(servicer, self)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Called by generated code; everything in it comes by ``add_registered_method_handlers`` too."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        """Called by generated code."""
        for method, handler in handlers.items():
            self.methods[f"/{service}/{method}"] = _wrap(service, method, handler)

    @property
    def services(self) -> tuple[str, ...]:
        """Full names of the services, in order."""
        return tuple(sorted({path.split("/")[1] for path in self.methods}))

    def only(self, paths: Collection[str]) -> Handlers:
        """A table with these methods, or all methods of these services (``/rostra.v1.X/*``)."""
        return Handlers(
            {path: handler for path, handler in self.methods.items() if path in paths or path.rpartition("/")[0] + "/*" in paths}
        )

    def merge(self, other: Handlers) -> None:
        """Adds the other's methods."""
        self.methods.update(other.methods)


def _wrap(service: str, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
    serde = {"request_deserializer": handler.request_deserializer, "response_serializer": handler.response_serializer}
    if handler.unary_unary:
        return grpc.unary_unary_rpc_method_handler(_unary(service, method, handler.unary_unary), **serde)
    if handler.unary_stream:
        return grpc.unary_stream_rpc_method_handler(_stream(service, method, handler.unary_stream), **serde)
    return grpc.stream_stream_rpc_method_handler(_stream(service, method, handler.stream_stream), **serde)


def _unary(service: str, method: str, behaviour: Any) -> Any:
    latency = _LATENCY.labels(service, method)

    @functools.wraps(behaviour)
    async def answer(request: Any, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return await behaviour(request, context)
        except aio.AbortError:
            raise
        except Exception as error:  # the edge of the process: whatever it is becomes a status
            await _abort(service, method, error, context)
        finally:
            latency.observe(time.perf_counter() - started)

    return answer


def _stream(service: str, method: str, behaviour: Any) -> Any:
    open_streams = _OPEN_STREAMS.labels(service, method)

    async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
        open_streams.inc()
        try:
            async with contextlib.aclosing(behaviour(request, context)) as messages:
                async for message in messages:
                    yield message
        except aio.AbortError:
            raise
        except Exception as error:  # as above
            await _abort(service, method, error, context)
        finally:
            open_streams.dec()

    return answer


async def _abort(service: str, method: str, error: Exception, context: Any) -> None:
    trailing: tuple[tuple[str, bytes], ...] = ()
    if isinstance(error, RostraError):
        code, text = grpc_status(error), str(error)
        trailing = ((DETAIL_KEY, detail_from_error(error).SerializeToString()),)
    else:
        code, text = grpc.StatusCode.INTERNAL, "internal error"
        log.error("rpc failed", extra={"service": service, "method": method}, exc_info=error)
    _FAILURES.labels(service, method, code.name).inc()
    await context.abort(code, text, trailing)
