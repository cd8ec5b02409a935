"""Which interfaces are worth looking for others on."""

from peer.core.networks import INTERFACES_LIMIT, Interface, broadcast_address, sensible

LOOP = Interface("lo", 1, (("127.0.0.1", 8),), is_loopback=True, has_multicast=False)
WIFI = Interface("wlan0", 5, (("192.168.1.20", 24),), is_physical=True)
CABLE = Interface("eth0", 3, (), ("fe80::1",), ("fd00::2",))
DOCKER = Interface("docker0", 2, (("172.17.0.1", 16),))
TUNNEL = Interface("mesh", 6, (("100.64.0.1", 10),), has_multicast=False)


def test_hardware_goes_first_and_the_loop_last() -> None:
    assert sensible([LOOP, CABLE, WIFI]) == [WIFI, CABLE, LOOP]


def test_what_leads_to_containers_or_into_tunnels_is_left_out() -> None:
    assert sensible([DOCKER, TUNNEL, WIFI, LOOP]) == [WIFI, LOOP]


def test_what_leads_to_containers_is_used_where_there_is_nothing_else() -> None:
    assert sensible([DOCKER, LOOP]) == [DOCKER, LOOP]


def test_an_interface_that_is_down_or_has_no_address_is_left_out() -> None:
    down = Interface("eth1", 8, (("10.0.0.1", 8),), is_up=False)
    assert sensible([down, Interface("eth2", 9)]) == []


def test_a_machine_with_very_many_interfaces_uses_some() -> None:
    many = [Interface(f"eth{n}", n, ((f"10.0.{n}.1", 24),)) for n in range(1, 30)]
    assert len(sensible([*many, LOOP])) == INTERFACES_LIMIT + 1


def test_a_link_local_address_is_nothing_without_its_interface() -> None:
    assert CABLE.addresses == ("fd00::2", "fe80::1%eth0")
    assert WIFI.addresses == ("192.168.1.20",)


def test_everybody_on_a_network_hears_its_broadcast_address() -> None:
    assert broadcast_address("192.168.1.20", 24) == "192.168.1.255"
    assert broadcast_address("127.0.0.1", 8) == "127.255.255.255"
    assert broadcast_address("10.0.0.1", 31) is None
