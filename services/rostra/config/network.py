"""Addresses and ports: templates filled in, defaults derived, what is advertised, and no two doors in one place."""

from __future__ import annotations

from collections.abc import Iterator

from rostra.config.given import Findings
from rostra.config.key import Kind
from rostra.config.keys import SETTINGS
from rostra.config.machine import Machine, fill_in, is_unspecified
from rostra.config.merged import Merged
from rostra.config.values import is_template

_TCP_DOORS = (
    ("dns", "dns", "addresses.dns"),
    ("dns_tls", "dns", "addresses.dns"),
    ("http", "gateway", "addresses.http"),
    ("https", "gateway", "addresses.https"),
    ("grpc", "gateway", "addresses.grpc"),
    ("server", "consensus", "bind_addr"),
    ("serf_lan", "gossip", "serf_lan"),
    ("serf_wan", "gossip", "serf_wan"),
)
"""Port, the role that listens on it, and where its addresses are."""


def settle_addresses(merged: Merged, machine: Machine, findings: Findings) -> None:
    """Everything about addresses, in the order in which one follows from another."""
    _fill_templates(merged, machine, findings)
    values = merged.values
    for path in ("serf_lan", "serf_wan"):
        if not values[path]:
            merged.derive(path, values["bind_addr"], merged.origins["bind_addr"])
    if not values["client_addr"]:
        merged.derive("client_addr", SETTINGS["client_addr"].default, "default")
    for path in ("addresses.dns", "addresses.http", "addresses.https", "addresses.grpc"):
        if not values[path]:
            merged.derive(path, values["client_addr"], merged.origins["client_addr"])
    if "gossip" in values["roles"]:
        _settle_advertised(merged, machine, findings)
    _check_ports(merged, findings)


def _fill_templates(merged: Merged, machine: Machine, findings: Findings) -> None:
    for path, key in SETTINGS.items():
        if key.kind not in (Kind.ADDRESS, Kind.ADDRESSES, Kind.HOSTS):
            continue
        value, origin = merged.values[path], merged.origin(path)
        try:
            if key.kind is Kind.ADDRESS:
                filled: object = fill_in(value, machine) if is_template(value) else value
            else:
                filled = tuple(fill_in(item, machine) if is_template(item) else item for item in value)
        except ValueError as error:
            findings.problem(origin, f"{path}: {error}")
            findings.bad_paths.add(path)
            filled = key.default
        merged.derive(path, filled, merged.origins[path])


def _settle_advertised(merged: Merged, machine: Machine, findings: Findings) -> None:
    values, bind = merged.values, merged.values["bind_addr"]
    by_family = ("advertise_addr_ipv6", "advertise_addr_ipv4") if ":" in bind else ("advertise_addr_ipv4", "advertise_addr_ipv6")
    for path, is_ipv6 in (("advertise_addr_ipv4", False), ("advertise_addr_ipv6", True)):
        if values[path] and (":" in values[path]) != is_ipv6:
            findings.problem(merged.origin(path), f"{path}: {values[path]} is of the other family")
    source = next((path for path in ("advertise_addr", *by_family) if values[path]), "")
    if source:
        merged.derive("advertise_addr", values[source], merged.origins[source])
    elif not is_unspecified(bind):
        merged.derive("advertise_addr", bind, merged.origins["bind_addr"])
    elif not {"bind_addr", "advertise_addr", *by_family} & findings.bad_paths and not findings.is_partial:
        _choose_private(merged, machine, findings)
    if not values["advertise_addr_wan"]:
        merged.derive("advertise_addr_wan", values["advertise_addr"], merged.origins["advertise_addr"])
    for path in ("advertise_addr", "advertise_addr_wan"):
        if values[path] and is_unspecified(values[path]):
            findings.problem(merged.origin(path), f"{path}: {values[path]} is no address that others can reach")


def _choose_private(merged: Merged, machine: Machine, findings: Findings) -> None:
    """The one private address; with several, or none, only the operator knows."""
    private = machine.private()
    if len(private) == 1:
        merged.derive("advertise_addr", private[0].address, f"private address of {private[0].interface}")
        return
    if private:
        listed = ", ".join(f"{one.address} ({one.interface})" for one in private)
        findings.problem("-advertise", f"this machine has several private addresses, {listed}: choose one with -advertise or -bind")
    else:
        findings.problem("-advertise", "this machine has no private address: give the address for others with -advertise or -bind")


def _check_ports(merged: Merged, findings: Findings) -> None:
    """No two TCP doors of this process at one address and port."""
    doors = [(f"ports.{name}", merged.values[f"ports.{name}"], _listed(merged.values[path])) for name, role, path in _TCP_DOORS
             if role in merged.values["roles"]]  # fmt: skip
    for position, (path, port, addresses) in enumerate(doors):
        for other_path, other_port, other_addresses in doors[:position]:
            if port == other_port and port > 0 and (shared := _shared(addresses, other_addresses)):
                culprit = path if path in merged.given or other_path not in merged.given else other_path
                findings.problem(merged.origin(culprit), f"{other_path} and {path} are both {port} on {shared}")


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _shared(addresses: tuple[str, ...], others: tuple[str, ...]) -> str:
    """An address that both listen on, an unspecified one being all of them; empty where there is none."""
    return next(_overlaps(addresses, others), "")


def _overlaps(addresses: tuple[str, ...], others: tuple[str, ...]) -> Iterator[str]:
    for one in addresses:
        for other in others:
            if one == other or is_unspecified(other):
                yield one
            elif is_unspecified(one):
                yield other
