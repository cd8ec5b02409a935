from peer.core.ids import INDEX, DeviceKey, PeerId, client_of, device_of, peer_id


def test_a_peer_is_named_by_its_device_and_its_run() -> None:
    device = DeviceKey(b"d" * 32)
    first, second = peer_id(device, b"run-0001"), peer_id(device, b"run-0002")
    assert first != second
    assert device_of(first) == device_of(second) == device


def test_the_index_has_the_name_that_nothing_random_has() -> None:
    assert bytes(8) == INDEX


def test_what_a_run_writes_under_follows_from_its_name() -> None:
    """BLAKE2b of eight bytes, of which the first 53 bits count."""
    first, second = peer_id(DeviceKey(b"d" * 32), b"run-0001"), peer_id(DeviceKey(b"d" * 32), b"run-0002")
    digest = bytes.fromhex("e4b8ca77eb228e86")
    assert client_of(first) == int.from_bytes(digest) // 2**11
    assert client_of(first) != client_of(second)
    ids = [client_of(PeerId(n.to_bytes(40))) for n in range(1000)]
    assert len(set(ids)) == 1000
    assert all(0 < each < 2**53 for each in ids)
    assert max(ids) > 2**52, "all bits are used"
