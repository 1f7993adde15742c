"""AES-GCM boxes around datagrams and stream frames (gossip-wire section 4).

``version u8 | nonce 12 | ciphertext | tag 16``. Version 0 pads the plaintext as PKCS#7 does; we send version 1 and accept both.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rostra.gossip.wire.errors import Reason, WireError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZES: Final = (16, 24, 32)
NONCE_BYTES: Final = 12
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + 16
_BLOCK_BYTES: Final = 16


def seal(key: bytes, plaintext: bytes, associated: bytes, nonce: bytes) -> bytes:
    """A version 1 box. The nonce must never have been used with this key: give it fresh randomness of the system."""
    return b"\x01" + nonce + _cipher(key).encrypt(nonce, plaintext, associated)


def open_box(keys: Sequence[bytes], box: bytes, associated: bytes) -> bytes:
    """The plaintext of a box of either version, with the first of ``keys`` that fits."""
    from cryptography.exceptions import InvalidTag

    if len(box) < OVERHEAD_BYTES:
        raise WireError(Reason.TRUNCATED, "box")
    version, nonce, ciphertext = box[0], box[1 : 1 + NONCE_BYTES], box[1 + NONCE_BYTES :]
    if version > 1:
        raise WireError(Reason.NOT_ENCRYPTED, "unknown version of a box")
    for key in keys:
        try:
            plaintext = _cipher(key).decrypt(nonce, ciphertext, associated)
        except InvalidTag:
            continue
        return plaintext if version else _without_padding(plaintext)
    raise WireError(Reason.WRONG_KEY, "it is encrypted with none of this pool's keys")


@functools.lru_cache(maxsize=64)
def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 20 ms and 8 MB that an unencrypted pool does not pay

    return AESGCM(key)


def _without_padding(plaintext: bytes) -> bytes:
    padding = plaintext[-1] if plaintext else 0
    if not 1 <= padding <= min(_BLOCK_BYTES, len(plaintext)):
        raise WireError(Reason.MALFORMED, "padding")
    return plaintext[:-padding]
