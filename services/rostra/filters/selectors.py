"""What filter expressions may look at: the fields of each kind of record, by Consul's names, and how to get them from our values."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, TypeAlias

Get: TypeAlias = Callable[[Any], Any]


class Kind(enum.Enum):
    """What a field holds, and so which operators it takes."""

    TEXT = "text"
    NUMBER = "number"
    TRUTH = "truth"
    TEXTS = "list of texts"
    MAP = "map"
    LIST = "list of records"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``inner`` is what a record, or each item of a map or list, is made of; None for texts."""

    kind: Kind
    get: Get
    inner: Schema | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """The fields of a kind of record; compared by identity."""

    fields: Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class Selected:
    """A selector that is valid. ``steps`` lead from the record to the value; where one is ``many``, any of its items counts."""

    name: str
    kind: Kind
    steps: Sequence[tuple[Get, bool]]

    def predicate(self, test: Callable[[Any], bool]) -> Callable[[Any], bool]:
        """Whether the value, or any of several, passes."""
        for get, many in reversed(self.steps):
            test = _any_of(get, test) if many else _one_of(get, test)
        return test


def select(schema: Schema, parts: Sequence[str]) -> Selected | None:
    """The selector of these parts; None when the schema has no such thing."""
    steps: list[tuple[Get, bool]] = []
    kind, inner = Kind.RECORD, schema
    for part in parts:
        match kind:
            case Kind.RECORD | Kind.LIST:
                field = inner.fields.get(part)
                if field is None:
                    return None
                if kind is Kind.LIST:
                    steps[-1] = (steps[-1][0], True)
                steps.append((field.get, False))
                kind, inner = field.kind, field.inner or schema
                if kind is Kind.MAP and field.inner is None:
                    inner = _TEXT_ITEM
            case Kind.MAP:
                steps.append((_item(part), False))
                kind, inner = (Kind.TEXT, schema) if inner is _TEXT_ITEM else (Kind.RECORD, inner)
            case _:
                return None
    return Selected(".".join(parts), kind, tuple(steps))


def _one_of(get: Get, test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda record: test(get(record) if record is not None else None)


def _any_of(get: Get, test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda record: any(test(item) for item in (get(record) if record is not None else ()))


def _item(key: str) -> Get:
    return lambda found: found.get(key)


def _text(path: str) -> Field:
    return Field(Kind.TEXT, attrgetter(path))


def _number(path: str) -> Field:
    return Field(Kind.NUMBER, attrgetter(path))


def _truth(path: str) -> Field:
    return Field(Kind.TRUTH, attrgetter(path))


def _texts(path: str) -> Field:
    return Field(Kind.TEXTS, attrgetter(path))


def _map(path: str, inner: Schema | None = None) -> Field:
    return Field(Kind.MAP, attrgetter(path), inner)


def _always(kind: Kind, value: object, inner: Schema | None = None) -> Field:
    """What is the same on every record: the mesh's fields, of which there are none set here."""
    return Field(kind, lambda _: value, inner)


_TEXT_ITEM: Final = Schema({})
_ADDRESS: Final = Schema({"Address": _text("address"), "Port": _number("port")})
_WEIGHTS: Final = Schema({"Passing": _number("passing"), "Warning": _number("warning")})

_MODE: Final = Schema({"Mode": _always(Kind.TEXT, "")})
_UPSTREAM: Final = Schema({
    "Datacenter": _always(Kind.TEXT, ""),
    "DestinationName": _always(Kind.TEXT, ""),
    "DestinationNamespace": _always(Kind.TEXT, ""),
    "DestinationType": _always(Kind.TEXT, ""),
    "LocalBindAddress": _always(Kind.TEXT, ""),
    "LocalBindPort": _always(Kind.NUMBER, 0),
    "MeshGateway": _always(Kind.RECORD, (), _MODE),
})  # fmt: skip
_EXPOSED: Final = Schema({
    "ListenerPort": _always(Kind.NUMBER, 0),
    "LocalPathPort": _always(Kind.NUMBER, 0),
    "Path": _always(Kind.TEXT, ""),
    "Protocol": _always(Kind.TEXT, ""),
})  # fmt: skip
_PROXY: Final = _always(Kind.RECORD, (), Schema({
    "DestinationServiceID": _always(Kind.TEXT, ""),
    "DestinationServiceName": _always(Kind.TEXT, ""),
    "Expose": _always(Kind.RECORD, (), Schema({
        "Checks": _always(Kind.TRUTH, value=False),
        "Paths": _always(Kind.LIST, (), _EXPOSED),
    })),
    "LocalServiceAddress": _always(Kind.TEXT, ""),
    "LocalServicePort": _always(Kind.NUMBER, 0),
    "MeshGateway": _always(Kind.RECORD, (), _MODE),
    "Upstreams": _always(Kind.LIST, (), _UPSTREAM),
}))  # fmt: skip
_CONNECT: Final = _always(Kind.RECORD, (), Schema({"Native": _always(Kind.TRUTH, value=False)}))

CHECK: Final = Schema({
    "CheckID": _text("check_id"),
    "Name": _text("name"),
    "Node": _text("node"),
    "Notes": _text("notes"),
    "Output": _text("output"),
    "ServiceID": _text("service_id"),
    "ServiceName": _text("service_name"),
    "ServiceTags": _texts("service_tags"),
    "Status": _text("status.value"),
    "Type": _text("type"),
})  # fmt: skip

SERVICE: Final = Schema({
    "Address": _text("address"),
    "Connect": _CONNECT,
    "EnableTagOverride": _truth("enable_tag_override"),
    "ID": _text("id"),
    "Kind": _text("kind"),
    "Meta": _map("meta"),
    "Port": _number("port"),
    "Proxy": _PROXY,
    "Service": _text("name"),
    "SocketPath": _text("socket_path"),
    "TaggedAddresses": _map("tagged_addresses", _ADDRESS),
    "Tags": _texts("tags"),
    "Weights": Field(Kind.RECORD, attrgetter("weights"), _WEIGHTS),
})  # fmt: skip

SUMMARY: Final = Schema({"ServiceName": _text("name"), "ServiceTags": _texts("tags")})

MEMBER: Final = Schema({
    "Addr": _text("addr"),
    "DelegateCur": _number("delegate_cur"),
    "DelegateMax": _number("delegate_max"),
    "DelegateMin": _number("delegate_min"),
    "Name": _text("name"),
    "Port": _number("port"),
    "ProtocolCur": _number("protocol_cur"),
    "ProtocolMax": _number("protocol_max"),
    "ProtocolMin": _number("protocol_min"),
    "Status": _number("status"),
    "Tags": _map("tags"),
})  # fmt: skip
"""Of a member as it is shown: role and state in Consul's words and numbers."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas that know the datacenter."""

    node: Schema
    catalog_service: Schema
    instance: Schema


def schemas_of(datacenter: str) -> Schemas:
    """One set for a process."""
    own = Field(Kind.TEXT, lambda _: datacenter)
    node = Schema({
        "Address": _text("address"),
        "Datacenter": own,
        "ID": _text("id"),
        "Meta": _map("meta"),
        "Node": _text("name"),
        "TaggedAddresses": _map("tagged_addresses"),
    })  # fmt: skip
    catalog_service = Schema({
        "Address": _text("node.address"),
        "Datacenter": own,
        "ID": _text("node.id"),
        "Node": _text("node.name"),
        "NodeMeta": _map("node.meta"),
        "ServiceAddress": _text("service.address"),
        "ServiceConnect": _CONNECT,
        "ServiceEnableTagOverride": _truth("service.enable_tag_override"),
        "ServiceID": _text("service.id"),
        "ServiceKind": _text("service.kind"),
        "ServiceMeta": _map("service.meta"),
        "ServiceName": _text("service.name"),
        "ServicePort": _number("service.port"),
        "ServiceProxy": _PROXY,
        "ServiceSocketPath": _text("service.socket_path"),
        "ServiceTaggedAddresses": _map("service.tagged_addresses", _ADDRESS),
        "ServiceTags": _texts("service.tags"),
        "ServiceWeights": Field(Kind.RECORD, attrgetter("service.weights"), _WEIGHTS),
        "TaggedAddresses": _map("node.tagged_addresses"),
    })  # fmt: skip
    instance = Schema({
        "Checks": Field(Kind.LIST, attrgetter("checks"), CHECK),
        "Node": Field(Kind.RECORD, attrgetter("node"), node),
        "Service": Field(Kind.RECORD, attrgetter("service"), SERVICE),
    })  # fmt: skip
    return Schemas(node, catalog_service, instance)
