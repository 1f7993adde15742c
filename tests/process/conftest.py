"""Deployments that tests share, and those that a test has for itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .harness.deployment import Deployment, dev_agent, durable_agent, six_processes
from .harness.program import Program, this_rostra
from .harness.waiting import eventually


@pytest.fixture(scope="session")
def shared_dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One dev agent for the whole run. Use ``node``."""
    yield from _run(dev_agent(tmp_path_factory.mktemp("shared")))


@pytest.fixture(scope="session")
def shared_six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One node in six processes for the whole run. Use ``node``, or ``six``."""
    yield from _run(six_processes(tmp_path_factory.mktemp("shared")))


@pytest.fixture(params=["dev agent", "six processes"])
def node(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A node, as one process and as six, for tests that leave it as they found it."""
    yield from _unharmed(request.getfixturevalue("shared_dev" if request.param == "dev agent" else "shared_six"))


@pytest.fixture
def agent(shared_dev: Deployment) -> Iterator[Deployment]:
    """Likewise, where there is only one process to speak of."""
    yield from _unharmed(shared_dev)


@pytest.fixture
def six(shared_six: Deployment) -> Iterator[Deployment]:
    """Likewise, where only the six differ."""
    yield from _unharmed(shared_six)


def _run(deployment: Deployment) -> Iterator[Deployment]:
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()


def _unharmed(deployment: Deployment) -> Iterator[Deployment]:
    """The test that leaves something fails, and not the next one. What an agent is told to forget, the catalog is told a little later."""
    deployment.assert_alive()
    yield deployment
    deployment.assert_alive()
    eventually(lambda: _is_as_started(deployment), 10.0, "the node is as it was before the test")


def _is_as_started(deployment: Deployment) -> bool:
    """Nothing is in the catalog but the node itself, in good health."""
    get = deployment.api.get
    nodes = [node["Node"] for node in get("/v1/catalog/nodes").json()]
    checks = [(check["CheckID"], check["Status"]) for check in get("/v1/health/state/any").json()]
    found = nodes, checks, get("/v1/catalog/services").json()
    assert found == ([deployment.node], [("serfHealth", "passing")], {"consul": []}), found
    return True


Start = Callable[..., Deployment]


@pytest.fixture
def start_dev(tmp_path: Path) -> Iterator[Start]:
    """Starts a dev agent for this test alone: ``start_dev("-flag", node="name")``."""
    yield from _starter(tmp_path, dev_agent)


@pytest.fixture
def start_durable(tmp_path: Path) -> Iterator[Start]:
    """Starts a single durable server for this test alone."""
    yield from _starter(tmp_path, durable_agent)


@pytest.fixture
def start_six(tmp_path: Path) -> Iterator[Start]:
    """Starts the six processes of a node for this test alone."""
    yield from _starter(tmp_path, six_processes)


@pytest.fixture
def program() -> Program:
    """The command ``rostra``."""
    return this_rostra()


def _starter(folder: Path, make: Callable[..., Deployment]) -> Iterator[Start]:
    with ExitStack() as started:
        numbers = itertools.count()

        def start(*flags: str, **options: str) -> Deployment:
            deployment = make(folder / f"node-{next(numbers)}", *flags, **options)
            started.callback(deployment.stop)
            deployment.start()
            return deployment

        yield start
