"""Who a gRPC port has hung up on.

gRPC closes a connection at the first byte that is none of HTTP/2's, or when TLS fails, and tells nobody; a listener of ours in front of it
would copy every Raft message a second time. But Linux keeps a connection for about a minute at the side that closed it first (RFC 9293,
section 3.6.1), and of two that speak gRPC the client closes first. So the kernel knows, and is asked (sock_diag(7)).
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import Final, NamedTuple

_REQUEST: Final = struct.Struct("=IHHII BBBxI HH16s16sI8s")
"""nlmsghdr, then inet_diag_req_v2 with inet_diag_sockid; ports and addresses are in network order."""

_HEADER: Final = struct.Struct("=IHHII")
_FOUND: Final = struct.Struct("=BBBB2s2s16s16s")
"""The start of inet_diag_msg: family, state, two timers; ports and addresses of here and there."""

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_DUMP: Final = 0x301
_ERROR: Final = 2
_DONE: Final = 3
_CLOSED_FIRST: Final = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 11
"""FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, CLOSING."""

_ANSWER_BYTES: Final = 64 * 1024
_TIMEOUT_S: Final = 2.0


class Hangup(NamedTuple):
    """A connection that this side closed first: where it came from."""

    host: str
    port: int


def hangups(port: int, host: str = "") -> set[Hangup]:
    """The connections to this TCP port that the system remembers to have been closed from here; to another ``host`` than that, an IP
    address, they were another process's. Blocks for some milliseconds. Raises ``OSError`` where the system cannot be asked: other systems
    than Linux, and some sandboxes."""
    own = ip_address(host.partition("%")[0] or "::")
    here = "" if own.is_unspecified else str(own)
    with socket.socket(_netlink(), socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as asking:
        asking.settimeout(_TIMEOUT_S)
        found: set[Hangup] = set()
        for family in (socket.AF_INET, socket.AF_INET6):
            asking.send(_request(family, port))
            while _read(asking.recv(_ANSWER_BYTES), found, here):
                pass
    return found


def _netlink() -> int:
    family: int | None = getattr(socket, "AF_NETLINK", None)
    if family is None:
        raise OSError("this system has no netlink")
    return family


def _request(family: int, port: int) -> bytes:
    here, nowhere = socket.htons(port), bytes(16)
    return _REQUEST.pack(
        _REQUEST.size,
        _SOCK_DIAG_BY_FAMILY,
        _DUMP,
        1,
        0,
        family,
        socket.IPPROTO_TCP,
        0,
        _CLOSED_FIRST,
        here,
        0,
        nowhere,
        nowhere,
        0,
        b"\xff" * 8,
    )


def _read(answer: bytes, found: set[Hangup], here: str) -> bool:
    """Takes what one datagram of the kernel tells; False: it was the last."""
    offset = 0
    while offset + _HEADER.size <= len(answer):
        size, kind, _, _, _ = _HEADER.unpack_from(answer, offset)
        if kind == _DONE:
            return False
        if kind == _ERROR:
            (number,) = struct.unpack_from("=i", answer, offset + _HEADER.size)
            raise OSError(-number, "sock_diag")
        family, _, _, _, _, port, own, address = _FOUND.unpack_from(answer, offset + _HEADER.size)
        if not here or _host(family, own) == here:
            found.add(Hangup(_host(family, address), int.from_bytes(port, "big")))
        offset += (size + 3) & ~3
    return True


def _host(family: int, address: bytes) -> str:
    if family == socket.AF_INET:
        return socket.inet_ntop(family, address[:4])
    return socket.inet_ntop(family, address).removeprefix("::ffff:")
