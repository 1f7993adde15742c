"""Doors: where a process serves methods to others, on TCP addresses or unix sockets (docs/design/doors.md).

Every door also serves ``grpc.health.v1`` and reflection. The empty service name means "alive"; a service's full name
means "ready", which is asked of its role at each check.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rostra.errors import NotFound, RostraError
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import MAX_ANSWER_BYTES, MAX_MESSAGE_BYTES

log = logging.getLogger("rostra.rpc")

HEALTH_POLL_S: Final = 0.25
STOP_GRACE_S: Final = 0.2

_OPTIONS: Final = (
    # A second process on the same port is an error, not a silent share of the load.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_concurrent_streams", 1000),
    # A stream on which only the other side speaks is pinged by it every 10 s (channels.py); by default such a one is cut off after 40 s.
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
)

Readiness = Mapping[str, Callable[[], bool | Awaitable[bool]]]
"""Full service name to whether its role is ready; what is elsewhere has to be asked."""


class Door:
    """One gRPC server. ``name`` is what an operator calls it, for example "gRPC port" or "role door of gossip"."""

    def __init__(
        self,
        name: str,
        addresses: Sequence[str],
        handlers: Handlers,
        readiness: Readiness,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """With ``credentials`` its TCP addresses speak TLS; unix sockets are guarded by who may open them."""
        self.name = name
        self._credentials = credentials
        self.addresses = tuple(addresses)
        self._handlers = handlers
        self._readiness = readiness
        self._server: aio.Server | None = None

    async def start(self) -> None:
        """Listens. Raises ``RostraError`` that names the door and the address that is taken."""
        self._server = aio.server(options=_OPTIONS, maximum_concurrent_rpcs=10_000)
        handlers = Handlers()
        handlers.merge(self._handlers)
        handlers.add(health_pb2_grpc.add_HealthServicer_to_server, _Health(self._readiness))
        self._server.add_generic_rpc_handlers((_Table(handlers.methods),))
        reflection.enable_server_reflection((*handlers.services, reflection.SERVICE_NAME), self._server)
        for address in self.addresses:
            self._listen(self._server, address)
        await self._server.start()
        for address in self.addresses:
            log.info("%s listening", self.name, extra={"address": address})
            if address.startswith("unix:"):
                os.chmod(address.removeprefix("unix:"), stat.S_IRUSR | stat.S_IWUSR)

    async def stop(self) -> None:
        """Takes no new calls, gives those under way a moment, and closes."""
        if self._server is not None:
            await self._server.stop(STOP_GRACE_S)
        for address in self.addresses:
            if address.startswith("unix:"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(address.removeprefix("unix:"))

    def _listen(self, server: aio.Server, address: str) -> None:
        if address.startswith("unix:"):
            _remove_dead_socket(self.name, address.removeprefix("unix:"))
        else:
            _refuse_taken_port(self.name, address)
        try:
            if self._credentials is None or address.startswith("unix:"):
                bound = server.add_insecure_port(address)
            else:
                bound = server.add_secure_port(address, self._credentials)
        except RuntimeError:
            bound = 0
        if bound == 0:
            raise RostraError(f"{self.name}: cannot listen on {address}")


def _refuse_taken_port(door: str, address: str) -> None:
    """gRPC says only that binding failed; the system says why."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise RostraError(f"{door}: cannot listen on {address}: {os.strerror(error.errno or 0)}") from None


def _remove_dead_socket(door: str, path: str) -> None:
    """A process that was killed leaves its socket file behind; one that answers is a live process, and an error."""
    if len(path.encode()) > 107:
        raise RostraError(f"{door}: the path of the unix socket is longer than 107 bytes: {path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except OSError:
            os.unlink(path)
            return
    raise RostraError(f"{door}: another process listens on unix:{path}")


class _Table(grpc.GenericRpcHandler):
    def __init__(self, methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._methods = methods

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._methods.get(handler_call_details.method)


class _Health(health_pb2_grpc.HealthServicer):
    """grpc.health.v1 (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802
        if request.service and request.service not in self._readiness:
            raise NotFound(f"service {request.service} is not served here")
        return health_pb2.HealthCheckResponse(status=await self._status(request.service))

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:  # noqa: N802
        last = None
        while True:
            status = await self._status(request.service)
            if status != last:
                last = status
                yield health_pb2.HealthCheckResponse(status=status)
            await asyncio.sleep(HEALTH_POLL_S)

    async def _status(self, service: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
        if not service:
            return health_pb2.HealthCheckResponse.SERVING
        ready = self._readiness.get(service)
        if ready is None:
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        answer = ready()
        is_ready = answer if isinstance(answer, bool) else await answer
        return health_pb2.HealthCheckResponse.SERVING if is_ready else health_pb2.HealthCheckResponse.NOT_SERVING
