"""AgentService: proto to domain and back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec.structs import replace

from rostra.errors import BadRequest, NotFound
from rostra.filters import CHECK, SERVICE, compile_filter
from rostra.local.core import maintenance_check_id
from rostra.local.driver import LocalDriver
from rostra.local.rules import SCRIPTS_OFF, is_script, name_checks
from rostra.model.catalog import NO_DEFINITION, Check, Service
from rostra.model.identity import Identity
from rostra.model.proto import check_to_proto, definition_from_proto, service_from_proto, service_to_proto, status_from_proto
from rostra.rpc.pages import first_page
from rostra.telemetry.logs import LEVELS, tapped
from rostra.v1 import agent_pb2, agent_pb2_grpc, catalog_pb2, common_pb2

MAX_WAIT_S: Final = 3600.0


class Agent(Protocol):
    """The process around the roles, as far as it can be asked and told."""

    @property
    def identity(self) -> Identity: ...

    @property
    def version(self) -> str: ...

    def config_json(self) -> str:
        """The effective configuration, secrets masked."""
        ...

    async def stats(self) -> Mapping[str, Mapping[str, str]]:
        """Groups of numbers for ``rostra info``."""
        ...

    async def join(self, addresses: Sequence[str], *, wan: bool) -> int:
        """Returns how many answered."""
        ...

    async def leave(self) -> None:
        """Returns when the cluster has been told; the process then stops."""
        ...

    async def force_leave(self, name: str, *, prune: bool, wan: bool) -> None: ...

    def reload(self) -> Awaitable[tuple[Sequence[str], Sequence[str]]]:
        """Returns the keys now in force and those that need a restart."""
        ...


class AgentServicer(agent_pb2_grpc.AgentServiceServicer):
    """Every decision is in the core or the agent. ``with_scripts``: whether callers may have their scripts run."""

    def __init__(self, driver: LocalDriver, agent: Agent, *, with_scripts: bool = False) -> None:
        self._driver = driver
        self._agent = agent
        self._with_scripts = with_scripts

    async def GetSelf(self, request: agent_pb2.GetSelfRequest, context: Any) -> agent_pb2.GetSelfResponse:
        who = self._agent.identity
        stats = {group: agent_pb2.StatGroup(values=values) for group, values in (await self._agent.stats()).items()}
        return agent_pb2.GetSelfResponse(
            node=common_pb2.NodeIdentity(name=who.name, id=who.id, datacenter=who.datacenter),
            version=self._agent.version,
            server=who.server,
            config_json=self._agent.config_json(),
            stats=stats,
        )

    async def RegisterService(self, request: agent_pb2.RegisterServiceRequest, context: Any) -> agent_pb2.RegisterServiceResponse:
        service = service_from_proto(request.service)
        checks = [self._check(each) for each in request.checks]
        await self._driver.change(
            lambda state, now: state.register_service(service, checks, replace_checks=request.replace_existing_checks, now=now)
        )
        return agent_pb2.RegisterServiceResponse(
            service_id=service.id, check_ids=[check.check_id for check in name_checks(service, checks)]
        )

    async def DeregisterService(self, request: agent_pb2.DeregisterServiceRequest, context: Any) -> agent_pb2.DeregisterServiceResponse:
        gone = [check.check_id for check in self._driver.state.checks().values() if check.service_id == request.service_id]
        await self._driver.change(lambda state, now: state.deregister_service(request.service_id, now))
        return agent_pb2.DeregisterServiceResponse(check_ids=gone)

    async def ListLocalServices(self, request: agent_pb2.ListLocalServicesRequest, context: Any) -> agent_pb2.ListLocalServicesResponse:
        wanted = compile_filter(request.filter, SERVICE) if request.filter else None
        services = (
            service_to_proto(service)
            for service in self._asked(request.service_id)
            if service.id > request.after and request.service_name in ("", service.name) and (wanted is None or wanted(service))
        )
        page, more = first_page(services, paged=request.paged)
        return agent_pb2.ListLocalServicesResponse(services=page, more=more)

    def _asked(self, service_id: str) -> Iterable[Service]:
        """One of the node's services, or all: a balancer that asks for one, again and again, must not cost what all cost."""
        state = self._driver.state
        if not service_id:
            return state.services().values()
        service = None if service_id in state.own_services() else state.service(service_id)
        return () if service is None else (service,)

    async def WaitForLocalService(
        self, request: agent_pb2.WaitForLocalServiceRequest, context: Any
    ) -> agent_pb2.WaitForLocalServiceResponse:
        service_id = request.known.id
        if not service_id:
            raise BadRequest("known.id is required", field="known.id")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(request.timeout_ms / 1000, MAX_WAIT_S)):
                while self._service(service_id) == request.known:
                    await self._driver.service_changed(service_id)
        return agent_pb2.WaitForLocalServiceResponse(service=self._service(service_id))

    def _service(self, service_id: str) -> catalog_pb2.Service:
        service = next(iter(self._asked(service_id)), None)
        if service is None:
            raise NotFound(f"unknown service ID: {service_id}")
        return service_to_proto(service)

    async def RegisterCheck(self, request: agent_pb2.RegisterCheckRequest, context: Any) -> agent_pb2.RegisterCheckResponse:
        check = self._check(request.check)
        await self._driver.change(lambda state, now: state.register_check(check, now))
        return agent_pb2.RegisterCheckResponse(check_id=check.check_id or check.name)

    async def DeregisterCheck(self, request: agent_pb2.DeregisterCheckRequest, context: Any) -> agent_pb2.DeregisterCheckResponse:
        await self._driver.change(lambda state, now: state.deregister_check(request.check_id, now))
        return agent_pb2.DeregisterCheckResponse()

    async def ListLocalChecks(self, request: agent_pb2.ListLocalChecksRequest, context: Any) -> agent_pb2.ListLocalChecksResponse:
        wanted = compile_filter(request.filter, CHECK) if request.filter else None
        state = self._driver.state
        concerning = ("", *request.concerning) if request.concerning else None
        checks = (
            # Without how they are run, as Consul lists them: headers and arguments may be secret.
            check_to_proto(replace(check, definition=NO_DEFINITION))
            for check in (state.checks().values() if concerning is None else state.checks_concerning(concerning))
            if check.check_id > request.after and (wanted is None or wanted(check))
        )
        page, more = first_page(checks, paged=request.paged)
        return agent_pb2.ListLocalChecksResponse(checks=page, more=more)

    async def UpdateTtl(self, request: agent_pb2.UpdateTtlRequest, context: Any) -> agent_pb2.UpdateTtlResponse:
        if request.status == catalog_pb2.HEALTH_STATUS_UNSPECIFIED:
            raise BadRequest("status is required: passing, warning or critical", field="status")
        status = status_from_proto(request.status)
        ttl_s = self._driver.update_ttl(request.check_id, status, request.output)
        return agent_pb2.UpdateTtlResponse(ttl_ms=round(ttl_s * 1000))

    async def SetMaintenance(self, request: agent_pb2.SetMaintenanceRequest, context: Any) -> agent_pb2.SetMaintenanceResponse:
        await self._driver.change(
            lambda state, now: state.set_maintenance(request.service_id, enable=request.enable, reason=request.reason, now=now)
        )
        return agent_pb2.SetMaintenanceResponse(check_id=maintenance_check_id(request.service_id))

    async def Join(self, request: agent_pb2.AgentServiceJoinRequest, context: Any) -> agent_pb2.AgentServiceJoinResponse:
        return agent_pb2.AgentServiceJoinResponse(joined=await self._agent.join(request.addresses, wan=request.wan))

    async def Leave(self, request: agent_pb2.AgentServiceLeaveRequest, context: Any) -> agent_pb2.AgentServiceLeaveResponse:
        await self._agent.leave()
        return agent_pb2.AgentServiceLeaveResponse()

    async def ForceLeave(self, request: agent_pb2.AgentServiceForceLeaveRequest, context: Any) -> agent_pb2.AgentServiceForceLeaveResponse:
        await self._agent.force_leave(request.name, prune=request.prune, wan=request.wan)
        return agent_pb2.AgentServiceForceLeaveResponse()

    async def Reload(self, request: agent_pb2.ReloadRequest, context: Any) -> agent_pb2.ReloadResponse:
        applied, needs_restart = await self._agent.reload()
        return agent_pb2.ReloadResponse(applied=applied, needs_restart=needs_restart)

    async def StreamLogs(self, request: agent_pb2.StreamLogsRequest, context: Any) -> AsyncIterator[agent_pb2.StreamLogsResponse]:
        level = request.level or "info"
        if level not in LEVELS:
            raise BadRequest(f"Unknown log level: {level}", field="level")
        news = asyncio.Event()
        with tapped(level, as_json=request.json, notify=news.set) as tap:
            while True:
                await news.wait()
                news.clear()
                lines, lost = tap.take()
                for line in lines:
                    yield agent_pb2.StreamLogsResponse(line=line, lost=lost)
                    lost = 0

    def _check(self, message: agent_pb2.LocalCheck) -> Check:
        definition = definition_from_proto(message.definition)
        check = Check(
            node="",
            check_id=message.check_id,
            name=message.name,
            status=status_from_proto(message.status),
            notes=message.notes,
            service_id=message.service_id,
            definition=definition,
        )
        if is_script(check) and not self._with_scripts:
            raise BadRequest(SCRIPTS_OFF, field="Args")
        return check
