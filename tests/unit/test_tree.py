"""Rules about the tree itself (CONTRIBUTING.md, "Layout")."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("services", "gateway", "proto")
ROLES = ("gossip", "consensus", "catalog", "dns", "local", "gateway")
SHARED = {
    "rostra.v1", "rostra.model", "rostra.filters", "rostra.backup", "rostra.clients", "rostra.views", "rostra.errors", "rostra.rpc",
    "rostra.telemetry", "rostra.version", "rostra.durable", "rostra.config.durations",
}  # fmt: skip
"""What a role may lean on: contracts, values, clients, views, and the plumbing. Not the agent, nor its configuration but for the
spelling of durations: a role is given settings of its own."""

CORES = (
    "services/rostra/model/autopilot.py",
    "services/rostra/backup/archive.py",
    "services/rostra/model/catalog.py",
    "services/rostra/model/consistency.py",
    "services/rostra/model/coordinates.py",
    "services/rostra/model/identity.py",
    "services/rostra/model/members.py",
    "services/rostra/model/nearness.py",
    "services/rostra/model/servers.py",
    "services/rostra/model/topics.py",
    "services/rostra/filters/*.py",
    "services/rostra/gossip/awareness.py",
    "services/rostra/gossip/broadcasts.py",
    "services/rostra/gossip/conflict.py",
    "services/rostra/gossip/coordinates.py",
    "services/rostra/gossip/core.py",
    "services/rostra/gossip/departure.py",
    "services/rostra/gossip/dissemination.py",
    "services/rostra/gossip/events.py",
    "services/rostra/gossip/expressions.py",
    "services/rostra/gossip/keyring.py",
    "services/rostra/gossip/key_queries.py",
    "services/rostra/gossip/lamport.py",
    "services/rostra/gossip/membership.py",
    "services/rostra/gossip/probe.py",
    "services/rostra/gossip/queries.py",
    "services/rostra/gossip/serf.py",
    "services/rostra/gossip/serf_members.py",
    "services/rostra/gossip/suspicion.py",
    "services/rostra/gossip/timing.py",
    "services/rostra/gossip/versions.py",
    "services/rostra/gossip/wire/*.py",
    "services/rostra/consensus/configuration.py",
    "services/rostra/consensus/core.py",
    "services/rostra/consensus/events.py",
    "services/rostra/consensus/lease.py",
    "services/rostra/consensus/log.py",
    "services/rostra/consensus/messages.py",
    "services/rostra/consensus/model.py",
    "services/rostra/consensus/progress.py",
    "services/rostra/consensus/quorum.py",
    "services/rostra/consensus/read_index.py",
    "services/rostra/consensus/ready.py",
    "services/rostra/catalog/entries.py",
    "services/rostra/catalog/reconcile.py",
    "services/rostra/catalog/backup.py",
    "services/rostra/catalog/frames.py",
    "services/rostra/catalog/restore.py",
    "services/rostra/catalog/results.py",
    "services/rostra/model/rules.py",
    "services/rostra/catalog/server_health.py",
    "services/rostra/catalog/state.py",
    "services/rostra/catalog/store.py",
    "services/rostra/catalog/tables.py",
    "services/rostra/catalog/topic_indexes.py",
    "services/rostra/local/core.py",
    "services/rostra/views/barriers.py",
    "services/rostra/views/near_leader.py",
    "services/rostra/views/publisher.py",
    "services/rostra/views/rebalance.py",
    "services/rostra/views/session.py",
    "services/rostra/views/view.py",
    "services/rostra/dns/answer.py",
    "services/rostra/dns/answers.py",
    "services/rostra/dns/core.py",
    "services/rostra/dns/message.py",
    "services/rostra/dns/names.py",
    "services/rostra/dns/node_answers.py",
    "services/rostra/dns/records.py",
    "services/rostra/dns/service_answers.py",
    "services/rostra/dns/wire.py",
    "services/rostra/dns/zone.py",
)
"""Files that are pure protocol, or maths, or values: patterns below the root."""
IMPURE = {"asyncio", "grpc", "socket", "ssl", "time", "threading", "subprocess", "select", "selectors", "uvloop", "logging"}
GLOBAL_RANDOM = {
    *(f"random.{name}" for name in ("random", "uniform", "randrange", "randint", "choice", "choices", "shuffle", "sample", "getrandbits")),
    "os.urandom", "uuid.uuid1", "uuid.uuid4",
}  # fmt: skip
HEAVY = {"grpc", "uvloop", "uvicorn", "starlette", "lmdb", "dnslib", "dns", "google", "cryptography", "prometheus_client"}
CHECKS_OF_USERS = "services/rostra/local/checks/grpc_health.py"
"""It asks what users registered, with the TLS that they registered."""
MODULES = [path for root in SOURCE_ROOTS for path in sorted((ROOT / root / "rostra").rglob("*.py")) if "/v1/" not in str(path)]


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports; those for type checkers only are left out."""
    for statement in _statements(ast.parse(path.read_text()).body):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{path}: relative import"
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        yield statement
        for child in ast.walk(statement):
            if child is not statement and isinstance(child, ast.Import | ast.ImportFrom):
                yield child


def core_files() -> list[Path]:
    return [path for pattern in CORES for path in sorted(ROOT.glob(pattern))]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_init_sits_directly_in_a_namespace_folder() -> None:
    for root in SOURCE_ROOTS:
        assert not (ROOT / root / "rostra" / "__init__.py").exists()


def test_every_package_says_what_it_is_for_and_that_it_is_typed() -> None:
    packages = {path.parent for path in MODULES if path.parent.name != "rostra"}
    assert len(packages) > len(ROLES)
    for package in packages:
        init = package / "__init__.py"
        assert init.exists(), f"{named(package)} has no __init__.py"
        assert ast.get_docstring(ast.parse(init.read_text())), f"{named(init)} has no docstring"
    for root in SOURCE_ROOTS:
        for package in (path for path in (ROOT / root / "rostra").iterdir() if path.is_dir() and path.name != "__pycache__"):
            assert (package / "py.typed").exists(), f"{named(package)} has no py.typed"


def test_every_module_has_a_docstring() -> None:
    assert [named(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_every_core_that_is_listed_exists() -> None:
    assert [pattern for pattern in CORES if not list(ROOT.glob(pattern))] == []


def test_cores_import_no_loop_no_socket_and_no_clock() -> None:
    found = {named(path): {module.partition(".")[0] for module in imports(path)} & IMPURE for path in core_files()}
    assert {path: modules for path, modules in found.items() if modules} == {}


def test_cores_use_no_global_randomness() -> None:
    called = ((path, node.func) for path in core_files() for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    assert [(named(path), ast.unparse(function)) for path, function in called if ast.unparse(function) in GLOBAL_RANDOM] == []


@pytest.mark.parametrize("role", ROLES)
def test_roles_know_each_other_by_contracts_clients_and_views_only(role: str) -> None:
    folder = ROOT / ("gateway" if role == "gateway" else "services") / "rostra" / role
    assert strangers(folder, SHARED | {f"rostra.{role}"}) == []


@pytest.mark.parametrize(
    "package", sorted({name.removeprefix("rostra.") for name in SHARED if (ROOT / "services" / name.replace(".", "/")).is_dir()})
)
def test_what_roles_share_knows_no_role(package: str) -> None:
    assert strangers(ROOT / "services" / "rostra" / package, SHARED) == []


def strangers(folder: Path, allowed: set[str]) -> list[str]:
    """Imports of rostra's own modules that are in none of these packages."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for module in imports(path):
            is_known = any(module == name or module.startswith(f"{name}.") for name in allowed)
            if module.startswith("rostra.") and not is_known:
                found.append(f"{named(path)} imports {module}")
    return found


@pytest.mark.parametrize(
    ("called", "allowed"),
    [
        ("insecure_channel", {"services/rostra/rpc/channels.py", CHECKS_OF_USERS}),
        ("secure_channel", {"services/rostra/rpc/channels.py", CHECKS_OF_USERS}),
        ("add_insecure_port", {"services/rostra/rpc/doors.py"}),
        ("add_secure_port", {"services/rostra/rpc/doors.py"}),
    ],
)
def test_channels_and_ports_are_made_in_one_place_that_knows_of_tls(called: str, allowed: set[str]) -> None:
    calls = ((path, node.func) for path in MODULES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    found = {named(path) for path, function in calls if ast.unparse(function).rpartition(".")[2] == called}
    assert found <= allowed


def test_nobody_goes_past_the_connector() -> None:
    """``rostra.rpc.channels.connect`` is plaintext: a process asks its connector, which knows the certificates."""
    bare = {"rostra.rpc.channels.connect", "rostra.rpc.channels.PlainConnector", "rostra.rpc.channels"}
    assert [named(path) for path in MODULES if bare & set(imports(path))] == ["services/rostra/tls/connector.py"]


def test_client_commands_import_no_server_library() -> None:
    """``rostra members`` must be quick: the standard library, rich where a terminal needs it, and the table of settings."""
    found = {
        named(path): {module.partition(".")[0] for module in imports(path)} & HEAVY for path in (ROOT / "services/rostra/cli").rglob("*.py")
    }
    assert {path: modules for path, modules in found.items() if modules} == {}


def test_the_reference_is_what_the_code_gives() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/reference/generate.py", "--check"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
