"""Changing the keyring of a whole pool by queries (gossip-wire section 12.7): what one member does and answers."""

from __future__ import annotations

import enum
from typing import Final

from rostra.errors import BadRequest
from rostra.gossip.keyring import Keyring, encode_key
from rostra.gossip.wire.serf_messages import KeyRequest, KeyResponse


class KeyOperation(enum.Enum):
    """The values are the names of the queries."""

    INSTALL = "_serf_install-key"
    USE = "_serf_use-key"
    REMOVE = "_serf_remove-key"
    LIST = "_serf_list-keys"


_LISTED_KEYS_MAX: Final = 16
"""More do not fit a response of 1024 bytes beside its names."""


def carry_out(operation: KeyOperation, request: KeyRequest, keyring: Keyring | None) -> KeyResponse:
    if keyring is None:
        return KeyResponse(result=False, message="this member has no keyring: the pool is not encrypted here")
    try:
        match operation:
            case KeyOperation.INSTALL:
                keyring.install(request.key)
            case KeyOperation.USE:
                keyring.use(request.key)
            case KeyOperation.REMOVE:
                keyring.remove(request.key)
            case KeyOperation.LIST:
                return _listed(keyring)
    except BadRequest as error:
        return KeyResponse(result=False, message=str(error))
    return KeyResponse(result=True)


def _listed(keyring: Keyring) -> KeyResponse:
    keys = tuple(map(encode_key, keyring.keys))
    message = f"only the first {_LISTED_KEYS_MAX} of {len(keys)} keys are listed" if len(keys) > _LISTED_KEYS_MAX else ""
    return KeyResponse(result=True, message=message, keys=keys[:_LISTED_KEYS_MAX], primary_key=keys[0])
