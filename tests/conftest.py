"""What all tests share: the rule about real peers, and how hypothesis draws examples.

A test marked ``interop`` needs programs that are not ours: ``@pytest.mark.interop("consul", "dig")`` names them, or the test asks
with the fixture ``require``. Where one is missing the test is skipped and says which. With ``REQUIRE_REAL_PEERS=1``, as in CI after
the peers have been installed, no interop test may be skipped, for whatever reason.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine than about the code. The same examples each time, so that a change is judged by
# what it changes; others are drawn with --hypothesis-profile=anew.
settings.register_profile("anew", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("as ever", settings.get_profile("anew"), derandomize=True, database=None)
settings.load_profile("as ever")

PEERS_ARE_REQUIRED = os.environ.get("REQUIRE_REAL_PEERS", "") not in ("", "0")


def require_programs(*programs: str) -> None:
    """Skips the test unless every program is on PATH."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} on PATH")


@pytest.fixture(scope="session")
def require() -> Callable[..., None]:
    """``require("consul", "dig")``: skips the test unless these programs are on PATH."""
    return require_programs


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("interop"):
        require_programs(*mark.args)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped interop test fails where peers are required."""
    report = yield
    if report.skipped and PEERS_ARE_REQUIRED and item.get_closest_marker("interop") is not None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped although REQUIRE_REAL_PEERS is set: {reason}"
    return report
