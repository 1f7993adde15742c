"""Names outside of our domains, asked of the recursors that were configured: forwarding, never recursion of our own.

Off without ``recursors``, and for clients outside of ``allow_recursion``: an agent on a public address is no open resolver.
Imported only where there are recursors: dnspython takes 14 MiB.
"""

from __future__ import annotations

import random
from ipaddress import ip_address
from typing import Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from rostra.dns.answer import Answer, ErrorCode, ExtendedError
from rostra.dns.core import Outside
from rostra.dns.records import Record
from rostra.dns.settings import DnsSettings
from rostra.dns.wire import Rcode, pack_name
from rostra.errors import ConfigError

DNS_PORT: Final = 53
_PAYLOAD: Final = 1232
_MAX_CLIENTS: Final = 4096


class Recursor:
    """Forwards to the recursors of the settings, in their order or at random."""

    def __init__(self, settings: DnsSettings, source: random.Random) -> None:
        self._settings = settings
        self._source = source
        self._servers = [parse_server(server) for server in settings.recursors]
        self._allowed: dict[str, bool] = {}

    def serves(self, client: str) -> bool:
        """Whether ``client``, an address, may have names outside of our domains found."""
        allowed = self._allowed.get(client)
        if allowed is None:
            if len(self._allowed) >= _MAX_CLIENTS:
                self._allowed.clear()
            address = ip_address(client.partition("%")[0])
            mapped = getattr(address, "ipv4_mapped", None) or address
            allowed = self._allowed[client] = any(mapped in network for network in self._settings.allow_recursion)
        return allowed

    async def complete(self, outside: Outside) -> Answer:
        """What the first recursor that answers says; its negative answers too. What is known already comes first."""
        name = dns.name.Name((*outside.labels, b""))
        query = dns.message.make_query(name, dns.rdatatype.RdataType.make(outside.request.qtype), use_edns=0, payload=_PAYLOAD)
        for host, port in self._shuffled():
            try:
                response, _ = await dns.asyncquery.udp_with_fallback(
                    query, host, timeout=self._settings.recursor_timeout_s, port=port, ignore_unexpected=True
                )
            except (dns.exception.DNSException, OSError, EOFError):
                continue
            if response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return _merged(outside, response)
        return _failed(outside, "no recursor answered")

    def _shuffled(self) -> list[tuple[str, int]]:
        if self._settings.recursor_strategy == "random":
            return self._source.sample(self._servers, len(self._servers))
        return self._servers


def _failed(outside: Outside, text: str) -> Answer:
    return Answer(Rcode.SERVFAIL, authoritative=False, error=ExtendedError(ErrorCode.NO_REACHABLE_AUTHORITY, text))


def _merged(outside: Outside, response: dns.message.Message) -> Answer:
    """Our CNAMEs, if there are any, and then the recursor's sections. Ours are authoritative, a recursor's alone are not."""
    return Answer(
        Rcode(response.rcode()),
        authoritative=bool(outside.answer.answer),
        answer=outside.answer.answer + _records(response.answer),
        authority=_records(response.authority),
        additional=_records(response.additional),
    )


def _records(section: list[dns.rrset.RRset]) -> tuple[Record, ...]:
    return tuple(record for rrset in section for record in _rrset_records(rrset))


def _rrset_records(rrset: dns.rrset.RRset) -> list[Record]:
    owner = pack_name(tuple(rrset.name.labels[:-1]))
    head = rrset.rdtype.to_bytes(2, "big") + rrset.rdclass.to_bytes(2, "big") + rrset.ttl.to_bytes(4, "big")
    bodies = (rdata.to_wire() or b"" for rdata in rrset)
    return [Record(owner, head + len(rdata).to_bytes(2, "big") + rdata) for rdata in bodies]


def parse_server(text: str) -> tuple[str, int]:
    """``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``; the address must be an IP address."""
    host, colon, port = text.rpartition(":")
    if not colon or ("[" not in text and text.count(":") > 1) or text.endswith("]"):
        host, port = text, str(DNS_PORT)
    host = host.strip("[]")
    try:
        ip_address(host)
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise ConfigError([f"recursors: {text} is not an IP address with an optional port"])
    return host, number
