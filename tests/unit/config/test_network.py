"""Addresses: what is advertised, templates, and doors that would collide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rostra.config.machine import InterfaceAddress, Machine, is_local, is_private, this_machine

CLIENT = "-data-dir=/data"
SEVERAL = Machine(
    "h", (InterfaceAddress("eth0", "10.0.0.1"), InterfaceAddress("docker0", "172.17.0.1"), InterfaceAddress("eth0", "fd00::1"))
)
PUBLIC_ONLY = Machine("h", (InterfaceAddress("lo", "127.0.0.1"), InterfaceAddress("eth0", "203.0.113.5")))
IPV6_ONLY = Machine("h", (InterfaceAddress("lo", "::1"), InterfaceAddress("eth0", "fe80::1"), InterfaceAddress("eth0", "fd00::1")))


def test_outside_development_the_client_doors_are_for_this_machine_only(loaded: Callable[..., Any]) -> None:
    addresses = loaded(CLIENT).settings.addresses
    assert addresses.client == addresses.dns == addresses.http == addresses.grpc == ("127.0.0.1",)
    assert addresses.bind == "0.0.0.0"


def test_client_addresses_can_be_several_and_each_door_can_have_its_own(loaded: Callable[..., Any]) -> None:
    addresses = loaded(CLIENT, "-client=127.0.0.1 10.1.2.3 127.0.0.1", "-hcl", 'addresses { http = "127.0.0.2" }').settings.addresses
    assert addresses.dns == ("127.0.0.1", "10.1.2.3")
    assert addresses.http == ("127.0.0.2",)


def test_the_only_private_address_is_advertised(loaded: Callable[..., Any]) -> None:
    result = loaded(CLIENT)
    assert (result.settings.addresses.advertise, result.origins["advertise_addr"]) == ("10.1.2.3", "private address of eth0")
    assert result.settings.addresses.advertise_wan == "10.1.2.3"
    assert loaded(CLIENT, machine=IPV6_ONLY).settings.addresses.advertise == "fd00::1"


def test_several_private_addresses_are_listed_and_none_is_guessed(problems: Callable[..., Any]) -> None:
    assert problems(CLIENT, machine=SEVERAL) == (
        "-advertise: this machine has several private addresses, 10.0.0.1 (eth0), 172.17.0.1 (docker0): choose one with -advertise or "
        "-bind",
    )
    assert problems(CLIENT, machine=PUBLIC_ONLY) == (
        "-advertise: this machine has no private address: give the address for others with -advertise or -bind",
    )


@pytest.mark.parametrize(
    ("argv", "advertised"),
    [(["-advertise=10.9.9.9"], "10.9.9.9"), (["-bind=10.0.0.1"], "10.0.0.1"), (["-bind=10.0.0.1", "-advertise=10.9.9.9"], "10.9.9.9"),
     (["-hcl=advertise_addr_ipv4 = \"10.7.7.7\""], "10.7.7.7"), (["-bind={{ GetInterfaceIP \"docker0\" }}"], "172.17.0.1"),
     (["-hcl=advertise_addr_ipv6 = \"fd00::7\""], "fd00::7")],
)  # fmt: skip
def test_what_is_advertised_can_be_said(argv: list[str], advertised: str, loaded: Callable[..., Any]) -> None:
    assert loaded(CLIENT, *argv, machine=SEVERAL).settings.addresses.advertise == advertised


def test_an_address_that_nobody_can_reach_is_not_advertised(problems: Callable[..., Any]) -> None:
    assert problems(CLIENT, "-advertise=0.0.0.0")[0] == "-advertise: advertise_addr: 0.0.0.0 is no address that others can reach"
    assert "other family" in problems(CLIENT, "-hcl", 'advertise_addr_ipv6 = "10.0.0.1"')[0]


def test_templates_are_filled_in_by_the_machine(loaded: Callable[..., Any], problems: Callable[..., Any]) -> None:
    addresses = loaded(
        CLIENT, "-bind={{ GetPrivateIP }}", '-client={{GetInterfaceIP "eth1"}}', "-advertise-wan={{ GetPublicIP }}"
    ).settings.addresses
    assert (addresses.bind, addresses.client, addresses.advertise_wan) == ("10.1.2.3", ("198.51.100.7",), "198.51.100.7")
    assert problems(CLIENT, "-bind={{ GetAllInterfaces }}") == (
        '-bind: bind_addr: {{ GetAllInterfaces }} is not supported: GetPrivateIP, GetPublicIP and GetInterfaceIP "NAME" are',
    )
    assert problems(CLIENT, '-bind={{ GetInterfaceIP "eth9" }}') == (
        '-bind: bind_addr: {{ GetInterfaceIP "eth9" }}: this machine has no such address',
    )


def test_two_doors_in_one_place_are_refused(loaded: Callable[..., Any], problems: Callable[..., Any]) -> None:
    assert problems("-dev", "-http-port=8600") == ("-http-port: ports.dns and ports.http are both 8600 on 127.0.0.1",)
    assert problems("-dev", "-dns-port=8300", "-bind=0.0.0.0", "-advertise=127.0.0.1") == (
        "-dns-port: ports.dns and ports.server are both 8300 on 127.0.0.1",
    )
    assert loaded("-dev", "-dns-port=8300", "-bind=127.0.0.2").warnings == ()
    assert loaded("-dev", "-dns-port=-1", "-http-port=-1").settings.ports.dns == -1


def test_a_role_door_beyond_this_machine_is_warned_of(loaded: Callable[..., Any]) -> None:
    assert loaded("-dev", "-grpc-addr=127.0.0.1:9000").warnings == ()
    assert "neither encrypted nor authenticated" in loaded("-dev", "-grpc-addr=0.0.0.0:9000").warnings[0]
    assert "neither encrypted nor authenticated" in loaded("-dev", "-grpc-addr=10.1.2.3:9000").warnings[0]


def test_private_and_local_addresses_are_told_apart() -> None:
    private = ["10.0.0.1", "172.16.0.1", "172.31.255.1", "192.168.0.1", "100.64.0.1", "fd00::1", "fc00::1"]
    local = ["127.0.0.1", "127.9.9.9", "169.254.1.1", "0.0.0.0", "::1", "::", "fe80::1"]
    public = ["172.32.0.1", "100.128.0.1", "192.169.0.1", "8.8.8.8", "2001:db8::1"]
    assert all(is_private(address) and not is_local(address) for address in private)
    assert all(is_local(address) and not is_private(address) for address in local)
    assert not any(is_local(address) or is_private(address) for address in public)


def test_this_machine_has_its_loopback_address_and_a_name() -> None:
    machine = this_machine()
    assert InterfaceAddress("lo", "127.0.0.1") in machine.addresses
    assert machine.host_name
