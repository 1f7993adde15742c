"""Client of ``CatalogService``: single reads and writes of a catalog. Domain values in and out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from grpc import aio

from rostra.clients.consensus import Configuration, RaftMember, configuration_from_proto
from rostra.clients.streams import milliseconds
from rostra.errors import Unavailable
from rostra.model.autopilot import AutopilotChange, AutopilotState
from rostra.model.catalog import (
    Check,
    Deregistration,
    HealthStatus,
    Node,
    Registration,
    Service,
    ServiceInstance,
    ServiceSummary,
)
from rostra.model.consistency import Consistency
from rostra.model.coordinates import Coordinate
from rostra.model.proto import (
    autopilot_change_to_proto,
    autopilot_state_from_proto,
    check_from_proto,
    coordinates_from_proto,
    deregistration_to_proto,
    instance_from_proto,
    node_from_proto,
    registration_to_proto,
    service_from_proto,
    status_to_proto,
    summary_from_proto,
)
from rostra.model.servers import Datacenter
from rostra.rpc.status import error_from_rpc
from rostra.v1 import catalog_pb2, common_pb2, raft_pb2
from rostra.v1.catalog_pb2_grpc import CatalogServiceStub

TIMEOUT_S: Final = 10.0
"""Longer than the hold time, so that the server's own word arrives."""

T = TypeVar("T")

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How fresh; ``wait_index`` blocks until the result's index is greater, ``wait_s`` at most."""

    consistency: Consistency = Consistency.DEFAULT
    wait_index: int = 0
    wait_s: float = 0.0
    filter: str = ""


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """An answer with the log index of its last change, and how fresh the server was."""

    value: T
    index: int
    known_leader: bool
    last_contact_ms: int
    consistency: Consistency


@dataclass(frozen=True, slots=True)
class NodeContent:
    """A node with what is on it."""

    node: Node
    services: Sequence[Service]
    checks: Sequence[Check]


DEFAULT: Final = ReadOptions()


class CatalogClient:
    """``datacenter`` is the one that requests are for; empty for the server's. Raises ``rostra.errors``."""

    def __init__(self, channel: aio.Channel, datacenter: str = "") -> None:
        self._stub = CatalogServiceStub(channel)
        self._datacenter = datacenter

    async def register(self, registration: Registration, *, request_id: bytes = b"", timeout_s: float = TIMEOUT_S) -> int:
        """Adds or updates; the log index of the write."""
        request = catalog_pb2.RegisterRequest(header=self._header(request_id, timeout_s), registration=registration_to_proto(registration))
        return int((await _call(self._stub.Register(request, timeout=timeout_s))).index)

    async def deregister(self, removal: Deregistration, *, request_id: bytes = b"", timeout_s: float = TIMEOUT_S) -> int:
        """Removes; the log index of the write."""
        request = catalog_pb2.DeregisterRequest(header=self._header(request_id, timeout_s), deregistration=deregistration_to_proto(removal))
        return int((await _call(self._stub.Deregister(request, timeout=timeout_s))).index)

    async def list_datacenters(self, timeout_s: float = TIMEOUT_S) -> Sequence[Datacenter]:
        """Nearest first."""
        answer = await _call(self._stub.ListDatacenters(catalog_pb2.ListDatacentersRequest(), timeout=timeout_s))
        return [Datacenter(each.name, tuple(each.servers)) for each in answer.known]

    async def list_node_coordinates(self, timeout_s: float = TIMEOUT_S) -> Mapping[str, Coordinate]:
        """Where the nodes of the datacenter are, by name, as a server there knows it."""
        request = catalog_pb2.ListNodeCoordinatesRequest(header=self._header(b"", timeout_s))
        return coordinates_from_proto((await _call(self._stub.ListNodeCoordinates(request, timeout=timeout_s))).coordinates)

    async def get_autopilot(self, timeout_s: float = TIMEOUT_S) -> AutopilotState:
        """How the servers are kept, and how they are, as the leader sees it."""
        request = catalog_pb2.GetAutopilotRequest(header=self._header(b"", timeout_s))
        return autopilot_state_from_proto(await _call(self._stub.GetAutopilot(request, timeout=timeout_s)))

    async def set_autopilot(self, change: AutopilotChange, *, request_id: bytes = b"", timeout_s: float = TIMEOUT_S) -> int:
        """The log index of the write; raises ``Conflict`` where it was written meanwhile."""
        header = self._header(request_id, timeout_s)
        request = catalog_pb2.SetAutopilotRequest(header=header, change=autopilot_change_to_proto(change))
        return int((await _call(self._stub.SetAutopilot(request, timeout=timeout_s))).index)

    async def get_servers(self, *, from_leader: bool = True, timeout_s: float = TIMEOUT_S) -> Configuration:
        """Who the servers are, as their leader has it, or the server that answers."""
        request = catalog_pb2.GetServersRequest(header=self._header(b"", timeout_s), from_leader=from_leader)
        return configuration_from_proto((await _call(self._stub.GetServers(request, timeout=timeout_s))).servers)

    async def remove_server(self, member: RaftMember, timeout_s: float = TIMEOUT_S) -> int:
        """Takes it out of the replicated log; the index of the configuration without it. Raises ``NotFound``."""
        peer = raft_pb2.PeerId(node_id=member.node_id, store_id=member.store_id)
        request = catalog_pb2.RemoveServerRequest(header=self._header(b"", timeout_s), id=peer)
        return int((await _call(self._stub.RemoveServer(request, timeout=timeout_s))).index)

    async def hand_over_leadership(self, node_id: str = "", timeout_s: float = TIMEOUT_S) -> str:
        """To that node, or to the voter that is furthest on; the name of the node that leads now."""
        request = catalog_pb2.HandOverLeadershipRequest(header=self._header(b"", timeout_s), node_id=node_id)
        return str((await _call(self._stub.HandOverLeadership(request, timeout=timeout_s))).leader)

    async def list_nodes(
        self, options: ReadOptions = DEFAULT, *, node_meta: Mapping[str, str] = NOTHING, timeout_s: float = TIMEOUT_S
    ) -> Result[Sequence[Node]]:
        """In order of name."""
        request = catalog_pb2.ListNodesRequest(header=self._header(b"", timeout_s), options=_options(options), node_meta=node_meta)
        answer = await _call(self._stub.ListNodes(request, timeout=_longest(options, timeout_s)))
        return _result([node_from_proto(node) for node in answer.nodes], answer.meta)

    async def list_services(
        self, options: ReadOptions = DEFAULT, *, node_meta: Mapping[str, str] = NOTHING, timeout_s: float = TIMEOUT_S
    ) -> Result[Sequence[ServiceSummary]]:
        """In order of name."""
        request = catalog_pb2.ListServicesRequest(header=self._header(b"", timeout_s), options=_options(options), node_meta=node_meta)
        answer = await _call(self._stub.ListServices(request, timeout=_longest(options, timeout_s)))
        return _result([summary_from_proto(summary) for summary in answer.services], answer.meta)

    async def list_service_instances(
        self,
        service: str,
        options: ReadOptions = DEFAULT,
        *,
        tags: Iterable[str] = (),
        node_meta: Mapping[str, str] = NOTHING,
        passing_only: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> Result[Sequence[ServiceInstance]]:
        """Instances that have all of the tags, in order of node and ID."""
        request = catalog_pb2.ListServiceInstancesRequest(
            header=self._header(b"", timeout_s),
            options=_options(options),
            service=service,
            tags=tags,
            node_meta=node_meta,
            passing_only=passing_only,
        )
        answer = await _call(self._stub.ListServiceInstances(request, timeout=_longest(options, timeout_s)))
        return _result([instance_from_proto(instance) for instance in answer.instances], answer.meta)

    async def list_node_services(
        self, node: str, options: ReadOptions = DEFAULT, *, timeout_s: float = TIMEOUT_S
    ) -> Result[NodeContent | None]:
        """What is on the node of that name or ID; None when there is no such node."""
        request = catalog_pb2.ListNodeServicesRequest(header=self._header(b"", timeout_s), options=_options(options), node=node)
        answer = await _call(self._stub.ListNodeServices(request, timeout=_longest(options, timeout_s)))
        content = None
        if answer.HasField("node"):
            services = [service_from_proto(service) for service in answer.services]
            content = NodeContent(node_from_proto(answer.node), services, [check_from_proto(check) for check in answer.checks])
        return _result(content, answer.meta)

    async def list_checks(
        self,
        options: ReadOptions = DEFAULT,
        *,
        node: str = "",
        service: str = "",
        state: HealthStatus | None = None,
        node_meta: Mapping[str, str] = NOTHING,
        timeout_s: float = TIMEOUT_S,
    ) -> Result[Sequence[Check]]:
        """Checks of the node, else of the service, else in the state (any when None), in order of node and ID."""
        request = catalog_pb2.ListChecksRequest(header=self._header(b"", timeout_s), options=_options(options), node_meta=node_meta)
        if node:
            request.node = node
        elif service:
            request.service = service
        else:
            request.state = status_to_proto(state) if state is not None else catalog_pb2.HEALTH_STATUS_UNSPECIFIED
        answer = await _call(self._stub.ListChecks(request, timeout=_longest(options, timeout_s)))
        return _result([check_from_proto(check) for check in answer.checks], answer.meta)

    def _header(self, request_id: bytes, timeout_s: float) -> common_pb2.RequestHeader:
        return common_pb2.RequestHeader(datacenter=self._datacenter, request_id=request_id, timeout_ms=milliseconds(timeout_s))


def _options(options: ReadOptions) -> common_pb2.ReadOptions:
    return common_pb2.ReadOptions(
        consistency=common_pb2.Consistency.ValueType(options.consistency.value),
        wait_index=options.wait_index,
        wait_ms=round(options.wait_s * 1000),
        filter=options.filter,
    )


def _longest(options: ReadOptions, timeout_s: float) -> float:
    return timeout_s + (options.wait_s or 300.0) if options.wait_index else timeout_s


def _result(value: T, meta: common_pb2.ReadMeta) -> Result[T]:
    return Result(value, meta.index, meta.known_leader, meta.last_contact_ms, Consistency(meta.consistency or 1))


async def _call(call: Any) -> Any:
    try:
        return await call
    except aio.AioRpcError as error:
        raise error_from_rpc(error) from None
    except aio.UsageError as error:
        raise Unavailable(str(error)) from None
