"""Invitations: from one person to another, through all that chats and fingers do to a link."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from peer.core.certificates import FOREVER, Role, issue, public_bytes, verify_chain
from peer.core.invitation import Invitation, link_key, parse_invitation, room_private_key
from peer.errors import UsageError
from signaling.messages import room_id

NOW = 1_800_000_000
SECRET = bytes(range(32))
W = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
DEVICE = Ed25519PrivateKey.from_private_bytes(b"d" * 32)
FRIEND = Ed25519PrivateKey.from_private_bytes(b"f" * 32)


def invite(
    issuer: Ed25519PrivateKey = W,
    chain: tuple[bytes, ...] = (),
    *,
    role: Role = Role.EDITOR,
    until: int = NOW + 100,
    servers: tuple[str, ...] = ("ws://127.0.0.1:8787",),
) -> Invitation:
    return Invitation.make(
        issuer,
        chain,
        secret=SECRET,
        session=public_bytes(W),
        role=role,
        until=until,
        key_seed=b"i" * 32,
        servers=servers,
    )


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_invitation(text)
    return str(caught.value)


def test_an_invitation_survives_both_forms() -> None:
    invitation = invite()
    assert parse_invitation(invitation.to_uri()) == invitation
    assert parse_invitation(invitation.to_web_link("https://weft.example/")) == invitation


def test_the_link_stays_short_enough_for_a_picture() -> None:
    assert len(invite().to_uri()) < 330


def test_a_web_link_names_the_server_when_the_invitation_does_not() -> None:
    link = invite(servers=()).to_web_link("https://weft.example:444")
    assert parse_invitation(link).servers == ("https://weft.example:444",)


def test_a_link_without_a_host_names_no_server() -> None:
    assert parse_invitation("https:///j#" + invite(servers=()).to_uri()[5:]).servers == ()


def test_what_an_invitation_says_can_be_asked() -> None:
    invitation = invite(role=Role.VIEWER, until=NOW)
    assert invitation.session == public_bytes(W)
    assert invitation.role is Role.VIEWER
    assert invitation.until == NOW


def test_the_invited_device_certifies_itself() -> None:
    chain = invite().certify(public_bytes(DEVICE))
    assert verify_chain(chain, public_bytes(W), public_bytes(DEVICE), NOW) is Role.EDITOR


def test_a_member_can_pass_an_invitation_on_once_more() -> None:
    chain = invite().certify(public_bytes(DEVICE))
    second = invite(DEVICE, chain)
    final = second.certify(public_bytes(FRIEND))
    assert len(final) == 4
    assert verify_chain(final, public_bytes(W), public_bytes(FRIEND), NOW) is Role.EDITOR
    assert parse_invitation(second.to_uri()) == second
    with pytest.raises(UsageError, match="passed on too often"):
        invite(FRIEND, final)


def test_nobody_can_invite_with_a_higher_role_than_their_own() -> None:
    chain = invite(role=Role.VIEWER).certify(public_bytes(DEVICE))
    with pytest.raises(UsageError, match="cannot invite with the role editor"):
        invite(DEVICE, chain, role=Role.EDITOR)


def test_an_invitation_ends_with_the_first_certificate_that_runs_out() -> None:
    chain = invite(until=NOW).certify(public_bytes(DEVICE))
    assert invite(DEVICE, chain, until=FOREVER).until == NOW


@pytest.mark.parametrize(
    ("late", "words"),
    [(1, "1 seconds"), (130, "2 minutes"), (3 * 3600, "3 hours"), (50 * 3600, "2 days")],
)
def test_an_invitation_that_ran_out_says_when(late: int, words: str) -> None:
    invitation = invite(until=NOW)
    invitation.check_date(NOW)
    with pytest.raises(UsageError, match=f"ran out {words} ago; ask for a new one"):
        invitation.check_date(NOW + late)


def test_the_room_follows_from_the_secret_alone() -> None:
    invitation = invite()
    public = public_bytes(room_private_key(SECRET))
    assert public_bytes(invitation.room_private_key()) == public
    assert invitation.room == room_id(public)
    assert len(invitation.room) == 26
    assert room_id(public_bytes(room_private_key(bytes(32)))) != invitation.room


def test_the_keys_derived_from_the_secret_never_change() -> None:
    # RFC 5869 computed by hand with hmac: a change here would lock everyone out of their rooms.
    prk = hmac.new(b"weft/1", SECRET, hashlib.sha256).digest()
    seed = hmac.new(prk, b"room\x01", hashlib.sha256).digest()
    assert public_bytes(room_private_key(SECRET)) == public_bytes(Ed25519PrivateKey.from_private_bytes(seed))
    assert link_key(SECRET) == hmac.new(prk, b"link\x01", hashlib.sha256).digest()


def test_secrets_do_not_show_in_a_log() -> None:
    shown = repr(invite())
    assert "editor" in shown
    assert SECRET.hex() not in shown
    assert repr(SECRET) not in shown
    assert (b"i" * 32).decode() not in shown


@pytest.mark.parametrize(
    "spoil",
    [
        lambda link: f"  {link}\n",
        lambda link: f"<{link}>",
        lambda link: f'"{link}"',
        lambda link: f"“{link}”.",
        lambda link: f"`{link}`,",
        lambda link: link[:40] + "\r\n> " + link[40:80] + "\n" + link[80:],
        lambda link: link.replace("weft:", "WEFT://"),
        lambda link: "\ufeff" + link + "\u200b",
        lambda link: f"({link})"[1:],
    ],
)
def test_a_link_is_read_in_spite_of_what_surrounds_it(spoil) -> None:  # type: ignore[no-untyped-def]
    assert parse_invitation(spoil(invite().to_uri())) == invite()


def test_nothing_is_not_an_invitation() -> None:
    assert "no invitation here" in refusal(" \n ")


def test_something_else_is_not_an_invitation() -> None:
    assert "begins with weft: or https://" in refusal("hello")


def test_a_web_link_without_its_secret_half_says_so() -> None:
    assert "nothing after the # sign" in refusal("https://weft.example/j")


def test_a_web_link_with_a_broken_address_says_so() -> None:
    assert "server in this link" in refusal("https://[::1/j#" + invite().to_uri()[5:])


def test_a_huge_paste_is_not_read() -> None:
    assert "far too long" in refusal("weft:" + "A" * 5000)


@pytest.mark.parametrize("kept", [0, 1, 2, 5, 8, 9, 10, 100, 200, -4, -3, -2, -1])
def test_a_link_cut_short_says_that_it_is_incomplete(kept: int) -> None:
    data = invite().to_uri()[5:][:kept]
    assert "incomplete" in refusal("weft:" + data)


def test_a_link_with_more_at_its_end_is_mistyped() -> None:
    assert "mistyped" in refusal(invite().to_uri() + "AAAA")


def test_a_foreign_character_is_named() -> None:
    link = invite().to_uri()
    assert "'é'" in refusal(link[:50] + "é" + link[51:])


def test_a_link_of_a_newer_version_says_so() -> None:
    assert "newer version" in refusal("weft:A" + "g" + invite().to_uri()[7:])


@settings(max_examples=100, derandomize=True)
@given(st.integers(0, 1000), st.sampled_from("AZaz09-_"))
def test_no_mistyped_character_goes_unnoticed(position: int, letter: str) -> None:
    data = invite().to_uri()[5:]
    position %= len(data) - 1  # in the last character, some bits mean nothing
    if data[position] != letter:
        refusal("weft:" + data[:position] + letter + data[position + 1 :])


def forged(**changes: object) -> str:
    """The link of an invitation whose parts do not belong together."""
    good = invite()
    parts = {"secret": SECRET, "key_seed": good.key_seed, "chain": good.chain, "servers": good.servers}
    return Invitation(**{**parts, **changes}).to_uri()  # type: ignore[arg-type]


def test_an_invitation_for_another_key_is_not_genuine() -> None:
    assert "not genuine" in refusal(forged(key_seed=b"x" * 32))


def test_an_invitation_with_rubbish_for_a_certificate_is_not_genuine() -> None:
    assert "not genuine" in refusal(forged(chain=(b"rubbish" * 20,)))


def test_an_invitation_whose_key_may_not_invite_is_not_genuine() -> None:
    subject = public_bytes(Ed25519PrivateKey.from_private_bytes(b"i" * 32))
    mute = issue(W, session=public_bytes(W), subject=subject, role=Role.EDITOR, until=NOW, may_invite=False)
    assert "may not let anybody in" in refusal(forged(chain=(mute,)))


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": b"short"},
        {"chain": ()},
        {"chain": (b"x",) * 4},
        {"servers": ("a",) * 4},
        {"servers": ("evil\x1b[2J",)},
        {"servers": ("x" * 256,)},
    ],
)
def test_an_invitation_beyond_its_limits_cannot_be_read(changes: dict[str, object]) -> None:
    assert "cannot be read" in refusal(forged(**changes))
