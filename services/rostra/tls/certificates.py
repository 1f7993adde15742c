"""What every listener of a process shows and trusts now. ``reload`` takes the files anew: new handshakes see them, connections stay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from rostra.config.settings import Tls, TlsSettings
from rostra.errors import ConfigError
from rostra.tls.material import FOR_AGENTS, Material, read_material, utc_now

log = logging.getLogger("rostra.agent")

WARN_BEFORE: Final = timedelta(days=30)


class Certificates:
    """Those of one listener. ``material`` is replaced, never changed: whoever reads it may be on a thread of gRPC's."""

    def __init__(self, section: str, settings: TlsSettings, clock: Callable[[], datetime] = utc_now) -> None:
        self.section = section
        self.settings = settings
        self._clock = clock
        self.material = self.read()

    def read(self) -> Material:
        """What the files hold now. Raises ``ConfigError``."""
        return read_material(self.section, self.settings, self._clock())

    def warn_of_expiry(self) -> None:
        """Once a start and a reload: it is a line that somebody has to act on."""
        if self.material.expires - self._clock() < WARN_BEFORE:
            log.warning("certificate expires soon", extra={"key": f"{self.section}.cert_file", "file": self.settings.cert_file,
                                                           "at": f"{self.material.expires:%Y-%m-%d %H:%M} UTC"})  # fmt: skip


class ProcessCertificates:
    """Those of all listeners of a process; None where a listener has none and speaks plaintext."""

    def __init__(self, settings: Tls, clock: Callable[[], datetime] = utc_now) -> None:
        """Raises ``ConfigError`` with the problems of every section."""
        problems: list[str] = []

        def opened(section: str, of_section: TlsSettings) -> Certificates | None:
            try:
                return Certificates(section, of_section, clock) if of_section.is_on else None
            except ConfigError as error:
                problems.extend(error.problems)
                return None

        self.https = opened("tls.https", settings.https)
        self.grpc = opened("tls.grpc", settings.grpc)
        self.internal_rpc = opened(FOR_AGENTS, settings.internal_rpc)
        if problems:
            raise ConfigError(problems)
        self.when_changed: list[Callable[[], None]] = []
        """Called after a reload that brought something new."""

    @property
    def all(self) -> Sequence[Certificates]:
        return [each for each in (self.https, self.grpc, self.internal_rpc) if each is not None]

    def warn_of_expiry(self) -> None:
        for each in self.all:
            each.warn_of_expiry()

    def reload(self) -> Sequence[str]:
        """The sections that changed. Raises ``ConfigError`` with every problem; then all keep what they had."""
        return self.prepare()()

    def prepare(self) -> Callable[[], Sequence[str]]:
        """Reads the files, and gives what puts them in force and names the sections that changed. Raises as ``reload``."""
        problems: list[str] = []
        found: list[tuple[Certificates, Material]] = []
        for each in self.all:
            try:
                found.append((each, each.read()))
            except ConfigError as error:
                problems.extend(error.problems)
        if problems:
            raise ConfigError(problems)
        return lambda: self._take(found)

    def _take(self, found: Sequence[tuple[Certificates, Material]]) -> Sequence[str]:
        changed = [(each, material) for each, material in found if material != each.material]
        for each, material in changed:
            each.material = material
        self.warn_of_expiry()
        for notify in self.when_changed if changed else ():
            notify()
        return [each.section for each, _ in changed]
