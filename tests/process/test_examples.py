"""Each program in ``examples/`` is run as its README says."""

from __future__ import annotations

import ast
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Start
from .harness.deployment import HOST, Deployment
from .harness.program import Program, this_rostra
from .harness.running import Running
from .harness.waiting import eventually

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))
LINES_MAX = 60


def example(name: str) -> Program:
    return Program([sys.executable, str(EXAMPLES / name)], this_rostra().environment)


def run(name: str, folder: Path, *arguments: str) -> list[str]:
    """The lines that it prints; it must succeed and complain of nothing."""
    done = example(name).run(folder, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout.splitlines()


Watch = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Watch]:
    """Starts an example that runs until Ctrl-C: ``start("name.py", "argument")``."""
    started: list[Running] = []

    def start(name: str, *arguments: str) -> Running:
        started.append(Running(example(name), tmp_path / "example", arguments))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def interrupt(process: Running) -> None:
    """Ctrl-C, which must end it in good order."""
    process.send(signal.SIGINT)
    assert process.wait(5.0) == 0, process.output
    assert process.errors == []


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_explained_and_uses_public_stubs_only(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) <= LINES_MAX
    assert f"`{name} " in (EXAMPLES / "README.md").read_text()
    tree = ast.parse(text)
    assert f"python {name}" in (ast.get_docstring(tree) or "")
    for statement in ast.walk(tree):
        modules = [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
        modules += [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
        assert not [module for module in modules if module.startswith("rostra") and not module.startswith("rostra.v1")]


def test_register_and_list(node: Deployment, tmp_path: Path) -> None:
    registered, instance, gone = run("register_and_list.py", tmp_path, node.grpc_address)
    assert registered.startswith("registered at log index ")
    assert instance == "printing on printer-1 at 127.0.0.41:631 (Paper: HEALTH_STATUS_PASSING)"
    assert gone == "deregistered"
    assert node.api.get("/v1/catalog/service/printing").json() == []


def test_dns_over_grpc(node: Deployment, tmp_path: Path) -> None:
    name = f"{node.node}.node.consul"
    assert run("dns_over_grpc.py", tmp_path, name, node.grpc_address) == ["NOERROR", f"{name}. 0 IN A {HOST}"]
    assert run("dns_over_grpc.py", tmp_path, "nobody.node.consul", node.grpc_address) == ["NXDOMAIN"]


def test_rest(node: Deployment, tmp_path: Path) -> None:
    shop, listed, gone = run("rest.py", tmp_path, node.http_address)
    assert shop == f"shop on {node.node}, {HOST}:8080"
    assert listed == f"node {node.node} at {HOST}"
    assert gone == "deregistered"
    eventually(lambda: node.api.get("/v1/catalog/service/shop").json() == [], 3.0, "the service is gone")


def test_dns_lookup(node: Deployment, tmp_path: Path) -> None:
    address = f"{HOST}:{node.ports.dns}"
    assert run("dns_lookup.py", tmp_path, "consul", address) == [f"consul at {HOST}:{node.ports.server}"]
    assert run("dns_lookup.py", tmp_path, "nothing", address) == ["no instance of nothing"]


def test_ttl_heartbeat(node: Deployment, start: Watch) -> None:
    worker = start("ttl_heartbeat.py", node.grpc_address)
    worker.wait_for_line("heartbeat: up for 1 s")
    (entry,) = eventually(lambda: node.api.get("/v1/health/service/worker?passing").json(), 3.0, "the service is passing")
    assert entry["Service"]["Port"] == 9000
    interrupt(worker)
    assert worker.lines[-1] == "deregistered"
    eventually(lambda: node.api.get("/v1/catalog/service/worker").json() == [], 3.0, "the service is gone")


def test_watch_members(start_dev: Start, start: Watch) -> None:
    stays, comes = start_dev(node="stays"), start_dev(node="comes")
    watch = start("watch_members.py", stays.grpc_address)
    watch.wait_for_line("watching from stays")
    watch.wait_for_line(rf"stays {HOST}:{stays.ports.serf_lan} MEMBER_STATUS_ALIVE")
    stays.cli("join", f"{HOST}:{comes.ports.serf_lan}")
    watch.wait_for_line("comes MEMBER_CHANGE_KIND_JOINED")
    comes.only.kill()
    watch.wait_for_line("comes MEMBER_CHANGE_KIND_FAILED")
    interrupt(watch)


def test_watch_service_goes_on_after_a_restart_of_the_agent(start_durable: Start, start: Watch) -> None:
    agent = start_durable()
    watch = start("watch_service.py", "web", agent.grpc_address)
    watch.wait_for_line("snapshot at index")
    agent.api.register("db-1", "127.0.0.9", Service={"Service": "web", "Port": 80})
    watch.wait_for_line("db-1/web 127.0.0.9:80")
    agent.only.kill()
    watch.wait_for_line("lost the agent")
    agent.start()
    seen = len(watch.lines)
    eventually(lambda: any("snapshot" in line or "resumed" in line for line in watch.lines[seen - 1 :]), 5.0, "it is back")
    agent.api.register("db-2", "127.0.0.10", Service={"Service": "web", "Port": 80})
    watch.wait_for_line("db-2/web 127.0.0.10:80")
    agent.api.deregister("db-1")
    watch.wait_for_line("db-1/web gone")
    interrupt(watch)


def test_watch_service_resumes_where_it_was_when_only_its_connection_broke(start_six: Start, start: Watch) -> None:
    """The gateway, whose door it is, is killed; the catalog that knows what was missed is not."""
    node = start_six()
    node.api.register("db-1", "127.0.0.9", Service={"Service": "web", "Port": 80})
    watch = start("watch_service.py", "web", node.grpc_address)
    watch.wait_for_line("db-1/web 127.0.0.9:80")
    node.running["gateway"].kill()
    watch.wait_for_line("lost the agent")
    node.start()
    watch.wait_for_line("resumed at index")
    node.api.register("db-2", "127.0.0.10", Service={"Service": "web", "Port": 80})
    watch.wait_for_line("db-2/web 127.0.0.10:80")
    interrupt(watch)
