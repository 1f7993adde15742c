"""The channels of a process to others: mutual TLS where the process has certificates for it, and sockets of the data folder as they are.

gRPC always looks for one name in the other's certificate. Where any name will do (no ``verify_server_hostname``), the usual one is
tried first, ``server.DATACENTER.DOMAIN``; if that fails, the other is looked at and asked for under the name that it has. The authority
is checked every time.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from grpc import aio

from rostra.rpc.channels import connect
from rostra.tls.certificates import ProcessCertificates
from rostra.tls.channel import RenewableChannel
from rostra.tls.credentials import channel_credentials
from rostra.tls.inquiry import Finding, look_at

log = logging.getLogger("rostra.rpc")


@dataclass(frozen=True, slots=True)
class Names:
    """What a certificate of this cluster has to be made out to: ``server`` for a server's ports, either for a role door."""

    server: str = ""
    client: str = ""

    @classmethod
    def of(cls, datacenter: str, domain: str) -> Names:
        """Consul's names. ``domain`` may end with a dot."""
        where = f"{datacenter}.{domain.rstrip('.')}"
        return cls(f"server.{where}", f"client.{where}") if datacenter else cls()


class _Other:
    """What has been found out about one target."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told = ""
        self.inquiry: asyncio.Task[None] | None = None
        self.channels: weakref.WeakSet[RenewableChannel] = weakref.WeakSet()


class SecureConnector:
    """A ``rostra.rpc.channels.Connector``, to servers; role doors, which clients have as well, have a method of their own."""

    def __init__(self, certificates: ProcessCertificates, names: Names) -> None:
        self._certificates = certificates
        self._names = names
        self._others: dict[tuple[str, bool], _Other] = {}
        certificates.when_changed.append(self._renew)

    def connect(self, target: str) -> aio.Channel:
        """Plaintext where there are no certificates for it; then a server that wants TLS is at least named in the log."""
        return self._channel(target, at_role_door=False)

    def connect_to_role_door(self, target: str) -> aio.Channel:
        """Likewise; the role may be a server's or a client's."""
        return self._channel(target, at_role_door=True)

    async def close(self) -> None:
        """Ends what is being found out. The channels are their users' to close."""
        inquiries = [other.inquiry for other in self._others.values() if other.inquiry is not None]
        for inquiry in inquiries:
            inquiry.cancel()
        await asyncio.gather(*inquiries, return_exceptions=True)

    def _channel(self, target: str, *, at_role_door: bool) -> aio.Channel:
        if target.startswith("unix:") or ":" not in target:
            return connect(target)
        other = self._others.setdefault((target, at_role_door), _Other(self._names.server))
        allowed = (self._names.server, *((self._names.client,) if at_role_door else ()))
        channel = RenewableChannel(partial(self._open, target, other), partial(self._find_out, target, other, allowed))
        other.channels.add(channel)
        return channel

    def _open(self, target: str, other: _Other) -> aio.Channel:
        own = self._certificates.internal_rpc
        return connect(target) if own is None else connect(target, channel_credentials(own.material), other.name)

    def _find_out(self, target: str, other: _Other, allowed: Sequence[str]) -> None:
        if other.inquiry is None or other.inquiry.done():
            other.inquiry = asyncio.get_running_loop().create_task(self._inquire(target, other, allowed), name=f"look at {target}")

    async def _inquire(self, target: str, other: _Other, allowed: Sequence[str]) -> None:
        own = self._certificates.internal_rpc
        finding = await look_at(target, own.material if own is not None else None)
        is_checked = own is not None and own.settings.verify_server_hostname
        name, reason = _judged(finding, allowed if is_checked else (other.name, *finding.names))
        if reason and reason != other.told:
            log.warning("no secure connection", extra={"to": target, "reason": reason})
        other.told = reason
        if name and name != other.name:
            other.name = name
            for channel in tuple(other.channels):
                channel.renew()

    def _renew(self) -> None:
        for other in self._others.values():
            for channel in tuple(other.channels):
                channel.renew()


def _judged(finding: Finding, allowed: Sequence[str]) -> tuple[str, str]:
    """The name to expect, and why there is no connection: one of them, or neither."""
    if not finding.names:
        return "", finding.reason
    covered = [name for name in allowed if name in finding.names or f"any.{name.partition('.')[2]}" in finding.names]
    if covered:
        return covered[0], ""
    return "", f"its certificate is for {', '.join(finding.names)}, not for {' or '.join(allowed)} (verify_server_hostname)"
