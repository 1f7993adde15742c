"""Deployments that tests share, and those that a test has for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .harness.deployment import Deployment, dev_agent, durable_agent, six_processes
from .harness.program import Program, this_rostra

SHAPES: dict[str, Callable[[Path], Deployment]] = {"dev agent": dev_agent, "six processes": six_processes}


@pytest.fixture(scope="session", params=list(SHAPES))
def shared_node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One node in each shape, started once. Use ``node``."""
    deployment = SHAPES[request.param](tmp_path_factory.mktemp("node"))
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture
def node(shared_node: Deployment) -> Iterator[Deployment]:
    """A node, as one process and as six, for tests that leave it as they found it."""
    shared_node.assert_alive()
    yield shared_node
    shared_node.assert_alive()


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
    started: list[Deployment] = []

    def start(*flags: str, **options: str) -> Deployment:
        deployment = make(folder / f"node-{len(started)}", *flags, **options)
        started.append(deployment)
        deployment.start()
        return deployment

    yield start
    for deployment in started:
        deployment.stop()
