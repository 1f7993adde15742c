"""``rostra tls``: names of files, messages and exit codes are Consul's; what is made is good to openssl and to us."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from rostra.cli.main import main

Out = pytest.CaptureFixture[str]
OPENSSL = shutil.which("openssl")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tls(*words: str) -> int:
    return main(["tls", *words])


def names_in(path: Path) -> list[str]:
    found = x509.load_pem_x509_certificate(path.read_bytes()).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*found.get_values_for_type(x509.DNSName), *(str(each) for each in found.get_values_for_type(x509.IPAddress))]


def days_of(path: Path) -> int:
    made = x509.load_pem_x509_certificate(path.read_bytes())
    return (made.not_valid_after_utc - made.not_valid_before_utc).days


def test_an_authority_is_saved_with_its_key_for_its_owner_alone(folder: Path, capsys: Out) -> None:
    assert tls("ca", "create") == 0
    assert capsys.readouterr().out == "==> Saved consul-agent-ca.pem\n==> Saved consul-agent-ca-key.pem\n"
    assert stat.S_IMODE((folder / "consul-agent-ca-key.pem").stat().st_mode) == 0o600
    assert days_of(folder / "consul-agent-ca.pem") == 1825


def test_an_authority_is_never_written_over_another(folder: Path, capsys: Out) -> None:
    tls("ca", "create")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert tls("ca", "create") == 1
    assert capsys.readouterr().err == "consul-agent-ca.pem already exists.\n"
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_an_authority_can_be_kept_to_its_domain(folder: Path) -> None:
    tls("ca", "create", "-domain=example", "-name-constraint", "-additional-name-constraint=foo.bar", "-days=10")
    made = x509.load_pem_x509_certificate((folder / "example-agent-ca.pem").read_bytes())
    constraints = made.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert [each.value for each in constraints.value.permitted_subtrees or ()] == ["foo.bar", "example", "localhost"]
    assert days_of(folder / "example-agent-ca.pem") == 10


@pytest.mark.parametrize(
    ("flags", "prefix", "names"),
    [
        (["-server"], "dc1-server-consul", ["server.dc1.consul", "localhost", "127.0.0.1"]),
        (["-client"], "dc1-client-consul", ["client.dc1.consul", "localhost", "127.0.0.1"]),
        (["-cli"], "dc1-cli-consul", ["cli.dc1.consul", "localhost"]),
        (["-server", "-dc=dc2", "-node=n1"], "dc2-server-consul", ["server.dc2.consul", "n1.server.dc2.consul", "localhost", "127.0.0.1"]),
        (["-client", "-additional-dnsname=a.b", "-additional-dnsname=c.d", "-additional-ipaddress=10.0.0.1"], "dc1-client-consul",
         ["client.dc1.consul", "a.b", "c.d", "localhost", "10.0.0.1", "127.0.0.1"]),
    ],
)  # fmt: skip
def test_certificates_bear_consuls_names(folder: Path, capsys: Out, flags: list[str], prefix: str, names: list[str]) -> None:
    tls("ca", "create")
    capsys.readouterr()
    assert tls("cert", "create", *flags) == 0
    said = capsys.readouterr().out
    assert said.startswith("==> WARNING: Server Certificates") is ("-server" in flags)
    assert said.endswith(
        f"==> Using consul-agent-ca.pem and consul-agent-ca-key.pem\n==> Saved {prefix}-0.pem\n==> Saved {prefix}-0-key.pem\n"
    )
    assert names_in(folder / f"{prefix}-0.pem") == names
    assert stat.S_IMODE((folder / f"{prefix}-0-key.pem").stat().st_mode) == 0o600
    assert days_of(folder / f"{prefix}-0.pem") == 365


def test_each_certificate_gets_the_next_number(folder: Path) -> None:
    tls("ca", "create")
    (folder / "dc1-server-consul-1-key.pem").touch()
    for _ in range(2):
        tls("cert", "create", "-server")
    assert sorted(path.name for path in folder.glob("dc1-server*0.pem")) + sorted(path.name for path in folder.glob("*2.pem")) == [
        "dc1-server-consul-0.pem",
        "dc1-server-consul-2.pem",
    ]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ([], "Please provide either -server, -client, or -cli"),
        (["-server", "-client"], "Please provide either -server, -client, or -cli"),
        (["-client", "-node=n1"], "-node requires -server"),
        (["-server", "-ca=none.pem"], "Error reading CA: open none.pem: no such file or directory"),
        (["-server", "-key=none.pem"], "Error reading CA key: open none.pem: no such file or directory"),
        (["-server", "-ca=consul-agent-ca-key.pem"], "the CA file holds no certificate in PEM"),
        (["-server", "-key=consul-agent-ca.pem"], "the CA key file holds no private key in PEM that can be read without a password"),
        (["-server", "-key=other-agent-ca-key.pem"], "the CA key is not the key of the CA certificate"),
        (["-server", "-days=0"], "-days=0: a certificate is valid for 1 to 73000 days"),
        (["-server", "-additional-ipaddress=x"], "'x' does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(folder: Path, capsys: Out, flags: list[str], problem: str) -> None:
    tls("ca", "create")
    tls("ca", "create", "-domain=other")
    before = sorted(folder.iterdir())
    capsys.readouterr()
    assert tls("cert", "create", *flags) == 1
    assert capsys.readouterr().err.startswith(problem)
    assert sorted(folder.iterdir()) == before


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not on PATH")
@pytest.mark.parametrize("kind", ["server", "client", "cli"])
def test_openssl_finds_them_good(kind: str, folder: Path) -> None:
    tls("ca", "create", "-name-constraint")
    tls("cert", "create", f"-{kind}")
    command = [OPENSSL or "", "verify", "-x509_strict", "-CAfile", "consul-agent-ca.pem", f"dc1-{kind}-consul-0.pem"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
