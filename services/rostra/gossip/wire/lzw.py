"""LZW as Go's ``compress/lzw`` writes it (gossip-wire section 3.4): least significant bit first, eight literal bits, codes of 9 to 12
bits, 256 clears the table, 257 ends. Checked byte for byte against real peers' packets."""

from __future__ import annotations

from typing import Final

from rostra.gossip.wire.errors import Reason, WireError

_CLEAR: Final = 256
_END: Final = 257
_FIRST_FREE: Final = 258
_MAX_WIDTH: Final = 12
_TABLE_FULL: Final = (1 << _MAX_WIDTH) - 1

_LITERALS: Final = [bytes((byte,)) for byte in range(256)]


def compress(data: bytes, *, leading_clear: bool = True) -> bytes:
    """``data`` compressed. Go since 1.17 starts with a clear code, before it did not; receivers of both kinds accept both."""
    bits = _BitWriter()
    width = 9
    last_code = _END  # the code that the table entry made last has, or would have
    table: dict[int, int] = {}  # (prefix code << 8 | next byte) -> code
    if leading_clear:
        bits.write(_CLEAR, width)
    prefix = -1
    for byte in data:
        if prefix < 0:
            prefix = byte
            continue
        pair = prefix << 8 | byte
        code = table.get(pair)
        if code is not None:
            prefix = code
            continue
        bits.write(prefix, width)
        last_code += 1
        if last_code >> width:
            width += 1
        if last_code == _TABLE_FULL:
            bits.write(_CLEAR, width)
            width, last_code = 9, _END
            table.clear()
        else:
            table[pair] = last_code
        prefix = byte
    if prefix >= 0:
        bits.write(prefix, width)
        last_code += 1
        if last_code >> width:
            width += 1
        if last_code == _TABLE_FULL:
            bits.write(_CLEAR, width)
            width = 9
    bits.write(_END, width)
    return bits.finish()


def decompress(data: bytes, limit: int) -> bytes:
    """The original of ``data``, refused with ``WireError`` when it would be longer than ``limit`` or when ``data`` is not LZW."""
    output = bytearray()
    table: list[bytes] = []
    previous = b""
    width, codes_read = 9, _END
    pending = pending_bits = 0
    for byte in data:
        pending |= byte << pending_bits
        pending_bits += 8
        if pending_bits < width:
            continue
        code = pending & ((1 << width) - 1)
        pending >>= width
        pending_bits -= width
        if code < _CLEAR:
            entry = _LITERALS[code]
        elif code == _CLEAR:
            table, previous = [], b""
            width, codes_read = 9, _END
            continue
        elif code == _END:
            return bytes(output)
        elif code - _FIRST_FREE < len(table):
            entry = table[code - _FIRST_FREE]
        elif code - _FIRST_FREE == len(table) and previous:
            entry = previous + previous[:1]
        else:
            raise WireError(Reason.BAD_COMPRESSION, "code not in table")
        if len(output) + len(entry) > limit:
            raise WireError(Reason.EXPANDS_TOO_FAR)
        output += entry
        if previous and len(table) + _FIRST_FREE <= _TABLE_FULL:
            table.append(previous + entry[:1])
        previous = entry
        codes_read += 1
        if codes_read >> width and width < _MAX_WIDTH:
            width += 1
    raise WireError(Reason.BAD_COMPRESSION, "no end code")


class _BitWriter:
    def __init__(self) -> None:
        self._output = bytearray()
        self._pending = 0
        self._pending_bits = 0

    def write(self, code: int, width: int) -> None:
        self._pending |= code << self._pending_bits
        self._pending_bits += width
        while self._pending_bits >= 8:
            self._output.append(self._pending & 0xFF)
            self._pending >>= 8
            self._pending_bits -= 8

    def finish(self) -> bytes:
        if self._pending_bits:
            self._output.append(self._pending & 0xFF)
        return bytes(self._output)
