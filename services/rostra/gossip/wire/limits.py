"""Every bound on what one datagram or stream may cost us, in one place.

memberlist's own limits where it has them (20 MiB of stream, 40 MiB decompressed); tighter ones of ours elsewhere, each well above
anything a real peer was seen to send.
"""

from __future__ import annotations

from typing import Final

PACKET_EXPANDED_BYTES: Final = 256 * 1024
"""Decompressed bytes of one datagram, summed over all its parts. Real senders compress at most 1400 bytes."""

PACKET_MESSAGES: Final = 1024
"""Messages in one datagram, nested compounds included."""

NESTING: Final = 4
"""Compound and compress layers inside each other. Real senders use two."""

FRAME_BYTES: Final = 20 * 1024 * 1024
"""One encrypted frame of a stream, and all the plain bytes of one."""

STREAM_EXPANDED_BYTES: Final = 40 * 1024 * 1024
"""Decompressed bytes of one stream message."""

USER_STATE_BYTES: Final = 20 * 1024 * 1024
"""The Serf state in a push-pull, and a user message on a stream."""

PUSH_PULL_ROWS: Final = 1024 * 1024
"""Members in one push-pull."""

COLLECTION_ITEMS: Final = 1024
"""Entries of one msgpack map or array, other than the three lists of a Serf push-pull that grow with the pool."""

TEXT_BYTES: Final = 16 * 1024
"""One text field. The longest real one is a message in a key response."""

NAME_BYTES: Final = 512
"""A node name; it must fit a datagram several times over."""

META_BYTES: Final = 512
"""Our own tags, encoded. Serf's limit."""

FOREIGN_META_BYTES: Final = 1024
"""Another member's tags, encoded. Real receivers do not check; honest senders keep to 512."""

MEMBERS: Final = 65_536
"""Members known at once. Further names are refused: they are made up."""

PACKET_COMPRESSED_BYTES: Final = 16 * 1024
"""Compressed content in a datagram. Real senders compress at most 1400 bytes, and decoding costs time."""
