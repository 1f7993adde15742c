"""Configuration: flags, variables and files in Consul's style, checked at once and handed on as one frozen ``Settings``.

``load`` is the way in. ``keys`` is the table of everything that can be set; ``help``, ``effective`` and ``reload`` read it too.
"""

from rostra.config.load import Loaded, load
from rostra.config.settings import Settings

__all__ = ["Loaded", "Settings", "load"]
