"""``python -m rostra.cli``: the same as the command ``rostra``."""

import sys

from rostra.cli.main import main

sys.exit(main())
