"""``/v1/agent``: the agent itself, its members, services and checks. https://developer.hashicorp.com/consul/api-docs/agent"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from rostra.clients.gossip import LAN, WAN
from rostra.errors import NotFound
from rostra.gateway.answer import Answer, HttpError
from rostra.gateway.ask import Ask, required_flag
from rostra.gateway.bodies import decode_body
from rostra.gateway.catalog import render_json
from rostra.gateway.members import MemberRecord, member_record
from rostra.gateway.records import agent_service_record, check_record
from rostra.gateway.registrations import AgentCheckBody, AgentServiceBody, TtlBody, agent_service, check_status, local_check
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.upstreams import AgentDoor, GossipDoor
from rostra.model.catalog import HealthStatus
from rostra.model.coordinates import Coordinate

DONE = Answer()
"""What Consul says to a write of the agent that was done: 200 and nothing."""


class AgentEndpoints:
    """Each public method is an endpoint."""

    def __init__(self, agent: AgentDoor, gossip: GossipDoor, settings: GatewaySettings) -> None:
        self._agent = agent
        self._gossip = gossip
        self._settings = settings

    async def self(self, ask: Ask) -> Answer:
        """``DebugConfig`` is the effective configuration, secrets masked: of no promised shape, as in Consul."""
        description = await self._agent.get_self()
        identity = description.identity
        members, _ = await self._gossip.list_members()
        member = next((each for each in members if each.name == identity.name), None)
        configuration = msgspec.json.decode(description.config_json)
        record = SelfRecord(
            config=ConfigRecord(identity.datacenter, identity.name, identity.id, identity.server, description.version),
            debug_config=configuration,
            coord=coordinate_record((await self._gossip.list_coordinates()).get(identity.name, Coordinate())),
            member=member_record(member) if member else None,
            stats=description.stats,
            meta=configuration.get("node_meta") or {},
        )
        return render_json(ask, record, self._settings)

    async def members(self, ask: Ask) -> Answer:
        if ask.parameters.get("segment", "") not in ("", "_all"):
            raise HttpError(500, "Network segments are not supported in this version of Consul")
        members, _ = await self._gossip.list_members(pool(ask))
        return render_json(ask, [member_record(member) for member in members], self._settings)

    async def join(self, ask: Ask) -> Answer:
        if not ask.tail:
            raise HttpError(400, "Missing address to join")
        await self._gossip.join([ask.tail], pool(ask))
        return DONE

    async def leave(self, _ask: Ask) -> Answer:
        await self._agent.leave()
        return DONE

    async def force_leave(self, ask: Ask) -> Answer:
        try:
            await self._gossip.force_leave(ask.tail, "prune" in ask.parameters, pool(ask))
        except NotFound:
            raise HttpError(500, f"agent: No node found with name '{ask.tail}'") from None
        return DONE

    async def reload(self, _ask: Ask) -> Answer:
        await self._agent.reload()
        return DONE

    async def maintenance(self, ask: Ask) -> Answer:
        enable = required_flag(ask.parameters, "enable")
        await self._agent.set_maintenance(enable, ask.parameters.get("reason"))
        return DONE

    async def services(self, ask: Ask) -> Answer:
        services = await self._agent.list_services()
        return render_json(ask, {service.id: agent_service_record(service) for service in services}, self._settings)

    async def checks(self, ask: Ask) -> Answer:
        checks = await self._agent.list_checks()
        return render_json(ask, {check.check_id: check_record(check) for check in checks}, self._settings)

    async def register_service(self, ask: Ask) -> Answer:
        body = decode_body(ask.body, AgentServiceBody)
        service, checks = agent_service(body)
        replace = "replace-existing-checks" in ask.parameters
        await self._agent.register_service(service, checks, replace_existing_checks=replace, token=body.token)
        return DONE

    async def deregister_service(self, ask: Ask) -> Answer:
        """One that is not there is gone already: 200, as in 1.8.7."""
        if not ask.tail:
            raise HttpError(400, "ServiceID missing")
        try:
            await self._agent.deregister_service(ask.tail)
        except NotFound:
            return DONE
        return DONE

    async def service_maintenance(self, ask: Ask) -> Answer:
        if not ask.tail:
            raise HttpError(400, "Missing service ID")
        enable = required_flag(ask.parameters, "enable")
        try:
            await self._agent.set_maintenance(enable, ask.parameters.get("reason"), ask.tail)
        except NotFound:
            raise HttpError(404, f'No service registered with ID "{ask.tail}"') from None
        return DONE

    async def register_check(self, ask: Ask) -> Answer:
        body = decode_body(ask.body, AgentCheckBody)
        if not body.name:
            raise HttpError(400, "Missing check name")
        try:
            await self._agent.register_check(local_check(body), token=body.token)
        except NotFound:
            raise HttpError(400, f'ServiceID "{body.service_id}" does not exist') from None
        return DONE

    async def deregister_check(self, ask: Ask) -> Answer:
        """One that is not there is gone already: 200, as in 1.8.7."""
        if not ask.tail:
            raise HttpError(400, "CheckID missing")
        try:
            await self._agent.deregister_check(ask.tail)
        except NotFound:
            return DONE
        return DONE

    async def check_pass(self, ask: Ask) -> Answer:
        return await self._update(ask.tail, HealthStatus.PASSING, ask.parameters.get("note"))

    async def check_warn(self, ask: Ask) -> Answer:
        return await self._update(ask.tail, HealthStatus.WARNING, ask.parameters.get("note"))

    async def check_fail(self, ask: Ask) -> Answer:
        return await self._update(ask.tail, HealthStatus.CRITICAL, ask.parameters.get("note"))

    async def check_update(self, ask: Ask) -> Answer:
        body = decode_body(ask.body, TtlBody)
        return await self._update(ask.tail, check_status(body.status), body.output)

    async def _update(self, check_id: str, status: HealthStatus, output: str) -> Answer:
        try:
            await self._agent.update_ttl(check_id, status, output)
        except NotFound:
            raise HttpError(404, f'CheckID "{check_id}" does not have associated TTL') from None
        return DONE


class ConfigRecord(msgspec.Struct, rename="pascal"):
    """The part of the configuration whose shape is promised."""

    datacenter: str
    node_name: str
    node_id: str = msgspec.field(name="NodeID")
    server: bool
    version: str
    revision: str = ""


class CoordinateRecord(msgspec.Struct, rename="pascal"):
    """https://developer.hashicorp.com/consul/api-docs/coordinate"""

    vec: tuple[float, ...]
    error: float
    adjustment: float
    height: float


class SelfRecord(msgspec.Struct, rename="pascal"):
    """``/v1/agent/self``."""

    config: ConfigRecord
    debug_config: dict[str, Any]
    coord: CoordinateRecord
    member: MemberRecord | None
    stats: Mapping[str, Mapping[str, str]]
    meta: dict[str, str]


def coordinate_record(coordinate: Coordinate) -> CoordinateRecord:
    return CoordinateRecord(coordinate.vector, coordinate.error, coordinate.adjustment, coordinate.height)


def pool(ask: Ask) -> str:
    """Which pool is meant; ``wan`` counts whatever its value, as in Consul."""
    return WAN if "wan" in ask.parameters else LAN
