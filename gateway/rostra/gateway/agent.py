"""``/v1/agent``: the agent itself and its members; its services and checks are in ``local``. https://developer.hashicorp.com/consul/api-docs/agent"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rostra.clients.gossip import LAN, WAN
from rostra.errors import NotFound
from rostra.filters import MEMBER, compile_filter
from rostra.gateway.answer import DONE, TEXT, VARY, Answer, HttpError, StreamedAnswer
from rostra.gateway.ask import Ask, is_set, required_flag
from rostra.gateway.catalog import render_json
from rostra.gateway.coordinates import CoordinateRecord, coordinate_record
from rostra.gateway.members import MemberRecord, member_record
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.upstreams import AgentDoor, GossipDoor
from rostra.model.coordinates import Coordinate

LOG_LEVELS: Final = {
    "trace": "trace",
    "debug": "debug",
    "info": "info",
    "warn": "warn",
    "warning": "warn",
    "err": "error",
    "error": "error",
}


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
        text = ask.parameters.get("filter")
        wanted = compile_filter(text, MEMBER) if text else None
        members, _ = await self._gossip.list_members(pool(ask))
        records = [member_record(member) for member in members]
        return render_json(ask, [record for record in records if wanted is None or wanted(record)], self._settings)

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

    async def version(self, _ask: Ask) -> Answer:
        """https://developer.hashicorp.com/consul/api-docs/agent#view-agent-version (1.16)"""
        description = await self._agent.get_self()
        return render_json(_ask, VersionRecord(human_version=description.version), self._settings)

    async def monitor(self, ask: Ask) -> StreamedAnswer:
        """The log from now on, until the client goes."""
        level = ask.parameters.get("loglevel") or "info"
        if level.lower() not in LOG_LEVELS:
            raise HttpError(400, f"Bad request: Unknown log level: {level}")
        as_json = is_set(ask.parameters, "logjson")
        lines = self._agent.stream_logs(LOG_LEVELS[level.lower()], json=as_json)
        return StreamedAnswer((TEXT, VARY), (line.encode(errors="replace") + b"\n" async for line in lines))


class ConfigRecord(msgspec.Struct, rename="pascal"):
    """The part of the configuration whose shape is promised."""

    datacenter: str
    node_name: str
    node_id: str = msgspec.field(name="NodeID")
    server: bool
    version: str
    revision: str = ""


class VersionRecord(msgspec.Struct, rename="pascal"):
    """``/v1/agent/version``."""

    sha: str = msgspec.field(name="SHA", default="")
    build_date: str = "0001-01-01T00:00:00Z"
    human_version: str = ""
    fips: str = msgspec.field(name="FIPS", default="")


class SelfRecord(msgspec.Struct, rename="pascal"):
    """``/v1/agent/self``."""

    config: ConfigRecord
    debug_config: dict[str, Any]
    coord: CoordinateRecord
    member: MemberRecord | None
    stats: Mapping[str, Mapping[str, str]]
    meta: dict[str, str]


def pool(ask: Ask) -> str:
    """Which pool is meant; ``wan`` counts whatever its value, as in Consul."""
    return WAN if "wan" in ask.parameters else LAN
