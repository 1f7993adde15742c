"""The writes of ``/v1/catalog``: https://developer.hashicorp.com/consul/api-docs/catalog#register-entity"""

from __future__ import annotations

from rostra.gateway.answer import Answer
from rostra.gateway.ask import Ask
from rostra.gateway.bodies import decode_body
from rostra.gateway.catalog import render_json
from rostra.gateway.elsewhere import Datacenters, other_datacenter
from rostra.gateway.registrations import DeregisterBody, RegisterBody, deregistration, registration
from rostra.gateway.settings import GatewaySettings
from rostra.views.reader import Writer


class CatalogWrites:
    """Each method is an endpoint. A refusal changes nothing; an answer of ``true`` means: on disk at a majority, and seen by reads here."""

    def __init__(self, writer: Writer, datacenters: Datacenters, settings: GatewaySettings) -> None:
        self._own = writer
        self._datacenters = datacenters
        self._settings = settings

    async def register(self, ask: Ask) -> Answer:
        body = decode_body(ask.body, RegisterBody)
        writer = self._writer(body.datacenter or ask.parameters.get("dc"))
        await writer.write(registration(body))
        return render_json(ask, True, self._settings)

    async def deregister(self, ask: Ask) -> Answer:
        body = decode_body(ask.body, DeregisterBody)
        writer = self._writer(body.datacenter or ask.parameters.get("dc"))
        await writer.write(deregistration(body))
        return render_json(ask, True, self._settings)

    def _writer(self, datacenter: str) -> Writer:
        other = other_datacenter(datacenter, self._settings.datacenter)
        return self._datacenters.reach(other) if other else self._own
