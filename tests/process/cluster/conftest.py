"""One fleet for each form and file; every test finds it whole, whatever the one before left of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .fleet import FORMS, Fleet

BLOCKS = {form: 60 + 2 * number for number, form in enumerate(FORMS)}


@pytest.fixture(scope="module", params=FORMS)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three servers and the client ``c1``. Use ``fleet``."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), request.param, block=BLOCKS[request.param])
    fleet.add_client("c1")
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def fleet(started: Fleet, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The same, whole. What its processes said is shown with a failure."""
    try:
        started.network.heal()
        started.start()
        started.leader()
        yield started
    finally:
        if request.session.testsfailed:
            print(started.output)
