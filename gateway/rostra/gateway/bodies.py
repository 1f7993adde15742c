"""JSON bodies of writes. As with Consul, the case of names does not matter, null is the same as nothing (in a list or map, an empty one of
its kind), and a field that is not known is refused by name; an agent's bodies may also be written in snake case, as its configuration is.
Unlike Consul's, a body ends where its JSON ends."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from rostra.gateway.answer import HttpError

T = TypeVar("T", bound=msgspec.Struct)

_CONTAINERS: Final = (dict, list)
_HINT: Final = "Request decode failed: "


class _BadBodyError(Exception):
    """What is wrong with it."""


def decode_body(body: bytes, kind: type[T], hint: str = _HINT) -> T:
    """``body`` as a ``kind``; raises 400 that names the field. A kind with ``forbid_unknown_fields`` takes no other fields. ``hint``:
    the words before, which differ from endpoint to endpoint."""
    try:
        return _decoded(body, kind)
    except _BadBodyError as error:
        raise HttpError(400, f"{hint}{error}") from None


def _decoded(body: bytes, kind: type[T]) -> T:
    if not body.strip():
        raise _BadBodyError("EOF")
    try:
        raw = msgspec.json.decode(body)
        body.decode()
    except msgspec.DecodeError as error:
        text = "unexpected EOF" if "truncated" in str(error) else str(error)
        raise _BadBodyError(text) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise _BadBodyError("not UTF-8" if isinstance(error, UnicodeDecodeError) else "nested too deeply") from None
    if raw is None:
        raw = {}
    try:
        return msgspec.convert(_canonical(raw, kind), kind)
    except msgspec.ValidationError as error:
        raise _BadBodyError(str(error).replace(" - at `$.", " at `").replace(" - at `$`", "")) from None


@lru_cache
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, tuple[str, Any]]:
    """Each field by its name in small letters: its own spelling, and its type."""
    return {field.encode_name.lower(): (field.encode_name, field.type) for field in msgspec.structs.fields(kind)}


@lru_cache
def _bare(kind: Any) -> Any:
    """A type without what may be missing or is only a limit."""
    while True:
        origin = typing.get_origin(kind)
        if origin in (typing.Union, types.UnionType):
            kind = next(part for part in typing.get_args(kind) if part is not type(None) and part is not msgspec.UnsetType)
        elif origin is typing.Annotated:
            kind = typing.get_args(kind)[0]
        else:
            return kind


@lru_cache
def _inner(kind: Any) -> Any:
    """The type of a list's items or of a map's values; None where that may be anything."""
    return next(iter(typing.get_args(kind)[-1:]), None)


def _zero(kind: Any) -> object:
    """What stands for a null among others: nothing of its kind."""
    bare = _bare(kind)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        return {}
    return (typing.get_origin(bare) or bare)()


def _canonical(value: object, kind: Any) -> object:
    """``value`` with the names that ``kind`` has, nulls as nothing; what does not fit is left for the conversion to refuse."""
    if type(value) not in _CONTAINERS:
        return value
    kind = _bare(kind)
    if isinstance(value, list):
        inner = _inner(kind)
        return value if inner is None else [_zero(inner) if item is None else _canonical(item, inner) for item in value]
    assert isinstance(value, dict)
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        inner = _inner(kind)
        if inner is None or inner is Any:
            return value
        return {key: _zero(inner) if item is None else _canonical(item, inner) for key, item in value.items()}
    fields, found, snake_case = _fields(kind), {}, getattr(kind, "snake_case", False)
    for key, item in value.items():
        field = fields.get(key.lower().replace("_", "") if snake_case else key.lower())
        if field is None:
            if kind.__struct_config__.forbid_unknown_fields:
                raise _BadBodyError(f'json: unknown field "{key}"')
        elif item is not None:
            found[field[0]] = _canonical(item, field[1]) if type(item) in _CONTAINERS else item
    return found
