"""What a pool keeps on disk: its keyring, and the peers it knew, to find the pool again after a restart.

Files are replaced whole and atomically. A peers file that cannot be read is as good as none; a keyring that cannot be read is an error,
for without it this member would speak in clear or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

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


class PoolStorage:
    """The files of one pool in ``folder``, which exists."""

    def __init__(self, folder: Path, pool: str) -> None:
        self._peers_file = folder / f"{pool}.peers"
        self._keyring_file = folder / f"{pool}.keyring"

    def load_peers(self) -> KnownPeers:
        try:
            content = json.loads(self._peers_file.read_bytes())
            if content.pop("format") != _FORMAT:
                return KnownPeers()
            return KnownPeers(**{**content, "addresses": tuple(content["addresses"])})
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return KnownPeers()

    def save_peers(self, peers: KnownPeers) -> None:
        _replace(self._peers_file, json.dumps({"format": _FORMAT, **asdict(peers)}).encode(), durable=False)

    def load_keys(self) -> tuple[bytes, ...]:
        """The keys, primary first; none when there is no file. The file is Serf's: a JSON array of base64."""
        try:
            return tuple(decode_key(key) for key in json.loads(self._keyring_file.read_bytes()))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError, BadRequest) as error:
            raise ConfigError([f"the keyring {self._keyring_file} cannot be read: {error}"]) from None

    def save_keys(self, keys: Sequence[bytes]) -> None:
        _replace(self._keyring_file, json.dumps([encode_key(key) for key in keys]).encode(), durable=True)


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    temporary = path.with_suffix(path.suffix + ".new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
