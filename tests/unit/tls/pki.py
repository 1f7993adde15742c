"""Authorities and certificates for tests, as files in a folder."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from rostra.config.settings import Tls, TlsSettings
from rostra.tls.authority import Pair, make_authority, make_certificate
from rostra.tls.material import utc_now

NOTHING = TlsSettings(ca_file="", ca_path="", cert_file="", key_file="", tls_min_version="tlsv1_2", verify_incoming=False)


class Pki:
    """One authority and what it has signed. Files are named after what they hold."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.authority = make_authority(utc_now(), 10)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self.authority.certificate)

    def make(
        self,
        name: str = "server",
        kind: str = "server",
        names: Sequence[str] = ("server.dc1.consul", "localhost"),
        *,
        days: int = 5,
        ago_days: int = 0,
    ) -> Pair:
        """Writes ``NAME.pem`` and ``NAME-key.pem``; an older pair of that name is replaced."""
        made = make_certificate(self.authority, kind, utc_now() - datetime.timedelta(days=ago_days), days, names, ["127.0.0.1"])
        self.write(name, made)
        return made

    def write(self, name: str, pair: Pair) -> None:
        (self.folder / f"{name}.pem").write_bytes(pair.certificate)
        key = self.folder / f"{name}-key.pem"
        key.touch(0o600)
        key.write_bytes(pair.key)

    def settings(
        self,
        name: str = "server",
        *,
        ca_file: Path | str | None = None,
        verify_incoming: bool = True,
        verify_server_hostname: bool = False,
        tls_min_version: str = "tlsv1_2",
    ) -> TlsSettings:
        """For a listener that shows ``NAME`` and trusts this authority, or the one in ``ca_file``."""
        return TlsSettings(
            ca_file=str(self.ca_file if ca_file is None else ca_file),
            ca_path="",
            cert_file=str(self.folder / f"{name}.pem"),
            key_file=str(self.folder / f"{name}-key.pem"),
            tls_min_version=tls_min_version,
            verify_incoming=verify_incoming,
            verify_server_hostname=verify_server_hostname,
        )


def only(section: str, settings: TlsSettings) -> Tls:
    """A process with certificates for one section."""
    sections = {"https": NOTHING, "grpc": NOTHING, "internal_rpc": NOTHING, section: settings}
    return Tls(**sections)
