"""Authorities and certificates as ``rostra tls`` makes them: keys on P-256, Consul's names and uses, so that either's agents take them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rostra.errors import BadRequest

BACKDATED: Final = timedelta(minutes=5)
"""So that a machine whose clock is a little behind takes a certificate that was made just now."""
DAYS_MAX: Final = 365 * 200
USES: Final = {
    "server": (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    "client": (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH),
    "cli": (ExtendedKeyUsageOID.CLIENT_AUTH,),
}
"""By kind: an agent is asked as well as it asks."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes


def make_authority(now: datetime, days: int, allowed_names: Sequence[str] = ()) -> Pair:
    """A root of its own. With ``allowed_names`` it can only vouch for names in these domains."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "rostra"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Agent CA {serial}"),
        ]
    )
    builder = _builder(now, days, name, name, key.public_key(), serial, is_authority=True)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    if allowed_names:
        try:
            permitted = [x509.DNSName(each) for each in allowed_names]
        except ValueError as error:
            raise BadRequest(f"-additional-name-constraint: {error}", field="additional-name-constraint") from None
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return _pair(builder.sign(key, SHA256()), key)


def make_certificate(authority: Pair, kind: str, now: datetime, days: int, names: Sequence[str], addresses: Sequence[str] = ()) -> Pair:
    """A certificate of ``kind`` (``USES``) for these names, the first of which is its subject. Raises ``BadRequest``."""
    issuer, issuer_key = _opened(authority)
    if issuer.not_valid_after_utc <= now:
        raise BadRequest(f"the authority expired on {issuer.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", field="ca")
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = [*(x509.DNSName(each) for each in names), *(x509.IPAddress(ipaddress.ip_address(each)) for each in addresses)]
    except ValueError as error:
        raise BadRequest(f"{error} (-additional-dnsname, -additional-ipaddress, -dc, -domain)") from None
    builder = _builder(now, days, subject, issuer.subject, key.public_key(), x509.random_serial_number(), is_authority=False)
    builder = builder.add_extension(_key_identifier(issuer, issuer_key), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(USES[kind]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _pair(builder.sign(issuer_key, SHA256()), key)


def _builder(
    now: datetime, days: int, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int, *, is_authority: bool
) -> x509.CertificateBuilder:
    if not 1 <= days <= DAYS_MAX:
        raise BadRequest(f"-days={days}: a certificate is valid for 1 to {DAYS_MAX} days", field="days")
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not is_authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder(issuer, subject, key, serial, now - BACKDATED, now + timedelta(days=days))
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _opened(authority: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate)
    except ValueError:
        raise BadRequest("the CA file holds no certificate in PEM", field="ca") from None
    try:
        key = load_pem_private_key(authority.key, None)
    except (ValueError, TypeError):
        raise BadRequest("the CA key file holds no private key in PEM that can be read without a password", field="key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadRequest("the key of the CA is of another kind than ECDSA", field="key")
    if key.public_key() != certificate.public_key():
        raise BadRequest("the CA key is not the key of the CA certificate", field="key")
    return certificate, key


def _key_identifier(issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    """The identifier that the authority calls itself by: it need not be the usual digest of its key."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
    )
