"""The one table that maps errors to gRPC statuses and HTTP codes, and the way back.

An error crosses a call as its status code, its text as details, and an ``ErrorDetail`` in trailing metadata, so that a
client raises what the server raised. Within a stream the ``ErrorDetail`` is part of the message.
"""

from __future__ import annotations

import re
from typing import Final

import grpc
from grpc import aio

from rostra import errors
from rostra.v1 import common_pb2

DETAIL_KEY: Final = "rostra-error-bin"

_TABLE: Final[dict[type[errors.RostraError], tuple[grpc.StatusCode, int]]] = {
    errors.BadRequest: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.NotFound: (grpc.StatusCode.NOT_FOUND, 404),
    errors.Conflict: (grpc.StatusCode.FAILED_PRECONDITION, 400),
    errors.Busy: (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    errors.UnknownOutcome: (grpc.StatusCode.UNKNOWN, 500),
    errors.Unavailable: (grpc.StatusCode.UNAVAILABLE, 500),
    errors.Resync: (grpc.StatusCode.OUT_OF_RANGE, 500),
    errors.Timeout: (grpc.StatusCode.DEADLINE_EXCEEDED, 500),
    errors.Unsupported: (grpc.StatusCode.UNIMPLEMENTED, 501),
    errors.RostraError: (grpc.StatusCode.INTERNAL, 500),
}

_NOT_REACHED: Final = re.compile(
    r"failed to connect to all addresses; last error: \w+: (?:ipv[46]:)?(?P<where>\S+): .*(?:error|remote host): (?P<why>[^:]+)$"
)

_FROM_STATUS: Final[dict[grpc.StatusCode, type[errors.RostraError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.BadRequest,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: errors.Conflict,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Busy,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.OUT_OF_RANGE: errors.Resync,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Timeout,
    grpc.StatusCode.UNIMPLEMENTED: errors.Unsupported,
}


def grpc_status(error: errors.RostraError) -> grpc.StatusCode:
    """The status of the nearest ancestor in the table."""
    return next(_TABLE[kind][0] for kind in type(error).__mro__ if kind in _TABLE)


def http_status(error: errors.RostraError) -> int:
    """The HTTP code of the nearest ancestor in the table; Consul answers 500 to most of what is not the caller's fault."""
    return next(_TABLE[kind][1] for kind in type(error).__mro__ if kind in _TABLE)


def detail_from_error(error: errors.RostraError) -> common_pb2.ErrorDetail:
    """The error's data as a message."""
    return common_pb2.ErrorDetail(
        kind=type(error).__name__,
        message=str(error),
        field=getattr(error, "field", ""),
        leader=getattr(error, "leader", ""),
        retry_after_ms=round(getattr(error, "retry_after_s", 0.0) * 1000),
        tried=getattr(error, "tried", ()),
    )


def error_from_detail(detail: common_pb2.ErrorDetail) -> errors.RostraError:
    """The error that the message describes; a kind that is not known here becomes ``Unavailable`` with its text."""
    match detail.kind:
        case "BadRequest" | "ConfigError" | "BadSnapshot":
            return errors.BadRequest(detail.message, field=detail.field)
        case "Busy":
            return errors.Busy(detail.message, retry_after_s=detail.retry_after_ms / 1000)
        case "NotLeader":
            return errors.NotLeader(detail.leader)
        case "NoLeader":
            return errors.NoLeader(detail.message)
        case "NoServers":
            return errors.NoServers(detail.tried)
        case "NotFound" | "Conflict" | "NoPath" | "NotReady" | "UnknownOutcome" | "Resync" | "Timeout" | "Unsupported":
            kind: type[errors.RostraError] = getattr(errors, detail.kind)
            return kind(detail.message)
        case _:
            return errors.Unavailable(detail.message)


def error_from_rpc(error: aio.AioRpcError) -> errors.RostraError:
    """What a failed call means to its caller."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAIL_KEY and isinstance(value, bytes):
            return error_from_detail(common_pb2.ErrorDetail.FromString(value))
    kind = _FROM_STATUS.get(error.code(), errors.Unavailable)
    return kind(_plainly(error.details() or error.code().name))


def _plainly(details: str) -> str:
    """Where nobody answered, and why, in one sentence without gRPC's inner workings."""
    found = _NOT_REACHED.search(details)
    return f"{found['where']} cannot be reached: {found['why']}" if found is not None else details
