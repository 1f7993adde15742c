"""Manual recovery after a lost quorum: ``peers.json``, as https://developer.hashicorp.com/consul/tutorials/operate-consul/recovery-outage
describes it. Every surviving server is stopped, gets the same list of the servers that are to go on, and is started again.

The list takes the place of every configuration in this server's log and snapshot. Nothing else changes: entries keep index and
term, so the survivors elect whoever has most, as always. What only lost servers had is lost. The file is removed when it is done.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from rostra.consensus.configuration import Configuration, decode_configuration
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import Member, PeerId, Recovered, SnapshotMeta, Suffrage
from rostra.consensus.snapshots import SnapshotStore
from rostra.durable import sync_folder
from rostra.errors import BadRequest, Conflict

log = logging.getLogger("rostra.consensus")

FILE: Final = "peers.json"


class Peer(msgspec.Struct, forbid_unknown_fields=True):
    """One server of the list. ``id`` is its node ID."""

    id: str
    address: str
    non_voter: bool = False


def recover_from_file(path: Path, store: LmdbStore, snapshots: SnapshotStore, node_id: str) -> None:
    """Does nothing where there is no such file. Raises ``BadRequest`` for one that makes no sense: nothing was changed then."""
    if not path.exists():
        return
    found = store.recover()
    former = _latest(found)
    if former is None:
        raise Conflict(f"{path}: this server belongs to no cluster: there is nothing to recover")
    configuration = _configuration(path, former, PeerId(node_id, found.store_id))
    data = configuration.encode()
    snapshot = None if found.snapshot is None else _copy(found.snapshot, data, snapshots)
    store.replace_configurations(data, snapshot)
    path.unlink()
    sync_folder(path.parent)  # else a power cut might bring it back, and with it servers that were taken in or out since
    log.warning("recovered the raft configuration by hand", extra={"file": path, "servers": len(configuration.members)})


def _latest(found: Recovered) -> Configuration | None:
    if found.configurations:
        return decode_configuration(found.configurations[-1][1])
    return None if found.snapshot is None else decode_configuration(found.snapshot.configuration)


def _configuration(path: Path, former: Configuration, own: PeerId) -> Configuration:
    try:
        peers = msgspec.json.decode(path.read_bytes(), type=list[Peer])
    except (msgspec.DecodeError, OSError) as error:
        raise BadRequest(f"{path}: {error}", field=FILE) from None
    members = [_member(path, peer, former, own) for peer in peers]
    configuration = Configuration(former.cluster_id, tuple(sorted(members, key=lambda member: member.id)))
    if len({peer.id for peer in peers}) < len(peers):
        raise BadRequest(f"{path}: a server is listed twice", field=FILE)
    if not configuration.voters:
        raise BadRequest(f"{path}: no voter is listed", field=FILE)
    if own not in configuration.by_id:
        raise BadRequest(f"{path}: this server, node {own.node_id}, is not listed; if it is not to go on, do not start it", field=FILE)
    return configuration


def _member(path: Path, peer: Peer, former: Configuration, own: PeerId) -> Member:
    """Consul's file knows nodes, Raft here stores: those that the last configuration names."""
    known: Sequence[Member] = [member for member in former.members if member.id.node_id == peer.id]
    suffrage = Suffrage.LEARNER if peer.non_voter else Suffrage.VOTER
    if peer.id == own.node_id:
        return Member(own, suffrage, known[0].node_name if known else "", peer.address)
    if len(known) != 1:
        raise BadRequest(f"{path}: node {peer.id} was no server of this cluster: start it afterwards, it will be taken in", field=FILE)
    return Member(known[0].id, suffrage, known[0].node_name, peer.address)


def _copy(meta: SnapshotMeta, configuration: bytes, snapshots: SnapshotStore) -> SnapshotMeta:
    """The same state under the new configuration. Its ID follows from the old one, so that trying again makes the same file."""
    if meta.configuration == configuration:
        return meta
    copy = msgspec.structs.replace(meta, snapshot_id=f"{meta.snapshot_id}-recovered", configuration=configuration)
    writer = snapshots.create(copy)
    for chunk in snapshots.read(meta):
        writer.write(chunk)
    writer.finish()
    return copy
