"""The ``tls`` block: sections over defaults over the keys of old, and what cannot be meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rostra.config.settings import TlsSettings

ALL = 'tls { defaults { ca_file = "ca.pem" cert_file = "cert.pem" key_file = "key.pem" } }'
SECTIONS = ("https", "grpc", "internal_rpc")
Load = Callable[..., Any]


def section(settings: Any, name: str) -> TlsSettings:
    found: TlsSettings = getattr(settings.tls, name)
    return found


def test_without_a_word_there_is_no_tls(loaded: Load) -> None:
    assert not loaded("-dev").settings.tls.is_on


@pytest.mark.parametrize("name", SECTIONS)
def test_defaults_are_for_every_section(name: str, loaded: Load) -> None:
    found = section(loaded("-dev", f"-hcl={ALL}").settings, name)
    assert (found.ca_file, found.cert_file, found.key_file, found.is_on) == ("ca.pem", "cert.pem", "key.pem", True)


def test_a_section_goes_before_the_defaults_and_these_before_the_keys_of_old(loaded: Load) -> None:
    found = loaded("-dev", f"-hcl={ALL}", '-hcl=tls { https { cert_file = "web.pem" key_file = "web-key.pem" } } cert_file = "old.pem"')
    assert section(found.settings, "https").cert_file == "web.pem"
    assert section(found.settings, "grpc").cert_file == "cert.pem"
    assert found.warnings == ("-hcl[2]:1: cert_file is deprecated: use tls.defaults.cert_file",)


def test_the_keys_of_old_mean_what_they_meant(loaded: Load) -> None:
    old = ['ca_file = "a"', 'cert_file = "b"', 'key_file = "c"', "verify_incoming_https = true", "verify_incoming_rpc = false",
           "verify_server_hostname = true", "verify_outgoing = true", 'tls_min_version = "tls12"']  # fmt: skip
    settings = loaded("-dev", *(f"-hcl={line}" for line in old)).settings
    assert section(settings, "https") == TlsSettings(ca_file="a", ca_path="", cert_file="b", key_file="c", tls_min_version="tlsv1_2",
                                                     verify_incoming=True)  # fmt: skip
    assert not section(settings, "grpc").verify_incoming
    assert not section(settings, "internal_rpc").verify_incoming
    assert section(settings, "internal_rpc").verify_server_hostname


def test_agents_ask_for_certificates_unless_told_otherwise_and_then_there_is_a_warning(loaded: Load) -> None:
    assert section(loaded("-dev", f"-hcl={ALL}").settings, "internal_rpc").verify_incoming
    told = loaded("-dev", f"-hcl={ALL}", "-hcl=tls { internal_rpc { verify_incoming = false } }")
    assert not section(told.settings, "internal_rpc").verify_incoming
    assert any("take clients without a certificate" in warning for warning in told.warnings)


def test_a_listener_can_be_left_out_of_the_defaults(loaded: Load) -> None:
    settings = loaded("-dev", f"-hcl={ALL}", '-hcl=tls { grpc { cert_file = "" } }').settings
    assert [section(settings, name).is_on for name in SECTIONS] == [True, False, True]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('tls { https { cert_file = "a" } }', "tls.https.cert_file is of no use without key_file"),
        ('tls { grpc { key_file = "a" } }', "tls.grpc.key_file is of no use without cert_file"),
        ('tls { internal_rpc { ca_file = "a" } }', "tls.internal_rpc needs all of ca_file (or ca_path), cert_file and key_file"),
        (
            'tls { defaults { cert_file = "a" key_file = "b" } }',
            "tls.internal_rpc needs all of ca_file (or ca_path), cert_file and key_file",
        ),
        ("tls { internal_rpc { verify_outgoing = true } }", "tls.internal_rpc.verify_outgoing asks for TLS, and tls.internal_rpc has no"),
        ("verify_incoming = true", "verify_incoming asks for TLS, and tls.internal_rpc has no cert_file"),
        ("verify_outgoing = true", "verify_outgoing asks for TLS, and tls.internal_rpc has no cert_file"),
        ("verify_server_hostname = true", "verify_server_hostname asks for TLS, and tls.internal_rpc has no cert_file"),
        ("verify_incoming_https = true", "verify_incoming_https asks for TLS, and tls.https has no cert_file"),
        ("tls { grpc { verify_incoming = true } }", "tls.grpc.verify_incoming asks for TLS, and tls.grpc has no cert_file"),
        ('tls { https { cert_file = "a" key_file = "b" verify_incoming = true } }', "tls.https.verify_incoming needs a ca_file"),
        ("ports { https = 8501 }", "ports.https: there is no certificate for it"),
        ("ports { dns_tls = 853 }", "ports.dns_tls: there is no certificate for it"),
        ('tls { defaults { tls_min_version = "TLSv1_1" } }', 'tls.defaults.tls_min_version: "TLSv1_1" is none of'),
        ("tls { defaults { verify_outgoing = false } }", "tls.defaults.verify_outgoing is not in this version"),
        ('tls { https { tls_cipher_suites = "A" } }', "tls.https.tls_cipher_suites is not in this version"),
        ("auto_encrypt { tls = true }", "auto_encrypt is not in this version"),
    ],
)
def test_what_cannot_be_meant_or_done_is_refused(text: str, problem: str, problems: Load) -> None:
    found = problems("-dev", f"-hcl={text}")
    assert found[0].startswith("-hcl")
    assert problem in found[0]


def test_grpc_cannot_be_told_to_leave_out_tls_1_2(problems: Load, loaded: Load) -> None:
    newest = '-hcl=tls { %s { tls_min_version = "TLSv1_3" } }'
    assert "gRPC speaks TLS 1.2 and 1.3" in problems("-dev", f"-hcl={ALL}", newest % "internal_rpc")[0]
    assert section(loaded("-dev", f"-hcl={ALL}", newest % "https").settings, "https").tls_min_version == "tlsv1_3"


def test_names_cannot_be_checked_without_a_datacenter_to_have_in_them(problems: Load, loaded: Load) -> None:
    strict = [f"-hcl={ALL}", "-hcl=tls { internal_rpc { verify_server_hostname = true } }"]
    upstreams = ["-consensus=127.0.0.1:1", "-gossip=127.0.0.1:2", "-grpc-addr=127.0.0.1:3"]
    assert "give it here too" in problems(*upstreams, *strict, role="catalog")[0]
    loaded(*upstreams, *strict, "-datacenter=dc1", role="catalog")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["-server", "-bootstrap", "-data-dir=/d", "-bind=10.1.2.3"], "the server port at 10.1.2.3:8300"),
        (["-dev", "-client=0.0.0.0"], "the HTTP port at 0.0.0.0:8500"),
        (["-dev", "-client=0.0.0.0"], "the gRPC port at 0.0.0.0:8502"),
        (["-dev", "-grpc-addr=10.1.2.3:7000"], "the role door at 10.1.2.3:7000"),
    ],
)
def test_a_plaintext_door_that_others_reach_is_warned_of_by_name(flags: list[str], named: str, loaded: Load) -> None:
    warnings = loaded(*flags).warnings
    assert sum(named in warning and "neither encrypted nor authenticated" in warning for warning in warnings) == 1
    secured = loaded(*flags, f"-hcl={ALL}").warnings
    assert any(named in warning for warning in secured) is ("HTTP port" in named), "HTTP stays plaintext beside HTTPS"


def test_doors_of_this_machine_alone_are_no_matter(loaded: Load) -> None:
    assert loaded("-dev", "-grpc-addr=127.0.0.1:7000").warnings == ()


def test_https_listens_where_clients_are_unless_told_otherwise(loaded: Load) -> None:
    assert loaded("-dev", "-client=127.0.0.7").settings.addresses.https == ("127.0.0.7",)
    own = loaded("-dev", f"-hcl={ALL}", "-https-port=8501", '-hcl=addresses { https = "127.0.0.8" }').settings
    assert (own.addresses.https, own.ports.https) == (("127.0.0.8",), 8501)


def test_https_and_http_cannot_share_a_port(problems: Load) -> None:
    assert "both 8500" in problems("-dev", f"-hcl={ALL}", "-https-port=8500")[0]
