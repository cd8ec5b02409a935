"""Whom limits hold responsible, also behind proxies and for those who forge headers."""

import pytest

from signaling.addresses import client_address, counted_as, is_in, parse_network

PROXIES = (parse_network("10.0.0.0/8"), parse_network("2001:db8::/32"))


def test_without_trusted_proxies_the_header_is_never_believed() -> None:
    assert client_address("10.0.0.1", ["1.2.3.4"], ()) == "10.0.0.1"


def test_attack_a_forged_header_from_a_stranger_changes_nothing() -> None:
    assert client_address("9.9.9.9", ["1.2.3.4"], PROXIES) == "9.9.9.9"


def test_a_trusted_proxy_names_the_client() -> None:
    assert client_address("10.0.0.1", ["1.2.3.4"], PROXIES) == "1.2.3.4"


def test_attack_what_the_client_wrote_before_the_proxy_is_not_believed() -> None:
    assert client_address("10.0.0.1", ["6.6.6.6, 1.2.3.4"], PROXIES) == "1.2.3.4"
    assert client_address("10.0.0.1", ["6.6.6.6", "1.2.3.4"], PROXIES) == "1.2.3.4"
    assert client_address("10.0.0.1", ["10.9.9.9, 1.2.3.4"], PROXIES) == "1.2.3.4"


def test_a_chain_of_trusted_proxies_is_followed() -> None:
    assert client_address("10.0.0.1", ["6.6.6.6, 1.2.3.4 , 10.0.0.2"], PROXIES) == "1.2.3.4"
    assert client_address("2001:db8::1", ["2001:4860::8, 10.0.0.2"], PROXIES) == "2001:4860::8"


def test_if_all_hops_are_trusted_the_first_one_is_the_client() -> None:
    assert client_address("10.0.0.1", ["10.0.0.3, 10.0.0.2"], PROXIES) == "10.0.0.3"


@pytest.mark.parametrize("header", ["", "unknown", "1.2.3.4:80", "1.2.3.4, _hidden"])
def test_a_hop_that_cannot_be_read_is_where_the_proxy_is(header: str) -> None:
    assert client_address("10.0.0.1", [header], PROXIES) == "10.0.0.1"


def test_networks_hold_addresses_of_their_own_kind() -> None:
    assert is_in("10.1.2.3", PROXIES)
    assert is_in("::ffff:10.1.2.3", PROXIES)
    assert not is_in("11.1.2.3", PROXIES)
    assert not is_in("::1", PROXIES)
    assert not is_in("unknown", PROXIES)


def test_what_is_not_a_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/99"):
        parse_network("10.0.0.0/99")


def test_an_ipv6_site_counts_as_one_address() -> None:
    assert counted_as("2001:db8:1:2:aaaa::1") == counted_as("2001:db8:1:2::ffff") == "2001:db8:1:2::/64"
    assert counted_as("2001:db8:1:3::1") != counted_as("2001:db8:1:2::1")


def test_an_ipv4_address_counts_as_itself_in_either_form() -> None:
    assert counted_as("1.2.3.4") == counted_as("::ffff:1.2.3.4") == "1.2.3.4"
    assert counted_as("unknown") == "unknown"
