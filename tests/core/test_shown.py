"""What two sides showed of themselves: kinds of addresses, of the last attempt, and never more than some."""

import pytest

from peer.core.events import AnswerMade, CandidatesFound, OfferMade
from peer.core.frames import Answer, Candidates, Offer
from peer.core.ids import Attempt
from peer.core.shown import KINDS, OUTSIDE_LIMIT, Shown, kind_of

ONE = Attempt(1)


def line(host: str, of_type: str, port: int = 5000) -> str:
    return f"1 1 udp 2130706431 {host} {port} typ {of_type}"


def sdp(*candidates: str) -> str:
    return "\r\n".join(["v=0", "s=-", *(f"a=candidate:{each}" for each in candidates), "a=mid:0", ""])


@pytest.mark.parametrize(
    ("candidate", "kind"),
    [
        (line("192.168.1.5", "host"), "private4"),
        (line("100.64.3.2", "host"), "private4"),
        (line("4f1c.local", "host"), "private4"),
        (line("5.9.0.7", "host"), "public4"),
        (line("fd00::2", "host"), "private6"),
        (line("fe80::2%eth0", "host"), "private6"),
        (line("2a01:4f8::2", "host"), "public6"),
        (line("5.9.0.7", "srflx") + " raddr 10.0.0.1 rport 5", "seen4"),
        (line("2a01:4f8::2", "prflx"), "seen6"),
        (line("5.9.0.9", "relay"), "turn4"),
        ("candidate:" + line("2a01:4f8::9", "relay"), "turn6"),
        (line("5.9.0.7", "something"), ""),
        (line("printer", "host"), ""),
        ("a=ice-ufrag:abcd", ""),
        ("1 2 3 4 5.9.0.7 6 of host", ""),
    ],
)
def test_each_candidate_is_of_one_kind(candidate: str, kind: str) -> None:
    assert kind_of(candidate)[0] == kind
    assert kind in (*KINDS, "")


def test_an_attempt_is_collected_as_it_goes_on_and_an_offer_begins_another() -> None:
    ours = Shown()
    ours.told(OfferMade(ONE, sdp(line("10.0.0.2", "host"))))
    ours.told(CandidatesFound(ONE, (line("5.9.0.7", "srflx"),), last=True))
    ours.heard(Answer(1, sdp(line("10.7.0.2", "host"))))
    ours.heard(Candidates(1, [line("5.9.0.9", "relay")], True))
    assert (ours.ours, ours.theirs) == ({"private4", "seen4"}, {"private4", "turn4"})
    ours.told(OfferMade(ONE, sdp(line("10.0.0.2", "host"))))
    assert (ours.ours, ours.theirs) == ({"private4"}, set())
    theirs = Shown()
    theirs.heard(Offer(1, sdp(line("2a01:4f8::2", "host"))))
    theirs.told(AnswerMade(ONE, sdp(line("5.9.0.7", "host"))))
    assert (theirs.ours, theirs.theirs) == ({"public4"}, {"public6"})


def test_two_behind_one_router_are_told_by_the_address_outside() -> None:
    shown = Shown()
    shown.told(OfferMade(ONE, sdp(line("5.9.0.7", "srflx", 1))))
    shown.heard(Answer(1, sdp(line("5.9.0.8", "srflx", 2))))
    assert not shown.one_router
    shown.heard(Candidates(1, [line("5.9.0.7", "srflx", 2)], False))
    assert shown.one_router


def test_however_many_addresses_somebody_names_few_are_kept() -> None:
    shown = Shown()
    shown.heard(Offer(1, sdp(*(line(f"5.9.{n // 256}.{n % 256}", "srflx") for n in range(1000)))))
    shown.told(OfferMade(ONE, ""))
    shown.heard(Answer(1, sdp(*(line(f"5.9.0.{n}", "srflx") for n in range(100)))))
    shown.told(CandidatesFound(ONE, (line(f"5.9.0.{OUTSIDE_LIMIT}", "srflx"),), last=False))
    assert not shown.one_router
