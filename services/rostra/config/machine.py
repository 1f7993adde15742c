"""What configuration asks of this machine: its name and its addresses; and go-sockaddr templates, as far as they are supported."""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from rostra.config.values import address_family

SIOCGIFCONF = 0x8912  # netdevice(7)
_IFREQ = struct.Struct("16s2x2x4s16x")  # name, family, port, IPv4 address, rest of the union: 40 bytes on 64-bit Linux
_IFCONF_BYTES = 256 * _IFREQ.size
_TEMPLATE = re.compile(r'\s*\{\{\s*(GetPrivateIP|GetPublicIP|GetInterfaceIP)\s*(?:"([^"]*)"|)\s*\}\}\s*')
SUPPORTED = 'GetPrivateIP, GetPublicIP and GetInterfaceIP "NAME"'


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One address of one network interface."""

    interface: str
    address: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Its host name and its addresses, IPv4 before IPv6, in the kernel's order."""

    host_name: str
    addresses: tuple[InterfaceAddress, ...]

    def private(self) -> tuple[InterfaceAddress, ...]:
        """The private IPv4 addresses (RFC 1918, RFC 6598); where there are none, the private IPv6 ones (RFC 4193)."""
        found = tuple(one for one in self.addresses if is_private(one.address))
        return tuple(one for one in found if ":" not in one.address) or found

    def public(self) -> tuple[InterfaceAddress, ...]:
        """Those that are neither private nor of this machine or link only; IPv4 before IPv6."""
        return tuple(one for one in self.addresses if not is_private(one.address) and not is_local(one.address))


def this_machine() -> Machine:
    """The machine this runs on."""
    return Machine(socket.gethostname(), (*_ipv4_addresses(), *_ipv6_addresses()))


def is_private(address: str) -> bool:
    """Whether an address is for use inside an organisation."""
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address)[0] & 0xFE == 0xFC
    first, second = socket.inet_aton(address)[:2]
    return first == 10 or (first, second) == (192, 168) or (first == 172 and second & 0xF0 == 16) or (first == 100 and second & 0xC0 == 64)


def is_local(address: str) -> bool:
    """Whether an address means nothing beyond this machine or this link: loopback, link-local, unspecified."""
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address)
        return packed[:15] == bytes(15) or (packed[0] == 0xFE and packed[1] & 0xC0 == 0x80)
    first, second = socket.inet_aton(address)[:2]
    return first in (0, 127) or (first, second) == (169, 254)


def is_unspecified(address: str) -> bool:
    """Whether an address means all of this machine's: ``0.0.0.0`` or ``::``."""
    family = address_family(address)
    return family is not None and not any(socket.inet_pton(family, address))


def fill_in(template: str, machine: Machine) -> str:
    """The address that a template stands for; ``ValueError`` where there is none or the template is not supported."""
    found = _TEMPLATE.fullmatch(template)
    if found is None or (found[1] == "GetInterfaceIP") != bool(found[2]):
        raise ValueError(f"{template.strip()} is not supported: {SUPPORTED} are")
    if found[1] == "GetInterfaceIP":
        candidates = tuple(one for one in machine.addresses if one.interface == found[2])
    else:
        candidates = machine.private() if found[1] == "GetPrivateIP" else machine.public()
    if not candidates:
        raise ValueError(f"{template.strip()}: this machine has no such address")
    return candidates[0].address


def _ipv4_addresses() -> list[InterfaceAddress]:
    """Of the interfaces that are up, by SIOCGIFCONF."""
    buffer = bytearray(_IFCONF_BYTES)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        used = _interface_configuration(sock, buffer)
    return [
        InterfaceAddress(name.rstrip(b"\0").decode().partition(":")[0], socket.inet_ntoa(address))
        for name, address in _IFREQ.iter_unpack(bytes(buffer[: used - used % _IFREQ.size]))
    ]


def _interface_configuration(sock: socket.socket, buffer: bytearray) -> int:
    """Fill ``buffer`` with ifreq records; the number of bytes used."""
    import array  # only an array tells its address in memory, which the kernel writes to

    store = array.array("B", buffer)
    address, _ = store.buffer_info()
    answer = fcntl.ioctl(sock.fileno(), SIOCGIFCONF, struct.pack("iP", len(store), address))
    buffer[:] = store.tobytes()
    return int(struct.unpack("iP", answer)[0])


def _ipv6_addresses() -> list[InterfaceAddress]:
    """By /proc/net/if_inet6 (proc(5)), which is missing where IPv6 is off."""
    try:
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    fields = [line.split() for line in lines]
    return [InterfaceAddress(one[5], socket.inet_ntop(socket.AF_INET6, bytes.fromhex(one[0]))) for one in fields if len(one) == 6]
