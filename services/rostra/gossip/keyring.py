"""The keys a pool may be encrypted with (gossip-wire section 4): one primary, which seals, and others that still open."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from rostra.errors import BadRequest
from rostra.gossip.wire.boxes import KEY_SIZES


class Keyring:
    """An ordered set of keys, primary first. Never empty: a pool without encryption has no keyring."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise BadRequest("a keyring needs at least one key", field="encrypt")
        self._keys: list[bytes] = []
        for key in keys:
            self.install(key)

    @property
    def keys(self) -> tuple[bytes, ...]:
        return tuple(self._keys)

    @property
    def primary(self) -> bytes:
        return self._keys[0]

    def install(self, key: bytes) -> None:
        """Accept ``key`` from now on. Nothing changes when it is there already."""
        if len(key) not in KEY_SIZES:
            raise BadRequest("a gossip key has 16, 24 or 32 bytes", field="key")
        if key not in self._keys:
            self._keys.append(key)

    def use(self, key: bytes) -> None:
        """Seal with ``key`` from now on. It must have been installed."""
        if key not in self._keys:
            raise BadRequest("the key is not in the keyring", field="key")
        self._keys.remove(key)
        self._keys.insert(0, key)

    def remove(self, key: bytes) -> None:
        """Forget ``key``. The primary key stays until another is used; an unknown one is gone already."""
        if key == self.primary:
            raise BadRequest("the primary key cannot be removed: use another one first", field="key")
        if key in self._keys:
            self._keys.remove(key)


def decode_key(text: str) -> bytes:
    """A key as operators write it, in base64."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("a gossip key is written in base64", field="encrypt") from None
    if len(key) not in KEY_SIZES:
        raise BadRequest(f"a gossip key has 16, 24 or 32 bytes, this one has {len(key)}", field="encrypt")
    return key


def encode_key(key: bytes) -> str:
    return base64.b64encode(key).decode()
