"""Client of ``AgentService``: a node's own services and checks, and its agent. Domain values in and out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from grpc import aio

from rostra.model.catalog import NO_DEFINITION, Check, CheckDefinition, HealthStatus, Service
from rostra.model.identity import Identity
from rostra.model.proto import check_from_proto, definition_to_proto, service_from_proto, service_to_proto, status_to_proto
from rostra.rpc.pages import all_pages
from rostra.rpc.status import error_from_rpc
from rostra.v1 import agent_pb2
from rostra.v1.agent_pb2_grpc import AgentServiceStub

Request = TypeVar("Request")
Response = TypeVar("Response")

TIMEOUT_S: Final = 7.0
"""The hold time: longest wait for an agent that is there; one that is not fails at once."""
LEAVE_TIMEOUT_S: Final = 60.0
"""Leaving drains: it takes as long as the configuration says, and then some."""


@dataclass(frozen=True, slots=True)
class LocalCheck:
    """A check that an agent is to run. An empty ``check_id`` is made by the agent."""

    name: str = ""
    check_id: str = ""
    notes: str = ""
    status: HealthStatus = HealthStatus.CRITICAL
    definition: CheckDefinition = NO_DEFINITION
    service_id: str = ""


@dataclass(frozen=True, slots=True)
class AgentDescription:
    """An agent: who, which version, its effective configuration (a JSON object of Consul's key names), and groups of numbers."""

    identity: Identity
    version: str
    config_json: str = "{}"
    stats: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class AgentClient:
    """Raises the errors of ``rostra.errors`` that the agent raised."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = AgentServiceStub(channel)

    async def get_self(self, timeout_s: float = TIMEOUT_S) -> AgentDescription:
        """Who the agent is, and how it does."""
        answer = await _call(self._stub.GetSelf, agent_pb2.GetSelfRequest(), timeout_s)
        node = answer.node
        return AgentDescription(
            identity=Identity(node.name, node.id, node.datacenter, server=answer.server),
            version=answer.version,
            config_json=answer.config_json or "{}",
            stats={name: dict(group.values) for name, group in answer.stats.items()},
        )

    async def list_services(self, *, service_id: str = "", name: str = "", timeout_s: float = TIMEOUT_S) -> Sequence[Service]:
        """This node's services, or those of that ID or name, in order of ID."""

        def ask(after: str) -> Awaitable[agent_pb2.ListLocalServicesResponse]:
            request = agent_pb2.ListLocalServicesRequest(paged=True, after=after, service_id=service_id, service_name=name)
            return _call(self._stub.ListLocalServices, request, timeout_s)

        pages = all_pages(ask, lambda answer: str(answer.services[-1].id))
        return [service_from_proto(service) async for answer in pages for service in answer.services]

    async def wait_for_service(self, known: Service, wait_s: float) -> Service:
        """The service of that ID once it is another than ``known``, or as it is after ``wait_s``. Raises ``NotFound``."""
        request = agent_pb2.WaitForLocalServiceRequest(known=service_to_proto(known), timeout_ms=round(wait_s * 1000))
        answer = await _call(self._stub.WaitForLocalService, request, wait_s + TIMEOUT_S)
        return service_from_proto(answer.service)

    async def list_checks(self, *, concerning: Sequence[str] = (), timeout_s: float = TIMEOUT_S) -> Sequence[Check]:
        """This node's checks in order of ID; ``concerning`` services of these IDs: theirs, and those of the node itself."""

        def ask(after: str) -> Awaitable[agent_pb2.ListLocalChecksResponse]:
            request = agent_pb2.ListLocalChecksRequest(paged=True, after=after, concerning=concerning)
            return _call(self._stub.ListLocalChecks, request, timeout_s)

        pages = all_pages(ask, lambda answer: str(answer.checks[-1].check_id))
        return [check_from_proto(check) async for answer in pages for check in answer.checks]

    async def register_service(
        self, service: Service, checks: Sequence[LocalCheck] = (), *, replace_existing_checks: bool = False, token: str = ""
    ) -> None:
        """Adds or replaces a service with its checks."""
        request = agent_pb2.RegisterServiceRequest(
            service=service_to_proto(service),
            checks=[_local_check_to_proto(check) for check in checks],
            replace_existing_checks=replace_existing_checks,
            token=token,
        )
        await _call(self._stub.RegisterService, request, TIMEOUT_S)

    async def deregister_service(self, service_id: str) -> None:
        """Raises ``NotFound`` when the node has no such service."""
        await _call(self._stub.DeregisterService, agent_pb2.DeregisterServiceRequest(service_id=service_id), TIMEOUT_S)

    async def register_check(self, check: LocalCheck, *, token: str = "") -> None:
        """Adds or replaces a check."""
        await _call(self._stub.RegisterCheck, agent_pb2.RegisterCheckRequest(check=_local_check_to_proto(check), token=token), TIMEOUT_S)

    async def deregister_check(self, check_id: str) -> None:
        """Raises ``NotFound`` when the node has no such check."""
        await _call(self._stub.DeregisterCheck, agent_pb2.DeregisterCheckRequest(check_id=check_id), TIMEOUT_S)

    async def update_ttl(self, check_id: str, status: HealthStatus, output: str) -> None:
        """A heartbeat; raises ``NotFound`` when the node has no such TTL check."""
        request = agent_pb2.UpdateTtlRequest(check_id=check_id, status=status_to_proto(status), output=output)
        await _call(self._stub.UpdateTtl, request, TIMEOUT_S)

    async def set_maintenance(self, enable: bool, reason: str = "", service_id: str = "") -> None:
        """Of the node, or of one service; raises ``NotFound`` when the node has no such service."""
        request = agent_pb2.SetMaintenanceRequest(service_id=service_id, enable=enable, reason=reason)
        await _call(self._stub.SetMaintenance, request, TIMEOUT_S)

    async def leave(self) -> None:
        """Returns when the cluster has been told; the agent then stops."""
        await _call(self._stub.Leave, agent_pb2.AgentServiceLeaveRequest(), LEAVE_TIMEOUT_S)

    async def reload(self) -> tuple[Sequence[str], Sequence[str]]:
        """Keys that are in force now, and keys that need a restart."""
        answer = await _call(self._stub.Reload, agent_pb2.ReloadRequest(), TIMEOUT_S)
        return tuple(answer.applied), tuple(answer.needs_restart)

    async def stream_logs(self, level: str = "info", *, json: bool = False) -> AsyncIterator[str]:
        """Lines from now on, until the caller stops. Lines that were dropped because it was slow are told as one."""
        call = self._stub.StreamLogs(agent_pb2.StreamLogsRequest(level=level, json=json))
        try:
            async for message in call:
                if message.lost:
                    yield f"[{message.lost} lines lost: this reader was too slow]"
                yield message.line
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None
        finally:
            call.cancel()


async def _call(method: aio.UnaryUnaryMultiCallable[Request, Response], request: Request, timeout_s: float) -> Response:
    try:
        return await method(request, timeout=timeout_s)
    except aio.AioRpcError as error:
        raise error_from_rpc(error) from None


def _local_check_to_proto(check: LocalCheck) -> agent_pb2.LocalCheck:
    return agent_pb2.LocalCheck(
        check_id=check.check_id,
        name=check.name,
        notes=check.notes,
        status=status_to_proto(check.status),
        definition=definition_to_proto(check.definition),
        service_id=check.service_id,
    )
