"""Certificates, keys and authorities of one section of ``tls``, read from their files and checked before anything uses them.

What is wrong is said with the key of the configuration and the file: all of it at once, and at the start, not at the first handshake.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from rostra.config.settings import TlsSettings
from rostra.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SIZE_MAX: Final = 1 << 20
FOR_AGENTS: Final = "tls.internal_rpc"
"""The section whose certificate the other agents check."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Material:
    """What a listener shows (``chain`` with ``key``) and whom it trusts (``authorities``): PEM, the files' own bytes."""

    authorities: bytes
    chain: bytes
    key: bytes = field(repr=False)
    expires: datetime


def read_material(section: str, settings: TlsSettings, now: datetime) -> Material:
    """Reads the files of ``section`` (``tls.https``, ...). Raises ``ConfigError`` with every problem, each with key and file."""
    reader = _Reader(section, settings, now)
    material = reader.read()
    if reader.problems or material is None:
        raise ConfigError(reader.problems)
    return material


class _Reader:
    def __init__(self, section: str, settings: TlsSettings, now: datetime) -> None:
        self.problems: list[str] = []
        self._section = section
        self._settings = settings
        self._now = now

    def read(self) -> Material | None:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificates

        settings, section = self._settings, self._section
        files = [(key, path, self._read(key, path)) for key, path in self._authority_files()]
        authorities = [each for key, path, data in files for each in self._parse(key, path, data, load_pem_x509_certificates) or ()]
        chain_pem = self._read("cert_file", settings.cert_file)
        chain = self._parse("cert_file", settings.cert_file, chain_pem, load_pem_x509_certificates)
        key_pem = self._read("key_file", settings.key_file, is_secret=True)
        key = self._parse("key_file", settings.key_file, key_pem, lambda data: load_pem_private_key(data, None), "private key")
        if chain:
            self._check_dates(chain)
        if chain and key is not None and key.public_key() != chain[0].public_key():
            self._problem("key_file", settings.key_file, f"is not the key of {section}.cert_file {settings.cert_file}")
        if chain and authorities and section == FOR_AGENTS and not _is_issued(chain, authorities):
            self._problem("cert_file", settings.cert_file, "is from no authority that this agent trusts: no other agent would take it")
        if self.problems or not chain or chain_pem is None or key_pem is None:
            return None
        trusted = b"\n".join(data for _, _, data in files if data is not None)
        return Material(trusted, chain_pem, key_pem, min(each.not_valid_after_utc for each in chain))

    def _authority_files(self) -> Iterator[tuple[str, str]]:
        if self._settings.ca_file:
            yield "ca_file", self._settings.ca_file
        if self._settings.ca_path:
            try:
                names = sorted(each for each in Path(self._settings.ca_path).iterdir() if each.is_file())
            except OSError as error:
                self._problem("ca_path", self._settings.ca_path, (error.strerror or str(error)).lower())
                return
            if not names:
                self._problem("ca_path", self._settings.ca_path, "there is no file in it")
            yield from (("ca_path", str(name)) for name in names)

    def _read(self, key: str, path: str, *, is_secret: bool = False) -> bytes | None:
        """The file, once: what is checked is what is used, although somebody may be replacing it."""
        try:
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(SIZE_MAX)
        except OSError as error:
            self._problem(key, path, (error.strerror or str(error)).lower())
            return None
        if is_secret and mode & stat.S_IRWXO:
            self._problem(key, path, f"everybody on this machine may use it (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}")
            return None
        return data

    def _parse(self, key: str, path: str, data: bytes | None, parse: Callable[[bytes], T], what: str = "certificate") -> T | None:
        try:
            return None if data is None else parse(data)
        except TypeError:
            self._problem(key, path, "is encrypted, and there is nobody to ask for its password")
        except ValueError:
            self._problem(key, path, f"holds no {what} in PEM")
        return None

    def _check_dates(self, chain: Sequence[Certificate]) -> None:
        for each in chain:
            if each.not_valid_after_utc <= self._now:
                self._problem("cert_file", self._settings.cert_file, f"expired on {each.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
            elif each.not_valid_before_utc > self._now:
                self._problem("cert_file", self._settings.cert_file, f"is valid only from {each.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")

    def _problem(self, key: str, path: str, message: str) -> None:
        self.problems.append(f"{self._section}.{key} {path}: {message}")


def _is_issued(chain: Sequence[Certificate], authorities: Sequence[Certificate]) -> bool:
    """Whether one certificate of the chain comes straight from an authority, or is one."""
    from cryptography.exceptions import InvalidSignature

    for each in chain:
        for authority in authorities:
            try:
                each.verify_directly_issued_by(authority)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return True
    return any(each in authorities for each in chain)


def utc_now() -> datetime:
    """The wall clock: certificates live by it."""
    return datetime.now(UTC)
