"""A build of rostra whose minutes are short: what a user may set to no less than a minute is seen within seconds."""

from __future__ import annotations

import sys
from typing import Final

from ..harness.program import Program, this_rostra

START: Final = (
    "import sys; from rostra.local import driver, rules; from rostra.cli.main import main;"
    "rules.DEREGISTER_MIN_S = 0.5; driver.REAP_S = 0.2; sys.exit(main())"
)


def build() -> Program:
    """Services that have been critical for half a second may be deregistered, and are looked for five times a second."""
    return Program([sys.executable, "-c", START], this_rostra().environment)
