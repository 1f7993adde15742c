"""``/v1/agent``'s services and checks: those of this node. https://developer.hashicorp.com/consul/api-docs/agent/service and …/check"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from rostra.errors import NotFound
from rostra.filters import CHECK, SERVICE, compile_filter
from rostra.gateway.answer import DONE, VARY, Answer, HttpError
from rostra.gateway.ask import Ask, read_options, required_flag
from rostra.gateway.bodies import decode_body
from rostra.gateway.catalog import render_encoded, render_json
from rostra.gateway.encoding import encode_json
from rostra.gateway.reads import JITTER_FRACTION, Places
from rostra.gateway.records import (
    AgentHealthCheckRecord,
    AgentServiceRecord,
    agent_health_check_record,
    agent_service_record,
    check_record,
)
from rostra.gateway.registrations import AgentCheckBody, AgentServiceBody, TtlBody, agent_service, check_status, local_check
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.slices import in_turns
from rostra.gateway.upstreams import AgentDoor
from rostra.model.catalog import Check, HealthStatus, Service

HEALTH_CODES: Final = {"passing": 200, "warning": 429, "critical": 503, "maintenance": 503}
"""Aggregated status to HTTP code, from good to bad."""

_MAINTENANCE: Final = ("_node_maintenance", "_service_maintenance:")


class HealthRecord(msgspec.Struct, rename="pascal"):
    """``/v1/agent/health/service/…``."""

    aggregated_status: str
    service: AgentServiceRecord | None
    checks: list[AgentHealthCheckRecord] | None


class LocalEndpoints:
    """Each public method is an endpoint. Queries that block by hash take their place among all that block."""

    def __init__(self, agent: AgentDoor, places: Places, settings: GatewaySettings) -> None:
        self._agent = agent
        self._places = places
        self._settings = settings

    async def services(self, ask: Ask) -> Answer:
        text = ask.parameters.get("filter")
        wanted = compile_filter(text, SERVICE) if text else None
        services = await self._agent.list_services()
        shown = (agent_service_record(service) for service in services if wanted is None or wanted(service))
        return await self._by_id(ask, ((record.id, record) for record in shown))

    async def checks(self, ask: Ask) -> Answer:
        text = ask.parameters.get("filter")
        wanted = compile_filter(text, CHECK) if text else None
        checks = await self._agent.list_checks()
        shown = (check_record(check) for check in checks if wanted is None or wanted(check))
        return await self._by_id(ask, ((record.check_id, record) for record in shown))

    async def _by_id(self, ask: Ask, records: Iterable[tuple[str, msgspec.Struct]]) -> Answer:
        """An object of records in order of their IDs; an agent may have thousands."""
        encoded = [encode_json(name) + b":" + encode_json(record) async for name, record in in_turns(records)]
        return render_encoded(ask, b"{" + b",".join(encoded) + b"}", self._settings)

    async def service(self, ask: Ask) -> Answer:
        """Blocks by hash (https://developer.hashicorp.com/consul/api-docs/features/blocking#hash-based-blocking-queries): until the
        service is another than the one whose hash is given."""
        known = ask.parameters.get("hash")
        settings = self._settings
        options = read_options(ask.parameters, default_wait_s=settings.default_query_time_s, max_wait_s=settings.max_query_time_s)
        service = next(iter(await self._agent.list_services(service_id=ask.tail) if ask.tail else ()), None)
        if service is None:
            raise _unknown(ask.tail)
        record = _shown(service)
        if record.content_hash == known:
            with self._places:
                record = await self._another(service, known, options.wait_s * (1 + random.random() * JITTER_FRACTION))
        answer = render_json(ask, record, settings)
        return Answer(200, (*answer.headers, (b"X-Consul-Contenthash", str(record.content_hash).encode())), answer.body)

    async def _another(self, service: Service, known: str, wait_s: float) -> AgentServiceRecord:
        """The service once its hash is another than ``known``, or as it is when the time is up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_s
        while (record := _shown(service)).content_hash == known and (left_s := end - loop.time()) > 0:
            try:
                service = await self._agent.wait_for_service(service, left_s)
            except NotFound:
                raise _unknown(service.id) from None
        return record

    async def health_by_id(self, ask: Ask) -> Answer:
        """Status 200, 429 or 503 says how it is; ``format=text`` says it in a word."""
        if not ask.tail:
            raise HttpError(400, "Bad request: Missing serviceID")
        found = await self._health(await self._agent.list_services(service_id=ask.tail))
        if not found:
            return self._health_answer(ask, HealthRecord("critical", None, None), 404, f"ServiceId {ask.tail} not found")
        status = found[0].aggregated_status
        return self._health_answer(ask, found[0], HEALTH_CODES[status], status)

    async def health_by_name(self, ask: Ask) -> Answer:
        """All services of that name; the worst counts."""
        if not ask.tail:
            raise HttpError(400, "Bad request: Missing service Name")
        found = await self._health(await self._agent.list_services(name=ask.tail))
        if not found:
            return self._health_answer(ask, [], 404, f"ServiceName {ask.tail} Not Found")
        worst = max((health.aggregated_status for health in found), key=list(HEALTH_CODES).index)
        return self._health_answer(ask, found, HEALTH_CODES[worst], worst)

    async def _health(self, services: Sequence[Service]) -> list[HealthRecord]:
        """These services with the checks that concern each: its own, and the node's."""
        checks = await self._agent.list_checks(concerning=[service.id for service in services]) if services else ()
        by_service: dict[str, list[Check]] = {}
        for check in checks:
            by_service.setdefault(check.service_id, []).append(check)
        found = []
        for service in services:
            concerned = sorted(by_service.get(service.id, []) + by_service.get("", []), key=lambda check: check.check_id)
            checks_shown = [agent_health_check_record(check) for check in concerned]
            found.append(HealthRecord(aggregated(concerned), agent_service_record(service), checks_shown))
        return found

    def _health_answer(self, ask: Ask, value: object, code: int, reason: str) -> Answer:
        headers = ((b"X-Consul-Reason", reason.encode("latin-1", "replace")),)
        if ask.parameters.get("format") == "text":
            return Answer(code, ((b"Content-Type", b"text/plain"), VARY, *headers), reason.encode())
        answer = render_json(ask, value, self._settings, status=code)
        return Answer(code, (*answer.headers, *headers), answer.body)

    async def register_service(self, ask: Ask) -> Answer:
        body = decode_body(ask.body, AgentServiceBody)
        service, checks = agent_service(body)
        # Only these two remove checks, as in 1.8.7: any other word must not cost any.
        replace = ask.parameters.get("replace-existing-checks", "false") in ("", "true")
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
            await self._agent.register_check(local_check(body, "Bad check status"), token=body.token)
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


def aggregated(checks: Sequence[Check]) -> str:
    """The worst of the checks; maintenance is worse than critical."""
    if any(check.check_id.startswith(_MAINTENANCE) for check in checks):
        return "maintenance"
    worst = max((check.status for check in checks), key=lambda status: status.severity, default=HealthStatus.PASSING)
    return worst.value


def _unknown(service_id: str) -> HttpError:
    return HttpError(404, f"unknown service ID: {service_id}")


def _shown(service: Service) -> AgentServiceRecord:
    record = agent_service_record(service)
    record.content_hash = content_hash(record)
    return record


def content_hash(record: AgentServiceRecord) -> str:
    """Names what the record says; the same on every agent that has the same service."""
    return hashlib.blake2b(encode_json(record), digest_size=8).hexdigest()
