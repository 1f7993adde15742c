"""What is shared while a process is put together."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from rostra.agent.any_catalog import AnyCatalog
from rostra.agent.control import Control
from rostra.agent.datacenters import Datacenters
from rostra.agent.folder import DataFolder
from rostra.agent.process import Role
from rostra.agent.wiring import Wiring
from rostra.clients.gossip import GossipClient
from rostra.config import Settings
from rostra.model.identity import Identity
from rostra.views.hub import Hub
from rostra.views.upstreams import Upstreams


@dataclass
class Assembly:
    """What the builders share while a process is put together."""

    settings: Settings
    identity: Identity
    wiring: Wiring
    control: Control
    folder: DataFolder | None
    rng: random.Random = field(default_factory=random.Random)
    parts: list[Role] = field(default_factory=list)
    hub: Hub | None = None
    upstreams: Upstreams | None = None
    """The catalogs that ``hub`` lives on."""
    catalogs: AnyCatalog | None = None
    datacenters: Datacenters | None = None

    @property
    def path(self) -> Path | None:
        """The data folder, or None where nothing is kept."""
        return self.folder.path if self.folder is not None else None

    def gossip(self) -> GossipClient:
        return GossipClient(self.wiring.channel("gossip"))
