"""The tagged addresses that an agent adds to a service, as Consul's does."""

from __future__ import annotations

import pytest

from rostra.errors import BadRequest
from rostra.local.rules import with_tagged_addresses
from rostra.model.catalog import Service, ServiceAddress

PLACE = ServiceAddress("10.0.0.1", 80)
GIVEN = ServiceAddress("1.2.3.4", 9)


@pytest.mark.parametrize(
    ("address", "given", "tagged"),
    [
        ("10.0.0.1", {}, {"lan_ipv4": PLACE, "wan_ipv4": PLACE}),
        ("10.0.0.1", {"lan_ipv4": GIVEN}, {"lan_ipv4": GIVEN, "wan_ipv4": PLACE}),
        ("10.0.0.1", {"wan": GIVEN}, {"lan_ipv4": PLACE, "wan_ipv4": PLACE, "wan": GIVEN}),
        ("fd00::1", {}, {"lan_ipv6": ServiceAddress("fd00::1", 80), "wan_ipv6": ServiceAddress("fd00::1", 80)}),
        ("host.example", {}, {}),
        ("", {"wan": GIVEN}, {"wan": GIVEN}),
    ],
)
def test_a_service_is_tagged_with_its_address_for_its_family(
    address: str, given: dict[str, ServiceAddress], tagged: dict[str, ServiceAddress]
) -> None:
    service = Service("web", "web", address=address, port=80, tagged_addresses=given)
    assert with_tagged_addresses(service).tagged_addresses == tagged


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "[::]"])
def test_the_address_that_means_any_is_refused(address: str) -> None:
    with pytest.raises(BadRequest, match="Invalid service address"):
        with_tagged_addresses(Service("web", "web", address=address))
