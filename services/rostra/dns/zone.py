"""A domain that is served, and what nodes and instances are in it: their records, made once and kept while they stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from rostra.dns.choices import Choice
from rostra.dns.records import Record, address_body, parse_address, soa_record, srv_body, txt_bodies
from rostra.dns.settings import DnsSettings
from rostra.dns.wire import pack_name, split_name
from rostra.model.catalog import HealthStatus, Node, ServiceInstance
from rostra.model.topics import Entry

_FAMILIES: Final = ((4, "lan_ipv4"), (6, "lan_ipv6"))


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where something is: bodies of A and AAAA records, or else the packed name of a host elsewhere."""

    a: tuple[bytes, ...] = ()
    aaaa: tuple[bytes, ...] = ()
    host: bytes = b""
    host_labels: tuple[bytes, ...] = ()

    @property
    def bodies(self) -> tuple[bytes, ...]:
        return self.a + self.aaaa


@dataclass(frozen=True, slots=True)
class NodeRecords:
    """A node's addresses and its metadata as TXT."""

    addresses: Addresses
    texts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class InstanceRecords:
    """An instance: whether it may be given, how often, and all its records. ``srv`` is None where no target can be named."""

    node: str
    status: HealthStatus
    weight: int
    tags: frozenset[str]
    addresses: Addresses
    srv: Choice | None


class Zone:
    """One domain, as the settings have it. ``labels`` are its name, in lower case."""

    def __init__(self, domain: str, settings: DnsSettings) -> None:
        self._settings = settings
        self.labels = tuple(label.lower() for label in split_name(domain))
        self._targets = tuple(split_name(settings.domain)) if settings.compat.primary_domain_only else self.labels
        self._service_ttl_s = {pattern.lower(): ttl_s for pattern, ttl_s in settings.service_ttl_s.items()}
        self._datacenter = settings.datacenter.lower().encode()

    def soa(self, serial: int) -> Record:
        """The SOA record; its owner is this zone, so that resolvers can cache a negative answer by it."""
        return soa_record(pack_name(self._targets), serial, self._settings.soa)

    def node_name(self, node: str) -> bytes:
        """``NODE.node.DC.DOMAIN``; empty where the node's name cannot stand in DNS."""
        return pack_name((*split_name(node), b"node", self._datacenter, *self._targets))

    def service_name(self, service: str) -> bytes:
        """``SERVICE.service.DC.DOMAIN``; empty where the service's name cannot stand in DNS."""
        return pack_name((*split_name(service), b"service", self._datacenter, *self._targets))

    def address_name(self, address: IPv4Address | IPv6Address) -> bytes:
        """``HEX.addr.DC.DOMAIN``."""
        return pack_name((address.packed.hex().encode(), b"addr", self._datacenter, *self._targets))

    def node(self, node: Node, ttl_s: float | None = None) -> NodeRecords:
        """A node's records. A host name instead of an address stands alone: CNAME goes with nothing else (RFC 1034 section 3.6.2)."""
        ttl_s = self._settings.node_ttl_s if ttl_s is None else ttl_s
        addresses = _addresses(node.address, node.tagged_addresses, ttl_s)
        return NodeRecords(addresses, () if addresses.host else txt_bodies(node.meta, ttl_s))

    def instance(self, entry: Entry) -> InstanceRecords:
        """An instance's records; a function of the entry alone, for ``View.fragments``."""
        instance = entry.value
        assert isinstance(instance, ServiceInstance)
        service = instance.service
        status = instance.status
        weight = max(0, service.weights.passing if status is HealthStatus.PASSING else service.weights.warning)
        ttl_s = self.service_ttl_s(service.name)
        tagged = {tag: place.address for tag, place in service.tagged_addresses.items()}
        addresses = _addresses(service.address or instance.node.address, tagged or _node_families(instance), ttl_s)
        target, additional = self._target(instance, addresses, ttl_s)
        srv = srv_body(target, port=service.port & 0xFFFF, weight=min(weight, 0xFFFF), ttl_s=ttl_s)
        choice = Choice(srv, target, additional, weight, instance.node.name) if target else None
        return InstanceRecords(instance.node.name, status, weight, frozenset(tag.lower() for tag in service.tags), addresses, choice)

    def service_ttl_s(self, service: str) -> float:
        """By exact name, else the longest ``prefix*``, else ``*``, else 0; in whatever case."""
        table, service = self._service_ttl_s, service.lower()
        if service in table:
            return table[service]
        patterns = (pattern for pattern in table if pattern.endswith("*") and service.startswith(pattern[:-1]))
        return table[longest] if (longest := max(patterns, key=len, default="")) else 0.0

    def _target(self, instance: ServiceInstance, addresses: Addresses, ttl_s: float) -> tuple[bytes, tuple[bytes, ...]]:
        """Whom SRV names, and what records that name has: the node; ``addr`` for an instance with an address of its own or on a
        node without a name in DNS; a host elsewhere by its own name."""
        if addresses.host:
            return addresses.host, ()
        name = self.node_name(instance.node.name)
        if not instance.service.address and name:
            node = self.node(instance.node, ttl_s)
            texts = node.texts if self._settings.enable_additional_node_meta_txt else ()
            return name, node.addresses.bodies + texts
        address = parse_address(instance.service.address or instance.node.address)
        if address is None:
            return b"", ()
        return self.address_name(address), (address_body(address, ttl_s),)


def _node_families(instance: ServiceInstance) -> Mapping[str, str]:
    """An instance without an address of its own is at all of its node's."""
    return {} if instance.service.address else instance.node.tagged_addresses


def _addresses(text: str, tagged: Mapping[str, str], ttl_s: float) -> Addresses:
    """The address as given, and of the other family the one tagged for the LAN."""
    primary = parse_address(text)
    if primary is None:
        labels = split_name(text)
        return Addresses(host=pack_name(labels), host_labels=tuple(label.lower() for label in labels))
    bodies: dict[int, bytes] = {primary.version: address_body(primary, ttl_s)}
    for family, tag in _FAMILIES:
        other = parse_address(tagged.get(tag, ""))
        if other is not None and other.version == family:
            bodies.setdefault(family, address_body(other, ttl_s))
    a, aaaa = ((bodies[family],) if family in bodies else () for family, _ in _FAMILIES)
    return Addresses(a, aaaa)


def find_zone(zones: Iterable[Zone], labels: tuple[bytes, ...]) -> Zone | None:
    """The zone that a name is in: the longest that it ends with."""
    found = [zone for zone in zones if labels[len(labels) - len(zone.labels) :] == zone.labels]
    return max(found, key=lambda zone: len(zone.labels), default=None)
