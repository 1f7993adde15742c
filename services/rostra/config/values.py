"""What a value may be: from text (flags, variables) or from a document (JSON, HCL), to the value that ``Settings`` holds.

A document is strict, as Consul is: ``"3"`` is no number there. Everything raises ``ValueError`` with what was wrong and what would be
right; the caller puts the culprit before it.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
from collections.abc import Callable
from typing import Any

from rostra.config.durations import format_duration, parse_duration
from rostra.config.key import Key, Kind, Value

ALL_ROLES = ("gossip", "consensus", "catalog", "dns", "gateway", "local")
_TRUE, _FALSE = frozenset({"1", "t", "T", "true", "TRUE", "True"}), frozenset({"0", "f", "F", "false", "FALSE", "False"})
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?)")
_SHOWN_MAX = 80
GOSSIP_KEY_SIZES = (16, 24, 32)


def shown(value: object) -> str:
    """A value as it is quoted in a message: short, on one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    text = text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."
    return '"' + text.encode("unicode_escape").decode().replace('"', '\\"') + '"' if isinstance(value, str) else text


def described(value: object) -> str:
    """What a value of a document is, for a message: a table and a list by their kind, a scalar as it stands."""
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return shown(value)


def is_template(text: str) -> bool:
    """Whether an address is a go-sockaddr template, to be filled in by this machine."""
    return "{{" in text


def address_family(text: str) -> socket.AddressFamily | None:
    """The family of an IP address; None where ``text`` is none."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return family
    return None


def from_text(key: Key, text: str) -> Value:
    """A value from a flag or a variable. A flag that may be repeated gives a list of one."""
    match key.kind:
        case Kind.BOOL:
            if text in _TRUE or text in _FALSE:
                return text in _TRUE
            raise ValueError(f"{shown(text)} is neither true nor false")
        case Kind.INT | Kind.PORT:
            return _check(key, _number(text, int, "a whole number"))
        case Kind.FLOAT:
            return _check(key, _number(text, float, "a number"))
        case Kind.STRINGS | Kind.HOSTS | Kind.NETWORKS:
            return _check(key, [text])
        case Kind.ROLES | Kind.TARGETS:
            return _check(key, [part.strip() for part in text.split(",") if part.strip()])
        case Kind.MAP:
            name, colon, value = text.partition(":")
            if not colon:
                raise ValueError(f"{shown(text)} is not key:value")
            return {name: value}
        case _:
            return _check(key, text)


def list_from_text(key: Key, text: str) -> Value:
    """A value from a variable: as ``from_text``, but lists and maps come whole, with commas."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if key.kind in (Kind.STRINGS, Kind.HOSTS, Kind.NETWORKS):
        return _check(key, parts)
    if key.kind is Kind.MAP:
        return {name: value for part in parts for name, value in from_text(key, part).items()}
    return from_text(key, text)


def from_document(key: Key, value: Any) -> Value:
    """A value from JSON or HCL, already plain: str, int, float, bool, None, list or dict."""
    kind = key.kind
    if kind is Kind.TABLE:
        return _expect(value, isinstance(value, dict), "a table")
    if kind is Kind.LIST:
        return _expect(value, isinstance(value, list), "a list")
    if kind in (Kind.MAP, Kind.DURATIONS):
        _expect(value, isinstance(value, dict) and all(isinstance(item, str) for item in value.values()), "a table of strings")
        return {name: _duration(item, minimum=0.0) if kind is Kind.DURATIONS else item for name, item in value.items()}
    if kind is Kind.BOOL:
        return _expect(value, isinstance(value, bool), "true or false")
    if kind in (Kind.INT, Kind.PORT):
        return _check(key, _expect(value, isinstance(value, int) and not isinstance(value, bool), "a whole number"))
    if kind is Kind.FLOAT:
        return _check(key, float(_expect(value, isinstance(value, int | float) and not isinstance(value, bool), "a number")))
    if kind in (Kind.STRINGS, Kind.HOSTS, Kind.NETWORKS):
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return _check(key, _expect(value, is_list, "a list of strings"))
    if kind in (Kind.ROLES, Kind.TARGETS) and isinstance(value, list):
        return _check(key, _expect(value, all(isinstance(item, str) for item in value), "a list of strings"))
    return from_text(key, _expect(value, isinstance(value, str), "a string"))


def render(key: Key, value: Value) -> str:
    """The text that ``from_text`` reads back as ``value``: for help and for the effective configuration."""
    match key.kind:
        case Kind.BOOL:
            return "true" if value else "false"
        case Kind.DURATION:
            return format_duration(value)
        case Kind.ADDRESSES:
            return " ".join(value)
        case Kind.STRINGS | Kind.HOSTS | Kind.NETWORKS | Kind.ROLES | Kind.TARGETS:
            return ",".join(value)
        case Kind.MAP:
            return ",".join(f"{name}:{item}" for name, item in value.items())
        case Kind.DURATIONS:
            return ",".join(f"{name}:{format_duration(item)}" for name, item in value.items())
        case _:
            return str(value)


def _expect(value: Any, holds: bool, what: str) -> Any:
    if holds:
        return value
    raise ValueError(f"expected {what}, not {described(value)}")


def _number(text: str, kind: Callable[[str], Any], what: str) -> Any:
    try:
        return kind(text) if re.fullmatch(r"[-+]?\d{1,18}(\.\d+)?", text) else kind("?")
    except ValueError:
        raise ValueError(f"{shown(text)} is not {what}") from None


def _check(key: Key, value: Any) -> Value:
    """The value in its final form, if it is one that this kind of setting can have."""
    match key.kind:
        case Kind.INT | Kind.FLOAT:
            return _in_range(key, value)
        case Kind.PORT:
            lowest = -1 if key.minimum is None else 1
            if not (lowest <= value <= 65535) or value == 0:
                raise ValueError(f"{value} is not a port: 1 to 65535" + (", or -1 to turn it off" if lowest < 0 else ""))
            return value
        case Kind.DURATION:
            return _duration(value, minimum=key.minimum or 0.0) if value else 0.0
        case Kind.ADDRESS:
            return _address(value) if value else ""
        case Kind.ADDRESSES:
            parts = (value,) if is_template(value) else tuple(value.split())
            return tuple(dict.fromkeys(_address(part) for part in parts))
        case Kind.LISTEN:
            return _listen(value) if value else ""
        case Kind.HOSTS:
            return tuple(_host(item) for item in value)
        case Kind.NETWORKS:
            return tuple(_network(item) for item in value)
        case Kind.ROLES:
            return _roles(value)
        case Kind.TARGETS:
            return tuple(_target(item) for item in value)
        case Kind.STRINGS:
            return tuple(value)
        case Kind.GOSSIP_KEY:
            return _gossip_key(value) if value else ""
        case _:
            return _choice(key, value)


def _in_range(key: Key, value: float) -> float:
    if key.minimum is not None and value < key.minimum:
        raise ValueError(f"{value} is too small: at least {key.minimum:g}")
    if key.maximum is not None and value > key.maximum:
        raise ValueError(f"{value} is too large: at most {key.maximum:.15g}")
    if abs(value) >= 2**63:
        raise ValueError(f"{value} is out of range")
    return value


def _choice(key: Key, text: str) -> str:
    """Consul takes any case, and ``err`` for error."""
    if not key.choices or not text:
        return text
    lowered = {"err": "error"}.get(text.lower(), text.lower())
    if lowered not in key.choices:
        raise ValueError(f"{shown(text)} is none of {', '.join(key.choices)}")
    return lowered


def _duration(text: str, *, minimum: float) -> float:
    seconds = parse_duration(text)
    if seconds < minimum:
        raise ValueError(f"{text} is too short: at least {format_duration(minimum)}")
    return seconds


def _address(text: str) -> str:
    if is_template(text):
        return text
    if text.startswith("unix:"):
        raise ValueError(f"{shown(text)}: unix sockets for clients are not in this version")
    if address_family(text) is None:
        raise ValueError(f"{shown(text)} is not an IP address")
    return text


def _split_port(text: str, *, needed: bool) -> tuple[str, str]:
    """Host and port of ``host``, ``host:port``, ``::1`` or ``[::1]:port``; the port is empty where there is none."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ""
        valid = bool(bracket) and (rest == "" or rest == ":" + port) and address_family(host) is socket.AF_INET6
    elif text.count(":") > 1:
        host, port, valid = text, "", address_family(text) is socket.AF_INET6
    else:
        host, colon, port = text.partition(":")
        valid = _HOST.fullmatch(host) is not None and bool(port) == bool(colon)
    if not valid or (needed and not port):
        raise ValueError(f"{shown(text)} is not host:port" if needed else f"{shown(text)} is neither a host nor host:port")
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"{shown(text)}: {shown(port)} is not a port: 1 to 65535")
    return host, port


def _listen(text: str) -> str:
    host, _ = _split_port(text, needed=True)
    if address_family(host) is None:
        raise ValueError(f"{shown(text)}: {shown(host)} is not an IP address")
    return text


def _host(text: str) -> str:
    if "provider=" in text:
        raise ValueError("looking up members at a cloud provider is not in this version")  # unquoted: such a text holds keys
    if not is_template(text):
        _split_port(text, needed=False)
    return text


def _target(text: str) -> str:
    if text.startswith("unix:"):
        if not text.removeprefix("unix:"):
            raise ValueError(f"{shown(text)} names no socket")
        return text
    _split_port(text, needed=True)
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f"{shown(text)} is not a network, as in 192.168.1.0/24") from None


def _gossip_key(text: str) -> str:
    """Never quoted: it is a secret."""
    try:
        is_key = len(base64.b64decode(text, validate=True)) in GOSSIP_KEY_SIZES
    except ValueError:
        is_key = False
    if not is_key:
        raise ValueError(f"not a {Kind.GOSSIP_KEY.value}")
    return text


def _roles(names: list[str]) -> tuple[str, ...]:
    for name in names:
        if name not in ALL_ROLES:
            raise ValueError(f"{shown(name)} is not a role: {', '.join(ALL_ROLES)}")
    if not names:
        raise ValueError(f"names no role: {', '.join(ALL_ROLES)}")
    return tuple(name for name in ALL_ROLES if name in names)
