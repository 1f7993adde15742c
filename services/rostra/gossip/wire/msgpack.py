"""The msgpack dialect (gossip-wire section 2): emit the old specification's raw types, accept every form.

The C library decodes. Its limits are set so that a header that promises more elements than ``COLLECTION_ITEMS`` is refused before
memory is taken for them (``array32`` with four billion entries is five bytes long); what nesting can multiply that by is bounded
by the library's depth of 1024.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgpack

from rostra.gossip.wire import limits
from rostra.gossip.wire.errors import Reason, WireError

_REFUSALS: Final = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)
"""All that the library raises for bad bytes. TypeError: an unhashable map key."""

_LIMITS: Final[dict[str, Any]] = {
    "raw": True,
    "strict_map_key": False,
    "max_array_len": limits.COLLECTION_ITEMS,
    "max_map_len": limits.COLLECTION_ITEMS,
    "max_ext_len": 0,
}

_packer = msgpack.Packer(use_bin_type=False)


class NeedMore(Exception):
    """The object is not complete yet."""


def encode(value: object) -> bytes:
    """``value`` in the old specification: text and bytes are both raw, never ``str8`` or ``bin``."""
    return cast(bytes, _packer.pack(value))


def map_header(pairs: int) -> bytes:
    """What starts a map of so many pairs, to be followed by each key and value encoded."""
    return cast(bytes, _packer.pack_map_header(pairs))


def decode(data: bytes) -> object:
    """The first object of ``data``; its keys and raw values stay bytes. Trailing bytes are ignored, as real peers do."""
    try:
        return cast(object, msgpack.unpackb(data, **_LIMITS))
    except msgpack.ExtraData as trailing:
        return cast(object, trailing.unpacked)
    except _REFUSALS as error:
        raise WireError(Reason.MALFORMED, type(error).__name__) from None


def decode_map(data: bytes) -> dict[object, object]:
    return as_map(decode(data))


def as_map(value: object) -> dict[object, object]:
    if not isinstance(value, dict):
        raise WireError(Reason.MALFORMED, "not a map")
    return value


class Reader:
    """Reads objects one after another from bytes that may still be arriving.

    Every method raises ``NeedMore`` when its object is not complete, and may be called again after ``feed``. What was parsed of a
    partial object is kept, so a slow sender does not cost a parse per chunk.
    """

    def __init__(self, capacity: int) -> None:
        self._unpacker = msgpack.Unpacker(max_buffer_size=max(capacity, 1), **_LIMITS)
        self._fed = 0
        self._held = bytearray()  # from the start of the object that is being read
        self._raw_from: int | None = None

    @classmethod
    def of(cls, data: bytes) -> Reader:
        """A reader of bytes that are all here."""
        reader = cls(len(data))
        reader.feed(data)
        return reader

    def feed(self, data: bytes) -> None:
        try:
            self._unpacker.feed(data)
        except _REFUSALS:  # BufferFull is an UnpackException
            raise WireError(Reason.OVERSIZED, "stream") from None
        start = self._unpacker.tell() if self._raw_from is None else self._raw_from
        del self._held[: start - (self._fed - len(self._held))]
        self._held += data
        self._fed += len(data)

    def value(self) -> object:
        return self._read(self._unpacker.unpack)

    def map(self) -> dict[object, object]:
        return as_map(self.value())

    def raw(self) -> bytes:
        """The next object as it is. Only where it ends is found out: what is wrong inside, decoding will tell."""
        if self._raw_from is None:
            self._raw_from = self._unpacker.tell()
        self._read(self._unpacker.skip)
        start, self._raw_from = self._raw_from, None
        before = self._fed - len(self._held)
        return bytes(self._held[start - before : self._unpacker.tell() - before])

    def map_pairs(self, limit: int) -> int:
        """How many pairs follow; 0 for nil. For maps that may exceed ``COLLECTION_ITEMS``: read each pair with ``value``."""
        return self._count(self._unpacker.read_map_header, limit)

    def array_items(self, limit: int) -> int:
        """How many items follow; 0 for nil."""
        return self._count(self._unpacker.read_array_header, limit)

    def octets(self, size: int) -> bytes:
        """The next ``size`` bytes as they are."""
        if self._fed - self._unpacker.tell() < size:
            raise NeedMore
        return cast(bytes, self._unpacker.read_bytes(size))

    def rest(self) -> bytes:
        """All bytes not read yet, as they are."""
        return self.octets(self._fed - self._unpacker.tell())

    def _count(self, read_header: Callable[[], int], limit: int) -> int:
        try:
            count = read_header()
        except msgpack.OutOfData:
            raise NeedMore from None
        except _REFUSALS:  # the library has not moved: nil is a collection of nothing, any other type is an error
            if self.value() is not None:
                raise WireError(Reason.MALFORMED, "not a collection") from None
            return 0
        if count > limit:
            raise WireError(Reason.OVERSIZED, "collection")
        return count

    @staticmethod
    def _read(read: Callable[[], object]) -> object:
        try:
            return read()
        except msgpack.OutOfData:
            raise NeedMore from None
        except _REFUSALS as error:
            raise WireError(Reason.MALFORMED, type(error).__name__) from None
