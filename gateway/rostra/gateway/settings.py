"""What the gateway is told. Defaults are those of Consul where it has the setting, and say why where it has not."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one client, or all together, may take of the HTTP door. Each has its own answer, named here."""

    connections_per_client: int = 200
    """``limits.http_max_conns_per_client``; one more is answered 429 and closed. 0: no limit."""
    header_bytes: int = 64 * 1024
    """Request line and headers; more is answered 431."""
    body_bytes: int = 1024 * 1024
    """Body of a request; more is answered 413. A registration is a few KiB."""
    header_timeout_s: float = 10.0
    """From the first byte of a request to the end of its head; then 408."""
    body_timeout_s: float = 60.0
    """From the end of the head to the end of the body; then 408."""
    tls_handshake_timeout_s: float = 5.0
    """For the handshake of HTTPS; then the connection is closed. ``limits.https_handshake_timeout``."""
    idle_timeout_s: float = 300.0
    """A kept-alive connection without a request; then it is closed. Longer than the idle time of common client pools (90 s)."""
    write_timeout_s: float = 60.0
    """A client that takes nothing of its answer for so long is cut off."""
    write_buffer_bytes: int = 64 * 1024
    """Answered bytes that a client has not taken before no further request of it is read."""
    blocked_queries: int = 20_000
    """Blocking queries parked at one time, of all clients; one more is answered 429."""
    answer_bytes: int = 64 * 1024 * 1024
    """Bytes of answers kept for who asks again. Of more, those made longest ago are dropped, and made again when they are asked for."""


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP door. Durations in seconds."""

    http_addresses: tuple[str, ...] = ("127.0.0.1",)
    """IP addresses, or ``unix://PATH``."""
    http_port: int = 8500
    """-1 turns the IP addresses off; 0 takes any free port (for tests)."""
    https_addresses: tuple[str, ...] = ("127.0.0.1",)
    """IP addresses; HTTPS is served with a certificate only."""
    https_port: int = -1
    """-1 turns HTTPS off; 0 takes any free port (for tests)."""
    datacenter: str = "dc1"
    node_name: str = ""
    """This node, as ``near=_agent`` means it."""
    pretty: bool = False
    """Answer indented without being asked, as Consul does with ``-dev``."""
    default_query_time_s: float = 300.0
    max_query_time_s: float = 600.0
    busy_poll_s: float = 0.00005
    """How long the loop stays awake for a next request after an answer, where requests follow quickly; 0 turns it off."""
    drain_s: float = 0.25
    """For how long, when it stops, who asks on a connection that was kept is still answered."""
    response_headers: dict[str, str] = {}
    block_endpoints: tuple[str, ...] = ()
    """Path prefixes that are answered 403."""
    allow_write_http_from: tuple[str, ...] = ()
    """Networks from which anything but GET is taken; empty: from everywhere."""
    limits: Limits = Limits()
