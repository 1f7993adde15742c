"""Channels to roles in other processes."""

from __future__ import annotations

from typing import Final, Protocol

import grpc
from grpc import aio

from rostra.errors import BadRequest
from rostra.rpc.inprocess import MAX_ANSWER_BYTES, MAX_MESSAGE_BYTES

OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A role that was killed and started again must be found within 2 s.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A connection whose packets the network swallows is given up after 10 s, and made anew once the network is back. TCP would go on
    # waiting for as long as it has waited: measured, 48 s after a cut of a minute. gRPC sets TCP_USER_TIMEOUT to the second of these; the
    # third is what ends a ping. Doors take one every 5 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),
    # Each channel is its own connection, so that one given up does not hold back another.
    ("grpc.use_local_subchannel_pool", 1),
)


class Connector(Protocol):
    """Who makes a process's channels to others, and so the one place that decides how they are secured. Nobody goes past it."""

    def connect(self, target: str) -> aio.Channel:
        """A channel to ``HOST:PORT`` or ``unix:PATH``; it connects when first used, and again after a break."""
        ...


class PlainConnector:
    """Without certificates: for tests, and within one machine."""

    def connect(self, target: str) -> aio.Channel:
        return connect(target)


def connect(target: str, credentials: grpc.ChannelCredentials | None = None, name: str = "") -> aio.Channel:
    """As ``Connector.connect``: plaintext, or with ``credentials`` and the ``name`` to be found in the other's certificate."""
    if not target.startswith("unix:") and ":" not in target:
        raise BadRequest(f"{target!r} is neither HOST:PORT nor unix:PATH", field="address")
    if credentials is None:
        return aio.insecure_channel(target, options=OPTIONS)
    options = (*OPTIONS, ("grpc.ssl_target_name_override", name)) if name else OPTIONS
    return aio.secure_channel(target, credentials, options=options)
