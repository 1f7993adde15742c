"""``rostra keygen``: a key for ``-encrypt``."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser

KEY_SIZE = 32
"""AES-256, the longest that gossip takes."""


def run(arguments: Sequence[str]) -> int:
    parser = Parser("keygen", "Makes a new random key of 32 bytes for -encrypt and prints it in base64. It asks no agent.")
    parser.parse(arguments)
    print(b64encode(os.urandom(KEY_SIZE)).decode())
    return exits.OK
