"""The JSON objects of catalog and health answers, in Consul's order and spelling, and how they are made of our values.

https://developer.hashicorp.com/consul/api-docs/catalog and …/health show each. What is null, empty or left out when there is nothing was
taken from answers of a real 1.8.7.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType, field

from rostra.gateway.encoding import format_go_duration
from rostra.model.catalog import NO_DEFINITION, Check, CheckDefinition, Node, Service, ServiceAddress


class NodeRecord(Struct, rename="pascal"):
    """An item of ``/v1/catalog/nodes``. Maps without entries are null."""

    id: str = field(name="ID")
    node: str
    address: str
    datacenter: str
    tagged_addresses: Mapping[str, str] | None
    meta: Mapping[str, str] | None
    create_index: int
    modify_index: int


class AddressRecord(Struct, rename="pascal"):
    """A tagged address of a service."""

    address: str
    port: int


class WeightsRecord(Struct, rename="pascal"):
    """How often DNS names the instance first."""

    passing: int
    warning: int


class ProxyRecord(Struct, rename="pascal"):
    """The mesh settings that Consul's clients expect in place; there is no mesh here."""

    mesh_gateway: dict[str, str] = {}
    expose: dict[str, str] = {}


class CatalogServiceRecord(Struct, rename="pascal"):
    """An item of ``/v1/catalog/service/NAME``."""

    id: str = field(name="ID")
    node: str
    address: str
    datacenter: str
    tagged_addresses: Mapping[str, str] | None
    node_meta: Mapping[str, str] | None
    service_kind: str
    service_id: str = field(name="ServiceID")
    service_name: str
    service_tags: tuple[str, ...]
    service_address: str
    service_tagged_addresses: dict[str, AddressRecord] | UnsetType
    service_weights: WeightsRecord
    service_meta: Mapping[str, str]
    service_port: int
    service_socket_path: str | UnsetType
    service_enable_tag_override: bool
    service_proxy: ProxyRecord
    service_connect: dict[str, str]
    create_index: int
    modify_index: int


class ServiceRecord(Struct, rename="pascal"):
    """The ``Service`` of a health answer, and an item of ``/v1/catalog/node/NAME``."""

    kind: str | UnsetType
    id: str = field(name="ID")
    service: str
    tags: tuple[str, ...]
    address: str
    tagged_addresses: dict[str, AddressRecord] | UnsetType
    meta: Mapping[str, str] | None
    port: int
    socket_path: str | UnsetType
    weights: WeightsRecord
    enable_tag_override: bool
    proxy: ProxyRecord
    connect: dict[str, str]
    create_index: int
    modify_index: int


class AgentServiceRecord(Struct, rename="pascal"):
    """An item of ``/v1/agent/services``: like the catalog's, in another order, and without indexes."""

    kind: str | UnsetType
    id: str = field(name="ID")
    service: str
    tags: tuple[str, ...]
    meta: Mapping[str, str]
    port: int
    address: str
    socket_path: str | UnsetType
    tagged_addresses: dict[str, AddressRecord] | UnsetType
    weights: WeightsRecord
    enable_tag_override: bool
    content_hash: str | UnsetType = UNSET


class DefinitionRecord(Struct, rename="pascal", omit_defaults=True):
    """How a check is run; what is not set is left out."""

    interval: str = ""
    output_max_size: int = 0
    timeout: str = ""
    deregister_critical_service_after: str = ""
    http: str = field(name="HTTP", default="")
    tls_server_name: str = field(name="TLSServerName", default="")
    tls_skip_verify: bool = field(name="TLSSkipVerify", default=False)
    header: Mapping[str, tuple[str, ...]] = {}
    method: str = ""
    body: str = ""
    disable_redirects: bool = False
    tcp: str = field(name="TCP", default="")
    script_args: tuple[str, ...] = ()
    docker_container_id: str = field(name="DockerContainerID", default="")
    shell: str = ""
    udp: str = field(name="UDP", default="")
    grpc: str = field(name="GRPC", default="")
    grpc_use_tls: bool = field(name="GRPCUseTLS", default=False)
    h2ping: str = field(name="H2PING", default="")
    os_service: str = field(name="OSService", default="")
    alias_node: str = ""
    alias_service: str = ""
    ttl: int = field(name="TTL", default=0)
    """Nanoseconds: the one duration that Consul shows so."""


class CheckRecord(Struct, rename="pascal"):
    """An item of a health answer."""

    node: str
    check_id: str = field(name="CheckID")
    name: str
    status: str
    notes: str
    output: str
    service_id: str = field(name="ServiceID")
    service_name: str
    service_tags: tuple[str, ...]
    type: str
    definition: DefinitionRecord
    create_index: int
    modify_index: int


class ZeroDefinitionRecord(Struct, rename="pascal", frozen=True):
    """What ``/v1/agent/health/…`` shows of every check's definition: nothing."""

    interval: str = "0s"
    timeout: str = "0s"
    deregister_critical_service_after: str = "0s"
    http: str = field(name="HTTP", default="")
    header: None = None
    method: str = ""
    body: str = ""
    tls_skip_verify: bool = field(name="TLSSkipVerify", default=False)
    tcp: str = field(name="TCP", default="")


class AgentHealthCheckRecord(Struct, rename="pascal"):
    """A check in ``/v1/agent/health/…``: without type and definition, and without tags it is null."""

    node: str
    check_id: str = field(name="CheckID")
    name: str
    status: str
    notes: str
    output: str
    service_id: str = field(name="ServiceID")
    service_name: str
    service_tags: tuple[str, ...] | None
    type: str = ""
    definition: ZeroDefinitionRecord = ZeroDefinitionRecord()
    create_index: int = 0
    modify_index: int = 0


class InstanceRecord(Struct, rename="pascal"):
    """An item of ``/v1/health/service/NAME``."""

    node: NodeRecord
    service: ServiceRecord
    checks: list[CheckRecord]


def node_record(node: Node, datacenter: str) -> NodeRecord:
    return NodeRecord(
        id=node.id,
        node=node.name,
        address=node.address,
        datacenter=datacenter,
        tagged_addresses=_or_null(node.tagged_addresses),
        meta=_or_null(node.meta),
        create_index=node.create_index,
        modify_index=node.modify_index,
    )


def catalog_service_record(node: Node, service: Service, datacenter: str) -> CatalogServiceRecord:
    return CatalogServiceRecord(
        id=node.id,
        node=node.name,
        address=node.address,
        datacenter=datacenter,
        tagged_addresses=_or_null(node.tagged_addresses),
        node_meta=_or_null(node.meta),
        service_kind=service.kind,
        service_id=service.id,
        service_name=service.name,
        service_tags=service.tags,
        service_address=service.address,
        service_tagged_addresses=_addresses(service.tagged_addresses),
        service_weights=_weights(service),
        service_meta=dict(service.meta),
        service_port=service.port,
        service_socket_path=service.socket_path or UNSET,
        service_enable_tag_override=service.enable_tag_override,
        service_proxy=ProxyRecord(),
        service_connect={},
        create_index=service.create_index,
        modify_index=service.modify_index,
    )


def service_record(service: Service) -> ServiceRecord:
    return ServiceRecord(
        kind=service.kind or UNSET,
        id=service.id,
        service=service.name,
        tags=service.tags,
        address=service.address,
        tagged_addresses=_addresses(service.tagged_addresses),
        meta=_or_null(service.meta),
        port=service.port,
        socket_path=service.socket_path or UNSET,
        weights=_weights(service),
        enable_tag_override=service.enable_tag_override,
        proxy=ProxyRecord(),
        connect={},
        create_index=service.create_index,
        modify_index=service.modify_index,
    )


def agent_service_record(service: Service) -> AgentServiceRecord:
    return AgentServiceRecord(
        kind=service.kind or UNSET,
        id=service.id,
        service=service.name,
        tags=service.tags,
        meta=dict(service.meta),
        port=service.port,
        address=service.address,
        socket_path=service.socket_path or UNSET,
        tagged_addresses=_addresses(service.tagged_addresses),
        weights=_weights(service),
        enable_tag_override=service.enable_tag_override,
    )


def check_record(check: Check) -> CheckRecord:
    return CheckRecord(
        node=check.node,
        check_id=check.check_id,
        name=check.name,
        status=check.status.value,
        notes=check.notes,
        output=check.output,
        service_id=check.service_id,
        service_name=check.service_name,
        service_tags=check.service_tags,
        type=check.type,
        definition=definition_record(check.definition),
        create_index=check.create_index,
        modify_index=check.modify_index,
    )


def agent_health_check_record(check: Check) -> AgentHealthCheckRecord:
    return AgentHealthCheckRecord(
        node=check.node,
        check_id=check.check_id,
        name=check.name,
        status=check.status.value,
        notes=check.notes,
        output=check.output,
        service_id=check.service_id,
        service_name=check.service_name,
        service_tags=check.service_tags or None,
    )


def definition_record(definition: CheckDefinition) -> DefinitionRecord:
    if definition == NO_DEFINITION:
        return DefinitionRecord()
    return DefinitionRecord(
        interval=_duration(definition.interval_s),
        timeout=_duration(definition.timeout_s),
        deregister_critical_service_after=_duration(definition.deregister_critical_service_after_s),
        http=definition.http,
        tls_server_name=definition.tls_server_name,
        tls_skip_verify=definition.tls_skip_verify,
        header=definition.header,
        method=definition.method,
        body=definition.body,
        disable_redirects=definition.disable_redirects,
        tcp=definition.tcp,
        udp=definition.udp,
        grpc=definition.grpc,
        grpc_use_tls=definition.grpc_use_tls,
        h2ping=definition.h2ping,
        os_service=definition.os_service,
        alias_node=definition.alias_node,
        alias_service=definition.alias_service,
        script_args=definition.args,
        docker_container_id=definition.docker_container_id,
        shell=definition.shell,
        output_max_size=definition.output_max_size,
        ttl=round(definition.ttl_s * 1e9),
    )


def _or_null(pairs: Mapping[str, str]) -> dict[str, str] | None:
    return dict(pairs) or None


def _addresses(addresses: Mapping[str, ServiceAddress]) -> dict[str, AddressRecord] | UnsetType:
    return {tag: AddressRecord(place.address, place.port) for tag, place in addresses.items()} or UNSET


def _weights(service: Service) -> WeightsRecord:
    return WeightsRecord(service.weights.passing, service.weights.warning)


def _duration(seconds: float) -> str:
    return format_go_duration(seconds) if seconds else ""
