"""The hosts that faults are made on: one network after another, whatever of the one before is still going away."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from ..harness.lan import Lan, reason_against
from ..harness.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]


def test_a_network_can_be_made_while_somebody_is_left_in_the_one_before() -> None:
    """A process that has not ended yet keeps its namespace, and with it the host's end of the link."""
    if reason := reason_against():
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        with Lan(["one"]).running() as lan:
            namespace = lan.hosts["one"].namespace
            left = stack.enter_context(subprocess.Popen(["ip", "netns", "exec", namespace, "sleep", "50"]))
            stack.callback(left.kill)
            within = ["ip", "netns", "pids", namespace]
            eventually(lambda: subprocess.check_output(within, text=True).split() == [str(left.pid)], within_s=10)
        with Lan(["one"]).running():
            assert left.poll() is None
