from peer.core.ids import INDEX, DeviceKey, device_of, peer_id


def test_a_peer_is_named_by_its_device_and_its_run() -> None:
    device = DeviceKey(b"d" * 32)
    first, second = peer_id(device, b"run-0001"), peer_id(device, b"run-0002")
    assert first != second
    assert device_of(first) == device_of(second) == device


def test_the_index_has_the_name_that_nothing_random_has() -> None:
    assert bytes(8) == INDEX
