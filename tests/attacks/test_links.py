"""Attacks on links: a relay that plays tricks, and people who were not, or no longer, invited."""

import random
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.certificates import FOREVER, Role, issue, public_bytes, verify_chain
from peer.core.invitation import Invitation
from peer.edge.identity import Identity, make_identity
from peer.edge.sealed import Seal
from peer.errors import RemoteError, TooLarge, WeftError

NOW = 1_800_000_000


def identity(number: int) -> Identity:
    return make_identity(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


ANA, BEN, EVE = identity(1), identity(2), identity(3)

# --- a relay that plays tricks ----------------------------------------------------------------------

Trick = Callable[[list[bytes], random.Random], list[bytes]]
"""What a relay makes of the frames of one direction."""


def swap(frames: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(frames) - 1)
    return [*frames[:at], frames[at + 1], frames[at], *frames[at + 2 :]]


def drop(frames: list[bytes], rng: random.Random) -> list[bytes]:
    # Not the last one: that is a stop, which a relay can always do.
    at = rng.randrange(len(frames) - 1)
    return frames[:at] + frames[at + 1 :]


def repeat(frames: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(frames))
    return [*frames[: at + 1], frames[at], *frames[at + 1 :]]


def repeat_later(frames: list[bytes], rng: random.Random) -> list[bytes]:
    return [*frames, rng.choice(frames)]


def truncate(frames: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(frames) - 1)
    kept = rng.randrange(1, len(frames[at]))
    return [*frames[:at], frames[at][:kept], *frames[at + 1 :]]


def flip(frames: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(frames) - 1)
    frame = bytearray(frames[at])
    frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
    return [*frames[:at], bytes(frame), *frames[at + 1 :]]


def insert(frames: list[bytes], rng: random.Random) -> list[bytes]:
    at = rng.randrange(len(frames))
    return [*frames[:at], rng.randbytes(rng.randrange(1, 200)), *frames[at:]]


TRICKS: list[Trick] = [swap, drop, repeat, repeat_later, truncate, flip, insert]


def exchange(first: Seal, second: Seal) -> bool:
    """Carry everything in both directions once; false when there was nothing."""
    busy = False
    for sender, receiver in ((first, second), (second, first)):
        for frame in sender.take_outgoing():
            busy = True
            receiver.receive(frame)
    return busy


def linked() -> tuple[Seal, Seal]:
    first, second = Seal(True, ANA), Seal(False, BEN)
    first.start()
    second.start()
    while exchange(first, second):
        pass
    return first, second


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
@pytest.mark.parametrize("seed", range(20))
def test_a_relay_that_meddles_ends_the_link_and_delivers_nothing_wrong(trick: Trick, seed: int) -> None:
    rng = random.Random(seed)
    first, second = linked()
    pieces = [rng.randbytes(rng.randrange(1, 3000)) for _ in range(8)]
    frames: list[bytes] = []
    for piece in pieces:
        first.send(piece)
        frames += first.take_outgoing()
    altered = trick(frames, rng)
    assert altered != frames
    arrived: list[bytes] = []
    ended = False
    for frame in altered:
        try:
            second.receive(frame)
        except RemoteError:
            ended = True
        arrived += second.take_pieces()
    assert ended, f"seed {seed}: the link went on"
    assert not second.established
    assert arrived == pieces[: len(arrived)], f"seed {seed}: something else arrived than was sent"


@pytest.mark.parametrize("trick", [repeat, truncate, flip, insert], ids=lambda trick: trick.__name__)
@pytest.mark.parametrize("seed", range(20))
def test_a_relay_that_meddles_with_the_handshake_cannot_make_a_link(trick: Trick, seed: int) -> None:
    rng = random.Random(seed)
    first, second = Seal(True, ANA), Seal(False, BEN)
    first.start()
    second.start()
    meddled = rng.randrange(2)
    try:
        for step in range(4):
            sender, receiver = (first, second) if step % 2 == 0 else (second, first)
            frames = sender.take_outgoing()
            if step == meddled:
                frames = trick(frames if trick is repeat else [*frames, b""], rng)
            for frame in frames:
                receiver.receive(frame)
    except WeftError:
        pass
    assert not (first.established and second.established), f"seed {seed}"


def test_a_relay_cannot_play_an_earlier_link_again() -> None:
    recorded: list[bytes] = []
    first, second = Seal(True, ANA), Seal(False, BEN)
    first.start()
    second.start()
    for _ in range(4):
        frames = first.take_outgoing()
        recorded += frames
        for frame in frames:
            second.receive(frame)
        for frame in second.take_outgoing():
            first.receive(frame)
    first.send(b"give everything to Eve")
    recorded += first.take_outgoing()
    again = Seal(False, BEN)
    again.start()

    def play() -> None:
        for frame in recorded:
            again.receive(frame)
            again.take_outgoing()

    with pytest.raises(RemoteError):
        play()
    assert again.take_pieces() == []


def test_a_relay_that_sits_in_the_middle_shows_its_own_key() -> None:
    ana, eve_as_ben = Seal(True, ANA), Seal(False, EVE)
    ana.start()
    eve_as_ben.start()
    while exchange(ana, eve_as_ben):
        pass
    assert ana.device_key == EVE.device
    with pytest.raises(RemoteError, match="another device"):
        verify_chain(invited(BEN), SESSION, ana.device_key, NOW)


def test_a_relay_cannot_turn_a_link_back_on_itself() -> None:
    first, second = linked()
    first.send(b"hello")
    (frame,) = first.take_outgoing()
    with pytest.raises(RemoteError):
        first.receive(frame)
    assert first.take_pieces() == []
    assert second.established


# --- people who were not invited --------------------------------------------------------------------

W = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
SESSION = public_bytes(W)


def invitation(role: Role = Role.EDITOR, until: int = NOW + 100, owner: Ed25519PrivateKey = W) -> Invitation:
    return Invitation.make(
        owner, (), secret=bytes(32), session=public_bytes(owner), role=role, until=until, key_seed=b"i" * 32
    )


def invited(who: Identity, role: Role = Role.EDITOR) -> tuple[bytes, ...]:
    return invitation(role).certify(who.device)


def signed(by: Identity, subject: bytes, role: Role = Role.EDITOR, *, may_invite: bool = True) -> bytes:
    return issue(
        by.private_key, session=SESSION, subject=subject, role=role, until=FOREVER, may_invite=may_invite
    )


def refused(chain: tuple[bytes, ...], who: Identity = EVE, now: float = NOW) -> str:
    with pytest.raises(RemoteError) as caught:
        verify_chain(chain, SESSION, who.device, now)
    return str(caught.value)


def test_somebody_who_was_invited_is_let_in() -> None:
    assert verify_chain(invited(BEN), SESSION, BEN.device, NOW) is Role.EDITOR


def test_somebody_without_an_invitation_cannot_sign_for_themselves() -> None:
    assert "not signed" in refused((signed(EVE, EVE.device),))


def test_somebody_with_another_persons_chain_is_not_that_person() -> None:
    assert "another device" in refused(invited(BEN))


def test_an_invitation_that_ran_out_lets_nobody_in() -> None:
    assert "run out" in refused(invited(EVE), now=NOW + 101)


def test_a_viewer_cannot_become_an_editor() -> None:
    chain = invited(EVE, Role.VIEWER)
    assert "above its issuer's viewer" in refused((*chain, signed(EVE, EVE.device, Role.EDITOR)))


def test_nobody_becomes_owner_by_an_editors_invitation() -> None:
    chain = invited(EVE)
    assert "above its issuer's editor" in refused((*chain, signed(EVE, EVE.device, Role.OWNER)))


def test_a_link_left_out_of_a_chain_is_noticed() -> None:
    first, *_ = invited(BEN)
    assert "not signed" in refused((first, signed(BEN, EVE.device)))


def test_a_chain_of_five_is_not_followed() -> None:
    chain = (*invited(BEN), signed(BEN, BEN.device), signed(BEN, BEN.device), signed(BEN, EVE.device))
    with pytest.raises(TooLarge):
        verify_chain(chain, SESSION, EVE.device, NOW)


def test_somebody_who_may_not_invite_cannot() -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"i" * 32)
    last = issue(key, session=SESSION, subject=BEN.device, role=Role.EDITOR, until=FOREVER, may_invite=False)
    chain = (*invitation().chain, last, signed(BEN, EVE.device))
    assert "may not invite" in refused(chain)


def test_a_member_of_another_session_is_a_stranger_here() -> None:
    foreign = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    assert refused(invitation(owner=foreign).certify(EVE.device))
    smuggled = issue(
        W, session=public_bytes(foreign), subject=EVE.device, role=Role.OWNER, until=FOREVER, may_invite=True
    )
    assert "another session" in refused((smuggled,))


def test_a_signature_made_for_the_server_is_not_a_certificate() -> None:
    body = signed(EVE, EVE.device)[64:]
    for prefix in (b"", b"weft/1 enter\x00"):
        assert "not signed" in refused((W.sign(prefix + body) + body,))
