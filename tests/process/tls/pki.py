"""Certificates for processes, made by the commands that a user has."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..harness.program import this_rostra


class Pki:
    """A folder in which ``rostra tls`` has been called. Every folder is another authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.tls("ca", "create")
        self.ca_file = self.work / "consul-agent-ca.pem"

    def tls(self, *words: str) -> None:
        done = this_rostra().run(self.folder, "tls", *words)
        assert done.returncode == 0, done.stderr

    def make(self, kind: str = "server", *flags: str) -> tuple[Path, Path]:
        """A new certificate and its key."""
        before = set(self.work.iterdir())
        self.tls("cert", "create", f"-{kind}", *flags)
        (key,) = (path for path in set(self.work.iterdir()) - before if path.name.endswith("-key.pem"))
        return key.with_name(key.name.replace("-key", "")), key

    def block(self, section: str = "defaults", kind: str = "server", more: str = "") -> str:
        """A flag that gives a section a certificate of its own, in files named after section and kind."""
        name = f"{section}-{kind}"
        for made, file in zip(self.make(kind), (f"{name}.pem", f"{name}-key.pem"), strict=True):
            shutil.copy(made, self.work / file)
        return (f'-hcl=tls {{ {section} {{ ca_file = "{self.ca_file}" cert_file = "{self.work}/{name}.pem" '
                f'key_file = "{self.work}/{name}-key.pem" {more} }} }}')  # fmt: skip

    def renew(self, section: str) -> None:
        """Replaces the section's certificate of a server, as an operator would before a reload."""
        for made, file in zip(self.make(), (f"{section}-server.pem", f"{section}-server-key.pem"), strict=True):
            made.replace(self.work / file)
