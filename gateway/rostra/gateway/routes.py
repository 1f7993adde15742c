"""The one table of what the gateway serves: routing, ``Allow`` and the API description are all made from it.

https://developer.hashicorp.com/consul/api-docs lists the endpoints; a path that ends in ``{NAME}`` takes all that follows it, slashes too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from rostra.gateway import dns_over_https
from rostra.gateway.agent import AgentEndpoints
from rostra.gateway.agent_metrics import Metrics
from rostra.gateway.answer import Answer, StreamedAnswer
from rostra.gateway.ask import READ_PARAMETERS, Ask, check_namespace, check_read_parameters
from rostra.gateway.autopilot import AutopilotEndpoints, ConfigurationBody
from rostra.gateway.coordinates import CoordinateReads
from rostra.gateway.datacenters import DatacenterReads
from rostra.gateway.dns_over_https import DnsOverHttps
from rostra.gateway.elsewhere import Everywhere
from rostra.gateway.keyring import KeyBody, KeyringEndpoints
from rostra.gateway.local import LocalEndpoints
from rostra.gateway.raft import RaftOperator
from rostra.gateway.read import Read
from rostra.gateway.registrations import AgentCheckBody, AgentServiceBody, DeregisterBody, RegisterBody, TtlBody
from rostra.gateway.snapshot import FILE_TYPE, SnapshotEndpoints
from rostra.gateway.status import StatusReads
from rostra.gateway.writes import CatalogWrites

NAMESPACED: Final = (
    *("/v1/agent/service", "/v1/agent/check", "/v1/agent/health/service/"),
    *("/v1/catalog/register", "/v1/catalog/deregister"),
)
"""Beginnings of the paths whose things are in a namespace, beside the reads of the catalog."""

READING: Final = (
    "/v1/catalog/datacenters",
    "/v1/coordinate/node",
    "/v1/operator/raft/configuration",
    "/v1/operator/autopilot/",
    "/v1/status/",
)
"""Beginnings of the paths that take a read's parameters, beside the reads of the catalog."""

UNRENDERED: Final = frozenset({"/v1/openapi.json", "/v1/agent/monitor"})
"""What is read and is no JSON, or is shown as it is."""

JSON_TYPE: Final = "application/json"

Handler: TypeAlias = Callable[[Ask], Awaitable[Answer | StreamedAnswer]]
Reading: TypeAlias = Callable[[Ask], Read | None]
"""A read of the catalog, made ready from the request alone; None where the handler has to."""


class Pages(Protocol):
    """What describes the table itself."""

    async def front(self, ask: Ask) -> Answer: ...

    async def openapi(self, ask: Ask) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. ``handle`` or ``read`` answers it, or ``handle`` what ``read`` leaves."""

    method: str
    path: str
    summary: str
    handle: Handler | None = None
    read: Reading | None = None
    parameters: Sequence[str] = ()
    body: type[Struct] | None = None
    media_type: str = JSON_TYPE
    streams_body: bool = False
    """The body may be of any length, and comes as ``Ask.stream``."""

    @property
    def prefix(self) -> str:
        """The path without its name."""
        return self.path.partition("{")[0]


class Table:
    """The routes, by path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)

    @cached_property
    def by_path(self) -> Mapping[str, Mapping[str, Route]]:
        """Path without its name to method to route."""
        found: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            found.setdefault(route.prefix, {})[route.method] = route
        return found

    def find(self, path: str) -> tuple[str, Mapping[str, Route]] | None:
        """The prefix that serves ``path``, and its routes: the path itself, else the longest that ends in a slash."""
        exact = self.by_path.get(path)
        if exact is not None:
            return path, exact
        end = path.rfind("/")
        while end > 0:
            prefix = path[: end + 1]
            if prefix in self.by_path:
                return prefix, self.by_path[prefix]
            end = path.rfind("/", 0, end)
        return None


def takes_tail(prefix: str) -> bool:
    """Whether more may follow: a name."""
    return prefix.endswith("/") and prefix != "/"


def allow(methods: Mapping[str, Route]) -> bytes:
    """The ``Allow`` header, in Consul's order."""
    return ",".join(["OPTIONS", *(method for method in ("GET", "POST", "PUT", "DELETE") if method in methods)]).encode()


def build_table(
    catalog: Everywhere,
    writes: CatalogWrites,
    agent: AgentEndpoints,
    local: LocalEndpoints,
    status: StatusReads,
    coordinates: CoordinateReads,
    datacenters: DatacenterReads,
    autopilot: AutopilotEndpoints,
    keyring: KeyringEndpoints,
    raft: RaftOperator,
    snapshot: SnapshotEndpoints,
    metrics: Metrics,
    dns: DnsOverHttps,
    pages: Pages,
) -> Table:
    """What is served."""
    meta, near = ("node-meta",), ("near",)
    reads = [
        Route("GET", "/v1/catalog/nodes", "Lists the nodes.", *both(catalog, "nodes"), parameters=meta + near),
        Route("GET", "/v1/catalog/services", "Lists the services with their tags.", catalog.services,
              both(catalog, "services_read")[1], (*meta, "cached")),
        Route("GET", "/v1/catalog/service/{service}", "Lists the instances of a service.", *both(catalog, "service"),
              parameters=("tag", *meta, *near, "cached")),
        Route("GET", "/v1/catalog/node/{node}", "Shows a node with its services.", *both(catalog, "node")),
        Route("GET", "/v1/catalog/node-services/{node}", "Shows a node with a list of its services.", *both(catalog, "node_services")),
        Route("GET", "/v1/health/node/{node}", "Lists the checks of a node.", *both(catalog, "health_node")),
        Route("GET", "/v1/health/checks/{service}", "Lists the checks of a service.", *both(catalog, "health_checks"),
              parameters=meta + near),
        Route("GET", "/v1/health/service/{service}", "Lists the instances of a service with their checks.", *both(catalog,
              "health_service"), parameters=("passing", "tag", *meta, *near, "cached")),
        Route("GET", "/v1/health/state/{state}", "Lists the checks in a state.", *both(catalog, "health_state"), parameters=meta + near),
    ]  # fmt: skip
    others = [
        Route("GET", "/", "Shows what is served, as a page.", pages.front),
        Route("GET", "/v1/openapi.json", "Describes the API.", pages.openapi),
        Route("GET", dns_over_https.PATH, "Answers a DNS message, as RFC 8484 has it.", dns.get, parameters=("dns",),
              media_type=dns_over_https.MEDIA_TYPE),
        Route("POST", dns_over_https.PATH, "Answers the DNS message in the body.", dns.post, media_type=dns_over_https.MEDIA_TYPE),
        Route("GET", "/v1/catalog/datacenters", "Lists the datacenters.", datacenters.datacenters, parameters=("cached",)),
        Route("PUT", "/v1/catalog/register", "Registers a node, a service, checks.", writes.register, parameters=("dc",),
              body=RegisterBody),
        Route("PUT", "/v1/catalog/deregister", "Removes a node, a service, a check.", writes.deregister, parameters=("dc",),
              body=DeregisterBody),
        Route("GET", "/v1/coordinate/datacenters", "Shows where the servers of all datacenters are.", coordinates.datacenters),
        Route("GET", "/v1/coordinate/nodes", "Shows where the nodes are.", coordinates.nodes, parameters=("dc", "segment")),
        Route("GET", "/v1/coordinate/node/{node}", "Shows where a node is.", coordinates.node, parameters=("dc", "segment")),
        Route("GET", "/v1/operator/keyring", "Lists the gossip keys.", keyring.list_keys, parameters=("relay-factor", "local-only")),
        Route("POST", "/v1/operator/keyring", "Installs a gossip key.", keyring.install, parameters=("relay-factor",), body=KeyBody),
        Route("PUT", "/v1/operator/keyring", "Encrypts gossip with a key from now on.", keyring.use, parameters=("relay-factor",),
              body=KeyBody),
        Route("DELETE", "/v1/operator/keyring", "Removes a gossip key.", keyring.remove, parameters=("relay-factor",), body=KeyBody),
        Route("GET", "/v1/operator/raft/configuration", "Lists the servers of the Raft configuration.", raft.configuration,
              parameters=("dc", "stale")),
        Route("DELETE", "/v1/operator/raft/peer", "Removes a server from the Raft configuration.", raft.remove_peer,
              parameters=("dc", "id", "address")),
        Route("POST", "/v1/operator/raft/transfer-leader", "Hands leadership over.", raft.transfer_leader, parameters=("dc", "id")),
        Route("GET", "/v1/operator/autopilot/configuration", "Shows how the servers are kept.", autopilot.configuration,
              parameters=("dc",)),
        Route("PUT", "/v1/operator/autopilot/configuration", "Changes how the servers are kept.", autopilot.set_configuration,
              parameters=("dc", "cas"), body=ConfigurationBody),
        Route("GET", "/v1/operator/autopilot/health", "Tells whether the servers are well.", autopilot.health, parameters=("dc",)),
        Route("GET", "/v1/operator/autopilot/state", "Shows the servers as autopilot sees them.", autopilot.state, parameters=("dc",)),
        Route("GET", "/v1/snapshot", "Saves the catalog as a file.", snapshot.save, parameters=("dc", "stale", "consistent"),
              media_type=FILE_TYPE),
        Route("PUT", "/v1/snapshot", "Restores the catalog from a file.", snapshot.restore, parameters=("dc",), media_type=FILE_TYPE,
              streams_body=True),
        Route("GET", "/v1/status/leader", "Names the leader.", status.leader, parameters=("dc",)),
        Route("GET", "/v1/status/peers", "Names the servers.", status.peers, parameters=("dc",)),
        Route("GET", "/v1/agent/self", "Describes the agent.", agent.self),
        Route("GET", "/v1/agent/members", "Lists the members.", agent.members, parameters=("wan", "filter")),
        Route("PUT", "/v1/agent/join/{address}", "Joins another member.", agent.join, parameters=("wan",)),
        Route("PUT", "/v1/agent/leave", "Leaves the cluster and stops.", agent.leave),
        Route("PUT", "/v1/agent/force-leave/{node}", "Turns a failed member into one that left.", agent.force_leave,
              parameters=("prune", "wan")),
        Route("PUT", "/v1/agent/reload", "Reads the configuration again.", agent.reload),
        Route("PUT", "/v1/agent/maintenance", "Puts the node into maintenance.", agent.maintenance, parameters=("enable", "reason")),
        Route("GET", "/v1/agent/version", "Tells the version.", agent.version),
        Route("GET", "/v1/agent/monitor", "Streams the log.", agent.monitor, parameters=("loglevel", "logjson")),
        Route("GET", "/v1/agent/metrics", "Shows metrics.", metrics.metrics, parameters=("format",)),
        Route("GET", "/v1/agent/services", "Lists this node's services.", local.services, parameters=("filter",)),
        Route("GET", "/v1/agent/service/{service}", "Shows a service of this node.", local.service, parameters=("hash", "wait")),
        Route("GET", "/v1/agent/health/service/id/{service}", "Tells the health of a service.", local.health_by_id,
              parameters=("format",)),
        Route("GET", "/v1/agent/health/service/name/{service}", "Tells the health of all services of a name.", local.health_by_name,
              parameters=("format",)),
        Route("PUT", "/v1/agent/service/register", "Registers a service of this node.", local.register_service,
              parameters=("replace-existing-checks",), body=AgentServiceBody),
        Route("PUT", "/v1/agent/service/deregister/{service}", "Removes a service of this node.", local.deregister_service),
        Route("PUT", "/v1/agent/service/maintenance/{service}", "Puts a service into maintenance.", local.service_maintenance,
              parameters=("enable", "reason")),
        Route("GET", "/v1/agent/checks", "Lists this node's checks.", local.checks, parameters=("filter",)),
        Route("PUT", "/v1/agent/check/register", "Registers a check of this node.", local.register_check, body=AgentCheckBody),
        Route("PUT", "/v1/agent/check/deregister/{check}", "Removes a check of this node.", local.deregister_check),
        Route("PUT", "/v1/agent/check/pass/{check}", "Sets a TTL check to passing.", local.check_pass, parameters=("note",)),
        Route("PUT", "/v1/agent/check/warn/{check}", "Sets a TTL check to warning.", local.check_warn, parameters=("note",)),
        Route("PUT", "/v1/agent/check/fail/{check}", "Sets a TTL check to critical.", local.check_fail, parameters=("note",)),
        Route("PUT", "/v1/agent/check/update/{check}", "Sets a TTL check and its output.", local.check_update, body=TtlBody),
    ]  # fmt: skip
    return Table([*(_with_read_parameters(route) for route in reads), *(_checked(_with_pretty(route)) for route in others)])


def both(catalog: Everywhere, name: str) -> tuple[Handler, Reading]:
    """A read of the own datacenter, and the way to others."""
    return lambda ask: catalog.handle(name, ask), lambda ask: catalog.read(name, ask)


def _checked(route: Route) -> Route:
    """With what is refused before it is handled."""
    handle = route.handle
    namespaced, reading = route.path.startswith(NAMESPACED), route.method == "GET" and route.path.startswith(READING)
    if handle is None or not (namespaced or reading):
        return route

    async def checked(ask: Ask) -> Answer | StreamedAnswer:
        if namespaced:
            check_namespace(ask)
        if reading:
            check_read_parameters(ask)
        return await handle(ask)

    return replace(route, handle=checked)


def _with_pretty(route: Route) -> Route:
    """What answers JSON indents it if one likes."""
    renders = route.method == "GET" and route.media_type == JSON_TYPE and route.path.startswith("/v1/") and route.path not in UNRENDERED
    return replace(route, parameters=(*route.parameters, "pretty")) if renders else route


def _with_read_parameters(route: Route) -> Route:
    return Route(route.method, route.path, route.summary, route.handle, route.read, (*READ_PARAMETERS, *route.parameters))
