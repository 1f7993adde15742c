"""What a pool keeps on disk: its keyring, and the peers it knew, to find the pool again after a restart.

Files are replaced whole and atomically. A peers file that cannot be read is as good as none; a keyring that cannot be read is an error,
for without it this member would speak in clear or not at all.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from rostra.durable import make_folder, replace_file
from rostra.errors import BadRequest, ConfigError
from rostra.gossip.keyring import decode_key, encode_key

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class KnownPeers:
    """``addresses`` (host:port) of the members last seen alive, and the clocks, so that old events are not new again. ``has_left``: this
    member left on purpose, and must be told to come back."""

    addresses: tuple[str, ...] = ()
    member_time: int = 0
    event_time: int = 0
    query_time: int = 0
    has_left: bool = False


class _PeersFile(msgspec.Struct):
    format: int
    peers: KnownPeers


class PoolStorage:
    """The files of one pool in ``folder``, which is made when something is written. Without ``keeps_keys`` no keyring is read or written,
    even where there is one."""

    def __init__(self, folder: Path, pool: str, *, keeps_keys: bool = True) -> None:
        self._peers_file = folder / f"{pool}.peers"
        self._keyring_file = folder / f"{pool}.keyring"
        self._keeps_keys = keeps_keys
        self._writing = threading.Lock()  # peers are written in a thread, which may outlive the task that began it

    def load_peers(self) -> KnownPeers:
        try:
            content = msgspec.json.decode(self._peers_file.read_bytes(), type=_PeersFile)
        except (OSError, msgspec.DecodeError):
            return KnownPeers()
        return content.peers if content.format == _FORMAT else KnownPeers()

    def save_peers(self, peers: KnownPeers) -> None:
        with self._writing:
            _replace(self._peers_file, msgspec.json.encode(_PeersFile(_FORMAT, peers)))

    def load_keys(self) -> tuple[bytes, ...]:
        """The keys, primary first; none when there is no file. The file is Serf's: a JSON array of base64."""
        if not self._keeps_keys:
            return ()
        try:
            keys = tuple(decode_key(key) for key in json.loads(self._keyring_file.read_bytes()))
            if not keys:
                raise BadRequest("it is empty")
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError, BadRequest) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigError([f"the keyring {self._keyring_file} cannot be read: {reason}"]) from None
        return keys

    def save_keys(self, keys: Sequence[bytes]) -> None:
        """Durable when this returns."""
        if self._keeps_keys:
            _replace(self._keyring_file, json.dumps([encode_key(key) for key in keys]).encode())


def _replace(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    replace_file(path, content)
