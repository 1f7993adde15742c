"""Every stream opens with a Hello in each direction: protocol range, cluster, node, role."""

from __future__ import annotations

from typing import Final

from rostra.errors import Conflict
from rostra.model.identity import Identity
from rostra.v1 import common_pb2

PROTOCOL_MIN: Final = 1
PROTOCOL_MAX: Final = 1


def make_hello(identity: Identity, role: str, cluster_id: str = "", datacenter: str = "") -> common_pb2.Hello:
    """The first message of a stream. ``cluster_id`` stays empty where the sender knows none; ``datacenter``: for which the stream is."""
    node = common_pb2.NodeIdentity(name=identity.name, id=identity.id, datacenter=identity.datacenter)
    return common_pb2.Hello(
        protocol_min=PROTOCOL_MIN, protocol_max=PROTOCOL_MAX, cluster_id=cluster_id, node=node, role=role, datacenter=datacenter
    )


def check_hello(hello: common_pb2.Hello, cluster_id: str = "") -> None:
    """Raises ``Conflict`` when the peer cannot speak with us, or is of another cluster where both name one."""
    if hello.protocol_min > PROTOCOL_MAX or hello.protocol_max < PROTOCOL_MIN:
        raise Conflict(f"{describe(hello)} speaks protocols {hello.protocol_min} to {hello.protocol_max}, we speak {PROTOCOL_MAX}")
    if cluster_id and hello.cluster_id and hello.cluster_id != cluster_id:
        raise Conflict(f"{describe(hello)} is of cluster {hello.cluster_id}, we are of cluster {cluster_id}")


def describe(hello: common_pb2.Hello) -> str:
    """The peer in a few words, for errors and logs."""
    return f"{hello.role or 'peer'} of node {hello.node.name or 'unknown'}"
