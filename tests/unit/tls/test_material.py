"""Files are checked when they are read: each problem names key and file."""

from __future__ import annotations

import logging
import shutil
from datetime import timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

from rostra.config.settings import TlsSettings
from rostra.errors import ConfigError
from rostra.tls.certificates import ProcessCertificates
from rostra.tls.material import read_material, utc_now

from .pki import Pki, only


def problems(settings: TlsSettings, section: str = "tls.internal_rpc") -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_material(section, settings, utc_now())
    return caught.value.problems


def test_what_was_checked_is_what_is_used(pki: Pki) -> None:
    material = read_material("tls.internal_rpc", pki.settings(), utc_now())
    assert material.authorities == pki.ca_file.read_bytes()
    assert material.chain == (pki.folder / "server.pem").read_bytes()
    assert material.key == (pki.folder / "server-key.pem").read_bytes()
    assert timedelta(days=4) < material.expires - utc_now() < timedelta(days=6)


def test_a_key_never_shows_in_what_is_printed(pki: Pki) -> None:
    assert b"PRIVATE" not in repr(read_material("tls.https", pki.settings(), utc_now())).encode()


def test_every_file_that_is_missing_is_named_with_its_key(pki: Pki) -> None:
    shutil.rmtree(pki.folder)
    assert problems(pki.settings()) == tuple(
        f"tls.internal_rpc.{key} {pki.folder}/{name}: no such file or directory"
        for key, name in (("ca_file", "ca.pem"), ("cert_file", "server.pem"), ("key_file", "server-key.pem"))
    )


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601])
def test_a_key_that_everybody_may_use_is_refused(pki: Pki, mode: int) -> None:
    key = pki.folder / "server-key.pem"
    key.chmod(mode)
    assert problems(pki.settings()) == (
        f"tls.internal_rpc.key_file {key}: everybody on this machine may use it (mode {mode:04o}): chmod 600 {key}",
    )


def test_a_key_may_be_shared_with_a_group(pki: Pki) -> None:
    (pki.folder / "server-key.pem").chmod(0o640)
    read_material("tls.internal_rpc", pki.settings(), utc_now())


def test_a_key_of_another_certificate_is_refused(pki: Pki) -> None:
    (pki.folder / "server.pem").write_bytes(pki.make("other").certificate)
    (problem,) = problems(pki.settings())
    assert problem.startswith(f"tls.internal_rpc.key_file {pki.folder}/server-key.pem: is not the key of tls.internal_rpc.cert_file")


def test_an_expired_certificate_is_refused(pki: Pki) -> None:
    pki.make(ago_days=9, days=2)
    (problem,) = problems(pki.settings())
    assert problem.startswith(f"tls.internal_rpc.cert_file {pki.folder}/server.pem: expired on 20")


def test_a_certificate_of_the_future_is_refused(pki: Pki) -> None:
    pki.make(ago_days=-3)
    (problem,) = problems(pki.settings())
    assert "is valid only from 20" in problem


def test_a_certificate_that_no_other_agent_would_take_is_refused(pki: Pki, stranger: Pki) -> None:
    (problem,) = problems(pki.settings(ca_file=stranger.ca_file))
    assert problem.endswith("server.pem: is from no authority that this agent trusts: no other agent would take it")


def test_for_https_any_authority_will_do(pki: Pki, stranger: Pki) -> None:
    read_material("tls.https", pki.settings(ca_file=stranger.ca_file), utc_now())


@pytest.mark.parametrize(("name", "key", "what"), [("ca.pem", "ca_file", "certificate"), ("server.pem", "cert_file", "certificate"),
                                                   ("server-key.pem", "key_file", "private key")])  # fmt: skip
def test_a_file_with_something_else_in_it_is_refused(pki: Pki, name: str, key: str, what: str) -> None:
    (pki.folder / name).write_text("no PEM\n")
    assert problems(pki.settings()) == (f"tls.internal_rpc.{key} {pki.folder}/{name}: holds no {what} in PEM",)


def test_a_key_with_a_password_is_refused(pki: Pki) -> None:
    path = pki.folder / "server-key.pem"
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    assert problems(pki.settings()) == (f"tls.internal_rpc.key_file {path}: is encrypted, and there is nobody to ask for its password",)


def test_a_folder_of_authorities_counts_whole(pki: Pki, stranger: Pki) -> None:
    folder = pki.folder / "authorities"
    folder.mkdir()
    shutil.copy(stranger.ca_file, folder / "a.pem")
    shutil.copy(pki.ca_file, folder / "b.pem")
    settings = msgspec.structs.replace(pki.settings(), ca_file="", ca_path=str(folder))
    assert read_material("tls.internal_rpc", settings, utc_now()).authorities.count(b"BEGIN") == 2


def test_an_empty_folder_of_authorities_is_refused(pki: Pki) -> None:
    (pki.folder / "none").mkdir()
    settings = msgspec.structs.replace(pki.settings(), ca_file="", ca_path=str(pki.folder / "none"))
    assert problems(settings) == (f"tls.internal_rpc.ca_path {pki.folder}/none: there is no file in it",)


def test_a_reload_that_fails_changes_nothing(pki: Pki) -> None:
    certificates = ProcessCertificates(only("internal_rpc", pki.settings()))
    told: list[None] = []
    certificates.when_changed.append(lambda: told.append(None))
    before = [each.material for each in certificates.all]
    pki.make()
    (pki.folder / "server-key.pem").write_text("half written")
    with pytest.raises(ConfigError):
        certificates.reload()
    assert [each.material for each in certificates.all] == before
    assert told == []


def test_a_reload_says_what_changed(pki: Pki) -> None:
    certificates = ProcessCertificates(only("internal_rpc", pki.settings()))
    told: list[None] = []
    certificates.when_changed.append(lambda: told.append(None))
    assert certificates.reload() == []
    assert told == []
    pki.make()
    assert certificates.reload() == ["tls.internal_rpc"]
    assert told == [None]


def test_a_certificate_that_ends_soon_is_warned_of(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    certificates = ProcessCertificates(only("internal_rpc", pki.settings()))
    with caplog.at_level(logging.WARNING, "rostra"):
        certificates.warn_of_expiry()
    assert "certificate expires soon" in caplog.text
