"""CatalogService: single reads and writes, proto <-> domain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from rostra.catalog import queries
from rostra.catalog.autopilot_desk import AutopilotDesk
from rostra.catalog.datacenters import Datacenters, in_any_datacenter
from rostra.catalog.driver import CatalogDriver
from rostra.catalog.leadership import LeadershipWatch
from rostra.catalog.reads import Reads
from rostra.catalog.state import CatalogState
from rostra.catalog.store import fold
from rostra.catalog.writes import Writes
from rostra.clients.consensus import ConsensusClient, RaftMember, configuration_to_proto
from rostra.errors import BadRequest, Unavailable, Unsupported
from rostra.filters import CHECK, SERVICE, SUMMARY, Predicate, Schema, compile_filter, schemas_of
from rostra.model.catalog import Command
from rostra.model.consistency import Consistency
from rostra.model.proto import (
    autopilot_change_from_proto,
    autopilot_state_to_proto,
    check_to_proto,
    coordinates_to_proto,
    deregistration_from_proto,
    instance_to_proto,
    node_to_proto,
    registration_from_proto,
    service_to_proto,
    status_from_proto,
    summary_to_proto,
)
from rostra.model.topics import NODES, SERVICES, Topic, TopicKind
from rostra.v1 import catalog_pb2, catalog_pb2_grpc, common_pb2

DEFAULT_WAIT_S: Final = 300.0
MAX_WAIT_S: Final = 600.0
MAX_ANSWER_BYTES: Final = (1 << 20) - 1024
"""A message is at most 1 MiB; who wants more watches."""
SLICE: Final = 64
"""Records turned into messages in one turn of the loop, about a millisecond's work."""

Record = TypeVar("Record")


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Reads come from the driver's state, once ``reads`` says that it is fresh enough."""

    def __init__(
        self,
        driver: CatalogDriver,
        reads: Reads,
        writes: Writes,
        leadership: LeadershipWatch,
        datacenters: Datacenters,
        autopilot: AutopilotDesk,
        consensus: ConsensusClient,
    ) -> None:
        self.datacenters = datacenters
        self._consensus = consensus
        self._autopilot = autopilot
        self._driver = driver
        self._reads = reads
        self._writes = writes
        self._leadership = leadership
        self._schemas = schemas_of(datacenters.own)

    @in_any_datacenter
    async def Register(self, request: catalog_pb2.RegisterRequest, context: Any) -> catalog_pb2.RegisterResponse:
        index = await self._write(request.header, registration_from_proto(request.registration))
        return catalog_pb2.RegisterResponse(index=index)

    @in_any_datacenter
    async def Deregister(self, request: catalog_pb2.DeregisterRequest, context: Any) -> catalog_pb2.DeregisterResponse:
        index = await self._write(request.header, deregistration_from_proto(request.deregistration))
        return catalog_pb2.DeregisterResponse(index=index)

    async def ListDatacenters(self, request: catalog_pb2.ListDatacentersRequest, context: Any) -> catalog_pb2.ListDatacentersResponse:
        found = await self.datacenters.list()
        known = [catalog_pb2.Datacenter(name=each.name, servers=each.servers) for each in found]
        return catalog_pb2.ListDatacentersResponse(datacenters=[each.name for each in found], known=known)

    @in_any_datacenter
    async def GetAutopilot(self, request: catalog_pb2.GetAutopilotRequest, context: Any) -> catalog_pb2.GetAutopilotResponse:
        return autopilot_state_to_proto(await self._autopilot.state())

    @in_any_datacenter
    async def SetAutopilot(self, request: catalog_pb2.SetAutopilotRequest, context: Any) -> catalog_pb2.SetAutopilotResponse:
        index = await self._write(request.header, autopilot_change_from_proto(request.change))
        return catalog_pb2.SetAutopilotResponse(index=index)

    @in_any_datacenter
    async def GetServers(self, request: catalog_pb2.GetServersRequest, context: Any) -> catalog_pb2.GetServersResponse:
        found = await self._consensus.get_configuration(from_leader=request.from_leader)
        return catalog_pb2.GetServersResponse(servers=configuration_to_proto(found))

    @in_any_datacenter
    async def RemoveServer(self, request: catalog_pb2.RemoveServerRequest, context: Any) -> catalog_pb2.RemoveServerResponse:
        if not request.id.node_id:
            raise BadRequest("Missing node ID", field="id.node_id")
        server = RaftMember(request.id.node_id, request.id.store_id, "", "", voter=False)
        return catalog_pb2.RemoveServerResponse(index=await self._consensus.remove(server))

    @in_any_datacenter
    async def HandOverLeadership(
        self, request: catalog_pb2.HandOverLeadershipRequest, context: Any
    ) -> catalog_pb2.HandOverLeadershipResponse:
        return catalog_pb2.HandOverLeadershipResponse(leader=await self._consensus.transfer_leadership(request.node_id))

    @in_any_datacenter
    async def ListNodeCoordinates(
        self, request: catalog_pb2.ListNodeCoordinatesRequest, context: Any
    ) -> catalog_pb2.ListNodeCoordinatesResponse:
        coordinates = await self.datacenters.node_coordinates()
        return catalog_pb2.ListNodeCoordinatesResponse(coordinates=coordinates_to_proto(coordinates))

    @in_any_datacenter
    async def ListNodes(self, request: catalog_pb2.ListNodesRequest, context: Any) -> catalog_pb2.ListNodesResponse:
        wanted = _wanted(request.options, self._schemas.node)
        meta = await self._read(request.header, request.options, lambda: (NODES,))
        found = queries.nodes(self._state.store, request.node_meta)
        return catalog_pb2.ListNodesResponse(nodes=await _messages(found, node_to_proto, wanted), meta=meta)

    @in_any_datacenter
    async def ListServices(self, request: catalog_pb2.ListServicesRequest, context: Any) -> catalog_pb2.ListServicesResponse:
        wanted = _wanted(request.options, SUMMARY)
        topics = (SERVICES, NODES) if request.node_meta else (SERVICES,)
        meta = await self._read(request.header, request.options, lambda: topics)
        found = queries.services(self._state.store, request.node_meta)
        return catalog_pb2.ListServicesResponse(services=await _messages(found, summary_to_proto, wanted), meta=meta)

    @in_any_datacenter
    async def ListServiceInstances(
        self, request: catalog_pb2.ListServiceInstancesRequest, context: Any
    ) -> catalog_pb2.ListServiceInstancesResponse:
        if not request.service:
            raise BadRequest("Missing service name", field="service")
        wanted = _wanted(request.options, self._schemas.instance)
        meta = await self._read(request.header, request.options, lambda: (Topic(TopicKind.SERVICE, fold(request.service)),))
        found = queries.instances(
            self._state.store,
            request.service,
            tags=request.tags,
            node_meta=request.node_meta,
            passing_only=request.passing_only,
        )
        return catalog_pb2.ListServiceInstancesResponse(instances=await _messages(found, instance_to_proto, wanted), meta=meta)

    @in_any_datacenter
    async def ListNodeServices(self, request: catalog_pb2.ListNodeServicesRequest, context: Any) -> catalog_pb2.ListNodeServicesResponse:
        if not request.node:
            raise BadRequest("Missing node name", field="node")
        wanted = _wanted(request.options, SERVICE)

        def topics() -> Sequence[Topic]:
            node = queries.find_node(self._state.store, request.node)
            return (Topic(TopicKind.NODE, fold(request.node if node is None else node.name)),)

        meta = await self._read(request.header, request.options, topics)
        store = self._state.store
        node = queries.find_node(store, request.node)
        if node is None:
            return catalog_pb2.ListNodeServicesResponse(meta=meta)
        services, checks = store.services_on(fold(node.name)), store.checks_on(fold(node.name))
        return catalog_pb2.ListNodeServicesResponse(
            node=node_to_proto(node),
            services=await _messages(services, service_to_proto, wanted),
            checks=await _messages(checks, check_to_proto),
            meta=meta,
        )

    @in_any_datacenter
    async def ListChecks(self, request: catalog_pb2.ListChecksRequest, context: Any) -> catalog_pb2.ListChecksResponse:
        wanted = _wanted(request.options, CHECK)
        match request.WhichOneof("scope"):
            case "node":
                topics: Sequence[Topic] = (Topic(TopicKind.NODE, fold(request.node)),)
            case "service":
                topics = (Topic(TopicKind.SERVICE, fold(request.service)),)
            case "state":
                name = status_from_proto(request.state).value if request.state else "any"
                topics = (Topic(TopicKind.CHECKS, name), *((NODES,) if request.node_meta else ()))
            case _:
                raise BadRequest("a node, a service or a state is required", field="scope")
        meta = await self._read(request.header, request.options, lambda: topics)
        store, name = self._state.store, topics[0].name
        if topics[0].kind is TopicKind.SERVICE:
            found = queries.checks_of_service(store, name, request.node_meta)
        elif topics[0].kind is TopicKind.CHECKS:
            found = queries.checks_in_state(store, name, request.node_meta)
        else:
            node = store.nodes.get(name)
            found = queries.checks_of_node(store, name) if node is not None and queries.has_meta(node, request.node_meta) else []
        return catalog_pb2.ListChecksResponse(checks=await _messages(found, check_to_proto, wanted), meta=meta)

    @property
    def _state(self) -> CatalogState:
        return self._driver.state

    async def _write(self, header: common_pb2.RequestHeader, command: Command) -> int:
        return await self._writes.write(command, request_id=header.request_id, timeout_s=_timeout_s(header))

    async def _read(
        self, header: common_pb2.RequestHeader, options: common_pb2.ReadOptions, topics: Callable[[], Sequence[Topic]]
    ) -> common_pb2.ReadMeta:
        """Waits until the state is as fresh as asked and, for a blocking query, changed. Nothing is awaited after that: the
        caller reads the state that the meta is of."""
        consistency = Consistency(options.consistency or Consistency.DEFAULT.value)
        await self._reads.be_fresh(consistency, _timeout_s(header))
        if not self._driver.cluster_id:
            raise Unavailable("the catalog has not been loaded yet")
        if options.wait_index and not await self._wait(options, topics):
            await self._reads.be_fresh(consistency, _timeout_s(header))
        contact = self._leadership.contact(self._state.applied_index)
        return common_pb2.ReadMeta(
            index=queries.last_change(self._state, topics()),
            known_leader=contact.known_leader,
            last_contact_ms=contact.last_contact_ms,
            consistency=common_pb2.Consistency.ValueType(consistency.value),
        )

    async def _wait(self, options: common_pb2.ReadOptions, topics: Callable[[], Sequence[Topic]]) -> bool:
        """Whether the answer's index passed the one that was waited for."""
        wait_s = min(options.wait_ms / 1000 or DEFAULT_WAIT_S, MAX_WAIT_S)
        try:
            async with asyncio.timeout(wait_s):
                while queries.last_change(self._state, topics()) <= options.wait_index:
                    await self._driver.publications.changed(topics())
        except TimeoutError:
            return False
        return True


def _timeout_s(header: common_pb2.RequestHeader) -> float | None:
    return header.timeout_ms / 1000 or None


def _wanted(options: common_pb2.ReadOptions, schema: Schema) -> Predicate | None:
    """Which records of that kind the caller wants; None for all. What is wrong with the expression is told before anything is read."""
    return compile_filter(options.filter, schema) if options.filter else None


async def _messages(records: Iterable[Record], convert: Callable[[Record], Any], wanted: Predicate | None = None) -> list[Any]:
    """The wanted records as messages, made in slices. Records are immutable: the state may go on meanwhile."""
    messages: list[Any] = []
    size = 0
    for count, record in enumerate(list(records), 1):
        if count % SLICE == 0:
            await asyncio.sleep(0)
        if wanted is not None and not wanted(record):
            continue
        message = convert(record)
        size += message.ByteSize() + 4
        if size > MAX_ANSWER_BYTES:
            raise Unsupported(f"the answer takes more than {MAX_ANSWER_BYTES} bytes: narrow it, or use CatalogStreamService.Watch")
        messages.append(message)
    return messages
