"""Members as Consul shows them: https://developer.hashicorp.com/consul/api-docs/agent#list-members

On the wire our members carry their own role names, so that no Consul takes them for its own. Clients of the HTTP API
look for Consul's: here, and only here, they are shown so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from rostra.model.members import Member, MemberStatus

_STATUS: Final = {MemberStatus.ALIVE: 1, MemberStatus.LEAVING: 2, MemberStatus.LEFT: 3, MemberStatus.FAILED: 4}
"""Serf's numbers, as the API shows them."""

_ROLES: Final = {"rostra": "consul", "rostra-client": "node"}


class MemberRecord(Struct, rename="pascal"):
    """An item of ``/v1/agent/members``."""

    name: str
    addr: str
    port: int
    tags: Mapping[str, str]
    status: int
    protocol_min: int
    protocol_max: int
    protocol_cur: int
    delegate_min: int
    delegate_max: int
    delegate_cur: int


def consul_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags with the role in Consul's words."""
    shown = dict(tags)
    role = shown.get("role", "")
    if role in _ROLES:
        shown["role"] = _ROLES[role]
    return shown


def member_record(member: Member) -> MemberRecord:
    return MemberRecord(
        name=member.name,
        addr=member.address,
        port=member.port,
        tags=consul_tags(member.tags),
        status=_STATUS[member.status],
        protocol_min=member.pmin,
        protocol_max=member.pmax,
        protocol_cur=member.pcur,
        delegate_min=member.dmin,
        delegate_max=member.dmax,
        delegate_cur=member.dcur,
    )
