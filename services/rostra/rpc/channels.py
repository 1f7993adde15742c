"""Channels to roles in other processes."""

from __future__ import annotations

from typing import Final

from grpc import aio

from rostra.errors import BadRequest
from rostra.rpc.inprocess import MAX_MESSAGE_BYTES

OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A role that was killed and started again must be found within 2 s.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
    # Each channel is its own connection, so that one given up does not hold back another.
    ("grpc.use_local_subchannel_pool", 1),
)


def connect(target: str) -> aio.Channel:
    """A channel to ``HOST:PORT`` or ``unix:PATH``; it connects when first used, and again after a break."""
    if not target.startswith("unix:") and ":" not in target:
        raise BadRequest(f"{target!r} is neither HOST:PORT nor unix:PATH", field="address")
    return aio.insecure_channel(target, options=OPTIONS)
