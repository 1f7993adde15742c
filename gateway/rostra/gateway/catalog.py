"""The reads of ``/v1/catalog`` and ``/v1/health``: parse, and say which lookup it is. https://developer.hashicorp.com/consul/api-docs"""

from __future__ import annotations

from rostra.filters import CHECK, SERVICE, SUMMARY, Schema, compile_filter, schemas_of
from rostra.gateway import lookups
from rostra.gateway.answer import Answer, HttpError, json_answer
from rostra.gateway.ask import Ask, ReadOptions, check_namespace, is_passing_only, node_meta, read_options
from rostra.gateway.compression import accepts_gzip
from rostra.gateway.encoding import encode_json, indent_json
from rostra.gateway.fragments import Fragments
from rostra.gateway.lookups import Lookup, Match
from rostra.gateway.read import Read
from rostra.gateway.reads import Reads
from rostra.gateway.settings import GatewaySettings
from rostra.model.catalog import ServiceSummary
from rostra.model.topics import SERVICES


class CatalogReads:
    """Each method is an endpoint. Those that give a ``Read`` look at nothing but the request."""

    def __init__(self, reads: Reads, settings: GatewaySettings) -> None:
        self._reads = reads
        self._settings = settings
        self._fragments = Fragments(settings.datacenter)
        self._schemas = schemas_of(settings.datacenter)

    def nodes(self, ask: Ask) -> Read:
        options = self._options(ask, namespaced=False)
        return self._prepare(ask, options, lookups.nodes(self._fragments, node_meta(ask.parameters)), self._schemas.node)

    async def services(self, ask: Ask) -> Answer:
        """With ``node-meta`` it takes two steps: tags are known by service, nodes by instance."""
        options, meta = self._options(ask), node_meta(ask.parameters)
        lookup = lookups.services()
        if meta:
            reading = await self._reads.reader.read((SERVICES,), options.consistency)
            names = [value.name for value in reading.views[0].values() if isinstance(value, ServiceSummary)]
            lookup = lookups.services_on(names, meta)
        return await self._reads.answer(self._prepare(ask, options, lookup, SUMMARY, cacheable=True))

    def services_read(self, ask: Ask) -> Read | None:
        """The same in one step, where it can be."""
        if ask.parameters.all("node-meta"):
            return None
        return self._prepare(ask, self._options(ask), lookups.services(), SUMMARY, cacheable=True)

    def service(self, ask: Ask) -> Read:
        options, name = self._options(ask), required(ask.tail, "service name")
        tags, meta = tuple(ask.parameters.all("tag")), node_meta(ask.parameters)
        lookup = lookups.service(self._fragments, name, tags, meta)
        return self._prepare(ask, options, lookup, self._schemas.catalog_service, cacheable=True)

    def node(self, ask: Ask) -> Read:
        options, name = self._options(ask), required(ask.tail, "node name")
        return self._prepare(ask, options, lookups.node_services(self._fragments, name, as_list=False), SERVICE)

    def node_services(self, ask: Ask) -> Read:
        options, name = self._options(ask), required(ask.tail, "node name")
        return self._prepare(ask, options, lookups.node_services(self._fragments, name, as_list=True), SERVICE)

    def health_node(self, ask: Ask) -> Read:
        options, name = self._options(ask), required(ask.tail, "node name")
        return self._prepare(ask, options, lookups.node_checks(name), CHECK)

    def health_checks(self, ask: Ask) -> Read:
        options, name = self._options(ask), required(ask.tail, "service name")
        return self._prepare(ask, options, lookups.service_checks(name, node_meta(ask.parameters)), CHECK)

    def health_service(self, ask: Ask) -> Read:
        options, name = self._options(ask), required(ask.tail, "service name")
        tags, meta, passing = tuple(ask.parameters.all("tag")), node_meta(ask.parameters), is_passing_only(ask.parameters)
        lookup = lookups.health_service(self._fragments, name, tags, meta, passing=passing)
        return self._prepare(ask, options, lookup, self._schemas.instance, cacheable=True)

    def health_state(self, ask: Ask) -> Read:
        options, state = self._options(ask), required(ask.tail, "check state")
        return self._prepare(ask, options, lookups.state_checks(state, node_meta(ask.parameters)), CHECK)

    def _options(self, ask: Ask, *, namespaced: bool = True) -> ReadOptions:
        settings = self._settings
        if namespaced:
            check_namespace(ask)
        return read_options(ask.parameters, default_wait_s=settings.default_query_time_s, max_wait_s=settings.max_query_time_s)

    def _prepare(self, ask: Ask, options: ReadOptions, lookup: Lookup, schema: Schema, *, cacheable: bool = False) -> Read:
        text = ask.parameters.get("filter")
        match: tuple[str, Match] | None = (text, compile_filter(text, schema)) if text else None
        near = ask.parameters.get("near") if lookup.nearness else ""
        gzip = accepts_gzip(ask.headers.get("accept-encoding", ""))
        pretty = is_pretty(ask, self._settings)
        return self._reads.prepare(lookup, options, match=match, pretty=pretty, cacheable=cacheable, near=near, gzip=gzip)


def required(name: str, what: str) -> str:
    """A name in the path; 400 with Consul's text without one."""
    if not name:
        raise HttpError(400, f"Missing {what}")
    return name


def is_pretty(ask: Ask, settings: GatewaySettings) -> bool:
    """``?pretty`` counts whatever its value; a development agent always answers so."""
    return settings.pretty or "pretty" in ask.parameters


def render_json(ask: Ask, value: object, settings: GatewaySettings, *, status: int = 200) -> Answer:
    """A value that is not a catalog read."""
    return render_encoded(ask, encode_json(value), settings, status=status)


def render_encoded(ask: Ask, body: bytes, settings: GatewaySettings, *, status: int = 200) -> Answer:
    """The same, of JSON on one line."""
    return json_answer(indent_json(body) if is_pretty(ask, settings) else body, status=status)
