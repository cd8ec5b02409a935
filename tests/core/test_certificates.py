"""Chains of certificates: who is believed, and every reason for not believing."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from peer.core.certificates import (
    CERTIFICATE_LIMIT,
    FOREVER,
    Role,
    issue,
    public_bytes,
    read_certificate,
    verify_chain,
)
from peer.errors import Malformed, Refused, RemoteError, TooLarge

NOW = 1_800_000_000
LATER = NOW + 1000


def key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


W, KEY, D, E, F = (key(number) for number in range(1, 6))
SESSION = public_bytes(W)


def signed(
    issuer: Ed25519PrivateKey,
    subject: Ed25519PrivateKey,
    role: Role = Role.EDITOR,
    until: int = LATER,
    may_invite: bool = True,
) -> bytes:
    return issue(
        issuer, session=SESSION, subject=public_bytes(subject), role=role, until=until, may_invite=may_invite
    )


def check(*chain: bytes, device: Ed25519PrivateKey = D, now: float = NOW) -> Role:
    return verify_chain(chain, SESSION, public_bytes(device), now)


def with_body(data: bytes, body: bytes) -> bytes:
    return data[:64] + body


def test_the_owner_signs_for_a_device_directly() -> None:
    assert check(signed(W, D, Role.OWNER)) is Role.OWNER


def test_an_invited_device_gets_the_role_of_its_own_certificate() -> None:
    assert check(signed(W, KEY), signed(KEY, D)) is Role.EDITOR
    assert check(signed(W, KEY), signed(KEY, D, Role.VIEWER)) is Role.VIEWER


def test_a_chain_of_four_is_believed() -> None:
    assert check(signed(W, KEY), signed(KEY, E), signed(E, F), signed(F, D)) is Role.EDITOR


def test_a_chain_of_five_is_too_long() -> None:
    with pytest.raises(TooLarge, match="a certificate chain is 5, the limit is 4"):
        check(signed(W, KEY), signed(KEY, E), signed(E, F), signed(F, W), signed(W, D))


def test_no_certificate_is_not_enough() -> None:
    with pytest.raises(Refused, match="showed no certificate"):
        check()


def test_a_chain_must_begin_at_the_session() -> None:
    with pytest.raises(Refused, match="not signed by the one"):
        check(signed(KEY, D))


def test_each_link_must_be_signed_by_the_subject_of_the_one_before() -> None:
    with pytest.raises(Refused, match="not signed by the one"):
        check(signed(W, KEY), signed(E, D))


def test_an_issuer_must_be_allowed_to_invite() -> None:
    with pytest.raises(Refused, match="may not invite"):
        check(signed(W, KEY, may_invite=False), signed(KEY, D))


def test_the_last_one_in_a_chain_need_not_be_allowed_to_invite() -> None:
    assert check(signed(W, KEY), signed(KEY, D, may_invite=False)) is Role.EDITOR


def test_a_role_never_grows_along_a_chain() -> None:
    with pytest.raises(Refused, match="claims the role editor, above its issuer's viewer"):
        check(signed(W, KEY, Role.VIEWER), signed(KEY, D, Role.EDITOR))


def test_a_certificate_counts_until_its_last_second() -> None:
    assert check(signed(W, D, until=NOW), now=NOW) is Role.EDITOR
    with pytest.raises(Refused, match="has run out"):
        check(signed(W, D, until=NOW), now=NOW + 0.1)


def test_every_certificate_of_a_chain_must_be_in_date() -> None:
    with pytest.raises(Refused, match="has run out"):
        check(signed(W, KEY, until=NOW - 1), signed(KEY, D))


def test_a_certificate_for_another_session_is_refused() -> None:
    foreign = issue(
        W, session=public_bytes(E), subject=public_bytes(D), role=Role.EDITOR, until=LATER, may_invite=True
    )
    with pytest.raises(Refused, match="for another session"):
        check(foreign)


def test_a_certificate_of_another_device_is_refused() -> None:
    with pytest.raises(Refused, match="belongs to another device"):
        check(signed(W, KEY), device=D)


@pytest.mark.parametrize("position", [0, 63, 64, -1])
def test_no_byte_of_a_certificate_can_be_changed(position: int) -> None:
    data = bytearray(signed(W, D))
    data[position] ^= 1
    with pytest.raises(RemoteError):
        check(bytes(data))


def test_a_signature_over_the_bare_body_is_not_one() -> None:
    body = signed(W, D)[64:]
    with pytest.raises(Refused, match="not signed"):
        check(W.sign(body) + body)


def test_a_certificate_in_another_encoding_is_refused_though_it_says_the_same() -> None:
    data = signed(W, D)
    certificate = read_certificate(data)
    # The same array under the 16-bit length prefix of MessagePack, which an encoder need not choose.
    longer = b"\xdc\x00\x06" + data[65:]
    assert msgspec.msgpack.decode(longer) == msgspec.msgpack.decode(data[64:])
    with pytest.raises(Malformed, match="canonical"):
        read_certificate(with_body(data, longer))
    assert certificate == read_certificate(data)


def test_an_unknown_format_is_refused() -> None:
    data = signed(W, D)
    body = msgspec.msgpack.encode([2, *msgspec.msgpack.decode(data[64:])[1:]])
    with pytest.raises(Malformed, match="format 2"):
        read_certificate(with_body(data, body))


def test_an_oversized_certificate_is_not_even_decoded() -> None:
    with pytest.raises(TooLarge):
        read_certificate(bytes(CERTIFICATE_LIMIT + 1))


def test_a_date_beyond_forever_is_refused() -> None:
    with pytest.raises(Malformed, match="cannot be read"):
        read_certificate(signed(W, D, until=FOREVER + 1))
    assert check(signed(W, D, until=FOREVER)) is Role.EDITOR


def test_roles_are_words_for_people() -> None:
    assert [role.word for role in sorted(Role)] == ["viewer", "editor", "owner"]


@settings(max_examples=100, derandomize=True)
@given(st.binary(max_size=CERTIFICATE_LIMIT + 8))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_certificate(data)
    except RemoteError:
        return


@settings(max_examples=100, derandomize=True)
@given(st.integers(0, 200), st.integers(0, 255))
def test_any_changed_byte_is_refused(position: int, value: int) -> None:
    data = bytearray(signed(W, D))
    position %= len(data)
    if data[position] == value:
        return
    data[position] = value
    with pytest.raises(RemoteError):
        check(bytes(data))
