"""Which roles a process runs, and where those are that they need (docs/guides/processes.md)."""

from __future__ import annotations

from collections.abc import Mapping

from rostra.config.given import Findings
from rostra.config.merged import Merged
from rostra.config.values import ALL_ROLES

NEEDS: Mapping[str, tuple[str, ...]] = {
    "gossip": (),
    "consensus": ("gossip",),
    "catalog": ("consensus", "gossip"),
    "dns": ("catalog",),
    "gateway": ("catalog", "gossip", "local"),
    "local": ("catalog", "gossip"),
}
"""What each role cannot do without."""

WANTS: Mapping[str, tuple[str, ...]] = {"dns": ("gossip",), "consensus": ("catalog",), "local": ("consensus",)}
"""What a role asks of others when it can. dns: which node it is on; alone on an edge it is named by its configuration. consensus: the
catalog that client agents reach through its port 8300. local: to leave Raft in good order, where the node is a server."""

CLIENT_ROLES = ("gossip", "dns", "gateway", "local")
SERVER_ROLES = frozenset({"consensus", "catalog"})
KEEPERS = frozenset({"gossip", "consensus", "local"})
"""These keep something in the data folder."""
WITHOUT_DOOR = frozenset({"gateway", "dns"})
"""No other role calls these over a role door."""

SOCKET = "unix:{data_dir}/{role}.sock"


def settle_roles(merged: Merged, role: str | None, findings: Findings) -> None:
    """Decide ``roles`` and, for a role that only servers have, ``server``. Must come first: other rules go by both."""
    if role is not None:
        if "roles" in merged.given:
            findings.problem(merged.origin("roles"), f"this process is the role {role}; -roles belongs to the agent")
        merged.derive("roles", (role,), f"rostra {role}")
        if role in SERVER_ROLES:
            merged.derive("server", True, f"rostra {role}")
        return
    if "roles" not in merged.given:
        is_server = bool(merged.values["server"])
        merged.derive("roles", ALL_ROLES if is_server else CLIENT_ROLES, merged.origins["server"] if is_server else "default of a client")
    elif "consensus" in merged.values["roles"] and not merged.values["server"]:
        findings.problem(merged.origin("roles"), "the role consensus is for servers: add -server")


def settle_upstreams(merged: Merged, role: str | None, findings: Findings) -> bool:
    """Find every upstream: given, by gossip, or a socket in the data folder. Whether catalogs are found by gossip."""
    here = set(merged.values["roles"])
    for upstream in ("gossip", "consensus", "catalog", "local"):
        path = f"upstreams.{upstream}"
        if upstream in here and merged.values[path]:
            findings.problem(merged.origin(path), f"the role {upstream} runs in this process: say it with -roles or leave this out")
    needed: dict[str, str] = {}
    for name in merged.values["roles"]:
        for upstream in NEEDS[name]:
            if upstream not in here:
                needed.setdefault(upstream, name)
    _settle_wants(merged, here)
    is_client_agent = role is None and not merged.values["server"]
    by_gossip = is_client_agent and "catalog" in needed and not merged.values["upstreams.catalog"]
    by_gossip = by_gossip and ("gossip" in here or "gossip" in needed or bool(merged.values["upstreams.gossip"]))
    data_dir = merged.values["data_dir"]
    for upstream, name in needed.items():
        path = f"upstreams.{upstream}"
        if merged.values[path] or path in findings.bad_paths or (by_gossip and upstream == "catalog"):
            continue
        if data_dir:
            merged.derive(path, (SOCKET.format(data_dir=data_dir.rstrip("/") or "/", role=upstream),), merged.origins["data_dir"])
        elif "data_dir" not in findings.bad_paths:
            findings.problem(f"-{upstream}", f"the role {name} needs {upstream}, which does not run in this process: give its address with "
                             f"-{upstream}, or -data-dir where its socket is")  # fmt: skip
    return by_gossip


def _settle_wants(merged: Merged, here: set[str]) -> None:
    data_dir = merged.values["data_dir"]
    wanted = {upstream for name in merged.values["roles"] for upstream in WANTS.get(name, ())}
    for upstream in wanted - here:
        if data_dir and not merged.values[f"upstreams.{upstream}"]:
            socket = SOCKET.format(data_dir=data_dir.rstrip("/") or "/", role=upstream)
            merged.derive(f"upstreams.{upstream}", (socket,), merged.origins["data_dir"])


def check_doors(merged: Merged, role: str | None, findings: Findings, *, is_dev: bool) -> None:
    """Whether the others reach this role, and whether an observer is a catalog."""
    if merged.values["observer"] and "catalog" not in merged.values["roles"]:
        findings.problem(merged.origin("observer"), "only the role catalog can be an observer")
    if role is None or role in WITHOUT_DOOR or is_dev or merged.values["data_dir"]:
        return
    if not merged.values["grpc_addr"] and not {"data_dir", "grpc_addr"} & findings.bad_paths:
        findings.problem("-data-dir", f"the role {role} needs a door: add -data-dir for a socket in that folder, or -grpc-addr for TCP")
