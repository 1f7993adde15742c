"""What must hold between settings, and what follows from them: node, domains, server, data folder."""

from __future__ import annotations

import re
import uuid

from rostra.config.given import Findings
from rostra.config.machine import Machine
from rostra.config.merged import Merged
from rostra.config.roles import KEEPERS, SERVER_ROLES
from rostra.config.values import shown

META_COUNT_MAX, META_KEY_MAX, META_VALUE_MAX = 64, 128, 512
LABEL_MAX = 63
NODE_NAME_MAX = 255
DOMAIN_MAX = 253
SOCKET_PATH_MAX = 107  # unix(7): sun_path is 108 bytes with its end
_LONGEST_SOCKET = "/consensus.sock"
_LABEL = re.compile(rf"[a-z0-9_]([a-z0-9_-]{{0,{LABEL_MAX - 2}}}[a-z0-9_])?")
_DATACENTER = re.compile(r"[a-z0-9_-]{1,64}")
_META_KEY = re.compile(r"[A-Za-z0-9_-]+")


def settle_identity(merged: Merged, machine: Machine, findings: Findings) -> None:
    """Name, ID, datacenter and metadata of the node. Without gossip in this process, what nobody gave stays empty: gossip knows it."""
    has_gossip = "gossip" in merged.values["roles"]
    values = merged.values
    if "node_name" not in merged.given and has_gossip:
        merged.derive("node_name", machine.host_name, "host name")
    if "node_name" in merged.given or has_gossip:
        _check_node_name(values["node_name"], merged.origin("node_name"), findings)
    if values["node_id"]:
        try:
            merged.derive("node_id", str(uuid.UUID(values["node_id"])), merged.origins["node_id"])
        except ValueError:
            findings.problem(merged.origin("node_id"), f"node_id: {shown(values['node_id'])} is not a UUID")
    if "datacenter" in merged.given or has_gossip:
        datacenter = values["datacenter"].lower()
        if not _DATACENTER.fullmatch(datacenter):
            findings.problem(
                merged.origin("datacenter"), f"datacenter: {shown(datacenter)} has more than letters, digits, - and _, at most 64"
            )
        merged.derive("datacenter", datacenter, merged.origins["datacenter"])
    else:
        merged.derive("datacenter", "", "gossip")
    _check_meta(values["node_meta"], merged.origin("node_meta"), findings)


def _check_node_name(name: str, origin: str, findings: Findings) -> None:
    if not name or len(name.encode()) > NODE_NAME_MAX or not name.isprintable() or re.search(r"[\s/]", name):
        findings.problem(
            origin, f"node_name: {shown(name)} is no name for a node: 1 to {NODE_NAME_MAX} characters without spaces and slashes"
        )
        return
    faults = [fault for found, fault in ((len(name) > LABEL_MAX, f"is over {LABEL_MAX} characters"), ("." in name, "has a dot"),
                                         ("_" in name, "has an underscore")) if found]  # fmt: skip
    if not faults and not _LABEL.fullmatch(name.lower()):
        faults = ["has more than letters, digits and inner dashes"]
    if faults:
        findings.warn(origin, f"the node name {shown(name)} {' and '.join(faults)}: DNS look-ups of it can fail, and NS answers leave it "
                      "out; choose another with -node")  # fmt: skip


def _check_meta(meta: dict[str, str], origin: str, findings: Findings) -> None:
    if len(meta) > META_COUNT_MAX:
        findings.problem(origin, f"node_meta: {len(meta)} pairs, at most {META_COUNT_MAX}")
    for key, value in meta.items():
        if not _META_KEY.fullmatch(key) or len(key) > META_KEY_MAX:
            findings.problem(origin, f"node_meta: the key {shown(key)} is not 1 to {META_KEY_MAX} letters, digits, - and _")
        elif key.startswith("consul-"):
            findings.problem(origin, f"node_meta: the key {shown(key)} begins with consul-, which is reserved")
        if len(value) > META_VALUE_MAX:
            findings.problem(origin, f"node_meta: the value of {shown(key)} has {len(value)} characters, at most {META_VALUE_MAX}")


def settle_domains(merged: Merged, findings: Findings) -> None:
    """Domains in lower case, with the dot at the end."""
    for path in ("domain", "alt_domain"):
        text = merged.values[path]
        domain = text.lower().removesuffix(".")
        if not domain and path == "alt_domain":
            continue
        if len(domain) > DOMAIN_MAX or not all(_LABEL.fullmatch(label) for label in domain.split(".")):
            findings.problem(merged.origin(path), f"{path}: {shown(text)} is not a domain name")
        merged.derive(path, f"{domain}.", merged.origins[path])


def settle_server(merged: Merged, findings: Findings, *, is_dev: bool) -> int:
    """Server or client, and the first election: how many servers it waits for (``Server.voters_expected``)."""
    values = merged.values
    is_server, expected = bool(values["server"]), int(values["bootstrap_expect"])
    for path in ("bootstrap", "bootstrap_expect"):
        if values[path] and not is_server:
            findings.problem(merged.origin(path), f"{path} is for servers: add -server")
    if values["bootstrap"] and expected > 1:
        findings.problem(merged.origin("bootstrap"), f"bootstrap contradicts bootstrap_expect = {expected}: leave one of them out")
    if is_dev and expected > 1:
        findings.problem(merged.origin("bootstrap_expect"), "bootstrap_expect: with -dev there is one server, and it elects itself")
    if values["leave_on_terminate"] is None:
        merged.derive("leave_on_terminate", not is_server, "default of a server" if is_server else "default of a client")
    if is_dev or values["bootstrap"]:
        expected = 1
    has_consensus = "consensus" in values["roles"]
    if has_consensus and is_server and not is_dev:
        _check_first_election(merged, expected, findings)
    return expected


def _check_first_election(merged: Merged, expected: int, findings: Findings) -> None:
    """Only where gossip is in this process as well can it be told whether the server will find others."""
    ways = ("bootstrap", "bootstrap_expect", "retry_join", "start_join")
    can_start = any(merged.values[path] for path in ways) or findings.is_partial or set(ways) & findings.bad_paths
    if "gossip" in merged.values["roles"] and not can_start:
        findings.problem("-server", "add -bootstrap-expect=N (the number of servers) or -bootstrap for the first servers of a cluster, or "
                         "-retry-join=ADDRESS to join one")  # fmt: skip
    origin = merged.origin("bootstrap" if merged.values["bootstrap"] else "bootstrap_expect")
    if expected == 1:
        findings.warn(origin, "this is the only server: losing its disk loses the catalog; three servers survive the loss of one")
    elif expected and expected % 2 == 0:
        findings.warn(origin, f"{expected} servers survive no more failures than {expected - 1}")


def settle_data_dir(merged: Merged, role: str | None, findings: Findings, *, is_dev: bool) -> None:
    """The data folder: none with ``-dev``; else needed by whatever keeps something."""
    values = merged.values
    if is_dev:
        if values["data_dir"]:
            findings.warn(merged.origin("data_dir"), "data_dir is not used: with -dev nothing is kept")
        merged.derive("data_dir", "", "-dev")
        return
    if len(f"{values['data_dir']}{_LONGEST_SOCKET}".encode()) > SOCKET_PATH_MAX:
        room = SOCKET_PATH_MAX - len(_LONGEST_SOCKET)
        findings.problem(merged.origin("data_dir"), f"data_dir: the path is too long for the sockets in it, at most {room} bytes")
    keepers = KEEPERS & set(values["roles"])
    if values["data_dir"] or not keepers or "data_dir" in findings.bad_paths or findings.is_partial:
        return
    if role is None:
        findings.problem("-data-dir", "the agent needs a folder for what it keeps: add -data-dir=FOLDER, or -dev to try it out")
    elif role in SERVER_ROLES:
        findings.problem("-data-dir", f"the role {role} needs a folder for its log: add -data-dir=FOLDER, or -dev to try it out")
    elif values["grpc_addr"]:
        lost = "the node ID and the known members" if role == "gossip" else "the services and checks registered here"
        findings.warn("-data-dir", f"without a data folder {lost} are forgotten at a restart")
