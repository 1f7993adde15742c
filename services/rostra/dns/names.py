"""Forms of names: what the labels under a domain mean (https://developer.hashicorp.com/consul/docs/services/discovery/dns-static-lookups).

From the right: ``[DC[.dc]]``, then a word for the kind, then what that kind takes. Forms are values; whether the thing exists is
for ``answers`` to find out. Labels come in lower case; one that is not UTF-8 is no name of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Apex:
    """The domain itself."""


@dataclass(frozen=True, slots=True)
class NameServer:
    """``ns``, the primary that the SOA names."""


@dataclass(frozen=True, slots=True)
class EmptyName:
    """A name that has names under it and no records of its own, such as ``service`` (RFC 8020)."""


@dataclass(frozen=True, slots=True)
class NodeName:
    """``NODE.node``; a name with dots takes several labels."""

    node: str


@dataclass(frozen=True, slots=True)
class ServiceName:
    """``[TAG.]SERVICE.service`` or ``_SERVICE._TAG[.service]``; no tag: all instances. A tag with dots takes several labels."""

    service: str
    tag: str = ""


@dataclass(frozen=True, slots=True)
class AddressName:
    """``HEX.addr``: the address is the name."""

    address: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class UnknownName:
    """Nothing that could exist; ``reason`` is for a person."""

    reason: str


Form: TypeAlias = Apex | NameServer | EmptyName | NodeName | ServiceName | AddressName | UnknownName

_NOT_SERVED: Final = ("query", "connect", "ingress", "virtual", "port", "peer", "ns", "ap", "sg")
_EMPTY: Final = EmptyName()
_ANY_TAG: Final = "tcp"


def _node(words: tuple[str, ...]) -> Form:
    return NodeName(".".join(words)) if words else _EMPTY


def _service(words: tuple[str, ...]) -> Form:
    match words:
        case ():
            return _EMPTY
        case (service, tag) if service.startswith("_") and tag.startswith("_"):
            return _rfc_2782(service, tag)
        case (*tag_words, service):
            return ServiceName(service, ".".join(tag_words))
    raise AssertionError(words)


def _address(words: tuple[str, ...]) -> Form:
    match words:
        case ():
            return _EMPTY
        case (digits,) if len(digits) in (8, 32) and all(digit in "0123456789abcdef" for digit in digits):
            packed = bytes.fromhex(digits)
            return AddressName(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))
        case _:
            return UnknownName("addr takes 8 or 32 hexadecimal digits")


def _rfc_2782(service: str, tag: str) -> Form:
    """``_tcp`` is every instance; any other second label is a tag."""
    return ServiceName(service[1:], "" if tag[1:] == _ANY_TAG else tag[1:])


KINDS: Final[Mapping[str, Callable[[tuple[str, ...]], Form]]] = {"node": _node, "service": _service, "addr": _address}


def read_form(labels: tuple[bytes, ...], datacenter: str) -> Form:
    """What ``labels``, those under the domain, stand for in ``datacenter``."""
    try:
        words = tuple(label.decode() for label in labels)
    except UnicodeDecodeError:
        return UnknownName("no name of a node or service")
    match words:
        case ():
            return Apex()
        case ("ns",):
            return NameServer()
        case (*_, kind) if kind in KINDS or _is_underscored(words):
            return _read_kind(words)
        case (*_, other) if other in _NOT_SERVED:
            return UnknownName(f"names under {other} are not served")
        case (*rest, named, "dc"):
            return _in_datacenter(tuple(rest), named, datacenter)
        case ("dc",):
            return _EMPTY
        case (*rest, named):
            return _in_datacenter(tuple(rest), named, datacenter)
    raise AssertionError(words)


def datacenter_of(labels: tuple[bytes, ...]) -> str:
    """The datacenter that ``labels``, those under the domain, name; empty where they name none."""
    try:
        words = tuple(label.decode() for label in labels)
    except UnicodeDecodeError:
        return ""
    match words:
        case () | ("ns",) | ("dc",):
            return ""
        case (*_, kind) if kind in KINDS or kind in _NOT_SERVED or _is_underscored(words):
            return ""
        case (*_, "addr", _) | (*_, "addr", _, "dc"):
            return ""  # an address is the same wherever it is
        case (*_, named, "dc") | (*_, named):
            return named
    raise AssertionError(words)


def _in_datacenter(words: tuple[str, ...], named: str, datacenter: str) -> Form:
    if words and words[-1] == "addr":
        # An address is the same wherever it is.
        return _read_kind(words)
    if named != datacenter.lower():
        return UnknownName("no such kind of name and no such datacenter")
    if not words:
        return _EMPTY
    return _read_kind(words)


def _read_kind(words: tuple[str, ...]) -> Form:
    kind = KINDS.get(words[-1])
    if kind is not None:
        return kind(words[:-1])
    match words:
        case (service, tag) if _is_underscored(words):
            return _rfc_2782(service, tag)
        case (tag,) if tag.startswith("_"):
            return _EMPTY
        case _:
            return UnknownName(f"names under {words[-1]} are not served")


def _is_underscored(words: tuple[str, ...]) -> bool:
    """RFC 2782 without the word ``service``: ``_SERVICE._TAG``, or what is left when a resolver drops the first label."""
    return len(words) <= 2 and all(word.startswith("_") for word in words)


def read_reverse(labels: tuple[bytes, ...]) -> IPv4Address | IPv6Address | None:
    """The address that a whole name under ``in-addr.arpa`` or ``ip6.arpa`` is (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    digits = labels[-3::-1]
    if labels[-2:] == (b"in-addr", b"arpa") and len(digits) == 4:
        if all(digit.isdigit() and len(digit) <= 3 and int(digit) <= 255 for digit in digits):
            return IPv4Address(bytes(int(digit) for digit in digits))
    elif labels[-2:] == (b"ip6", b"arpa") and len(digits) == 32 and all(digit in _NIBBLES for digit in digits):
        return IPv6Address(bytes.fromhex(b"".join(digits).decode()))
    return None


_NIBBLES: Final = frozenset(bytes((digit,)) for digit in b"0123456789abcdef")
