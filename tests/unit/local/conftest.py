"""What tests of the local role share."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest imports test modules by path; the fakes beside them are found like this.
sys.path.insert(0, str(Path(__file__).parent))
