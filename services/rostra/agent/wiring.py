"""Who reaches whom by which channel: the one place that decides it (docs/design/channels.md)."""

from __future__ import annotations

from collections.abc import Sequence

from grpc import aio

from rostra.config import Settings
from rostra.config.roles import SERVER_ROLES
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import InProcessChannel
from rostra.tls.certificates import ProcessCertificates
from rostra.tls.connector import Names, SecureConnector
from rostra.views.upstreams import FixedUpstreams, Upstream, Upstreams


class Wiring:
    """Channels to the roles that ``settings`` names, in this process or by address; each is made once, by ``connector``."""

    def __init__(self, settings: Settings, certificates: ProcessCertificates) -> None:
        self.handlers = Handlers()
        self.certificates = certificates
        self.connector = SecureConnector(certificates, Names.of(settings.identity.datacenter, settings.dns.domain))
        self.in_process = InProcessChannel(self.handlers)
        self._settings = settings
        self._elsewhere: dict[str, SecureConnector] = {}
        self._channels: dict[tuple[str, bool], aio.Channel] = {}

    def is_here(self, role: str) -> bool:
        """Whether the role runs in this process."""
        return role in self._settings.roles.run

    def addresses(self, role: str) -> Sequence[str]:
        """Where the role is, when it is not here."""
        found: tuple[str, ...] = getattr(self._settings.roles, role)
        return found

    def reaches(self, role: str) -> bool:
        """Whether the role is here or has an address."""
        return self.is_here(role) or bool(self.addresses(role))

    def channel(self, role: str) -> aio.Channel:
        """To the role here, or to the first of its addresses; where it has none, calls fail as on a role that is not served."""
        addresses = self.addresses(role)
        if self.is_here(role) or not addresses:
            return self.in_process
        return self._to(role, addresses[0])

    def catalogs(self) -> Upstreams:
        """The catalogs that views may live on, where they are named; a client's are found by gossip instead."""
        if self.is_here("catalog"):
            return FixedUpstreams([Upstream("in-process", self.in_process)])
        return FixedUpstreams([Upstream(address, self._to("catalog", address)) for address in self.addresses("catalog")])

    def connect_elsewhere(self, address: str, datacenter: str) -> aio.Channel:
        """To a server of another datacenter, whose certificate is made out to that one."""
        if datacenter not in self._elsewhere:
            self._elsewhere[datacenter] = SecureConnector(self.certificates, Names.of(datacenter, self._settings.dns.domain))
        return self._elsewhere[datacenter].connect(address)

    def _to(self, role: str, address: str) -> aio.Channel:
        is_of_server = role in SERVER_ROLES
        if (address, is_of_server) not in self._channels:
            connect = self.connector.connect if is_of_server else self.connector.connect_to_role_door
            self._channels[address, is_of_server] = connect(address)
        return self._channels[address, is_of_server]

    async def close(self) -> None:
        """Closes every channel."""
        for connector in (self.connector, *self._elsewhere.values()):
            await connector.close()
        await self.in_process.close()
        for channel in self._channels.values():
            await channel.close()
