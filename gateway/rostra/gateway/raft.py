"""``/v1/operator/raft``: who the servers are, to an operator. https://developer.hashicorp.com/consul/api-docs/operator/raft"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct, field

from rostra.clients.consensus import Configuration, RaftMember
from rostra.errors import BadRequest, NotFound
from rostra.gateway.answer import DONE, Answer, HttpError
from rostra.gateway.ask import Ask, is_set
from rostra.gateway.catalog import render_json
from rostra.gateway.elsewhere import other_datacenter
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.upstreams import RaftServers

PROTOCOL_VERSION: Final = "3"
"""Consul's number for a Raft whose members are known by ID, which ours are."""
UNKNOWN_NODE: Final = "(unknown)"


class ServerRecord(Struct):
    """A member of the Raft configuration; one that does not vote yet is a learner."""

    id: str = field(name="ID")
    node: str = field(name="Node")
    address: str = field(name="Address")
    leader: bool = field(name="Leader")
    protocol_version: str = field(name="ProtocolVersion")
    voter: bool = field(name="Voter")


class ConfigurationRecord(Struct, rename="pascal"):
    """The Raft configuration. ``Index`` is the log index of the entry that holds it."""

    servers: list[ServerRecord]
    index: int


class TransferRecord(Struct, rename="pascal"):
    """Leadership was handed over; when it was not, the answer is an error."""

    success: bool


class RaftOperator:
    """Each public method is an endpoint."""

    def __init__(self, raft: RaftServers, elsewhere: Callable[[str], RaftServers], settings: GatewaySettings) -> None:
        """``elsewhere`` gives the servers of another datacenter."""
        self._own = raft
        self._elsewhere = elsewhere
        self._settings = settings

    async def configuration(self, ask: Ask) -> Answer:
        found = await self._raft(ask).configuration(stale=is_set(ask.parameters, "stale"))
        servers = [_record(member, found.leader_id) for member in found.members]
        return render_json(ask, ConfigurationRecord(servers, found.index), self._settings)

    async def remove_peer(self, ask: Ask) -> Answer:
        """By ``id``, which may name the store too (``NODE/STORE``) where a node has several, or by ``address``."""
        node_id, address = ask.parameters.get("id"), ask.parameters.get("address")
        if node_id and address:
            raise HttpError(400, "Bad request: Must specify only one of ?id or ?address")
        if not node_id and not address:
            raise HttpError(400, "Bad request: Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
        raft = self._raft(ask)
        found = await raft.configuration()
        member = _only(found, "id", node_id, _has_id) if node_id else _only(found, "address", address, _has_address)
        await raft.remove(member)
        return DONE

    async def transfer_leader(self, ask: Ask) -> Answer:
        """To the server with that ``id``, or to the voter that is furthest on."""
        raft, node_id = self._raft(ask), ask.parameters.get("id")
        if node_id:
            _only(await raft.configuration(), "id", node_id, _has_id)
        await raft.transfer_leader(node_id)
        return render_json(ask, TransferRecord(True), self._settings)

    def _raft(self, ask: Ask) -> RaftServers:
        other = other_datacenter(ask.parameters.get("dc"), self._settings.datacenter)
        return self._elsewhere(other) if other else self._own


def _record(member: RaftMember, leader_id: str) -> ServerRecord:
    leads = member.voter and member.node_id == leader_id
    return ServerRecord(member.node_id, member.node_name or UNKNOWN_NODE, member.address, leads, PROTOCOL_VERSION, member.voter)


def _has_id(member: RaftMember, text: str) -> bool:
    return text in (member.node_id, f"{member.node_id}/{member.store_id}")


def _has_address(member: RaftMember, text: str) -> bool:
    return member.address == text


def _only(found: Configuration, name: str, text: str, fits: Callable[[RaftMember, str], bool]) -> RaftMember:
    members = [member for member in found.members if fits(member, text)]
    if not members:
        raise NotFound(f'{name} "{text}" was not found in the Raft configuration')
    if len(members) > 1:
        stores = ", ".join(f"{member.node_id}/{member.store_id}" for member in members)
        raise BadRequest(f'{name} "{text}" is that of several stores: name one of {stores} as ?id', field=name)
    return members[0]
