import pytest

from peer.core.actions import AcceptAnswer, AcceptOffer, Action, AddCandidates, CloseDirect, DialDirect
from peer.core.dialing import (
    CONNECT_TIMEOUT,
    DIAL_EVERY,
    IMPROVE_EVERY,
    IMPROVE_FIRST,
    MOVES,
    OFFER_EVERY,
    QUICK_TRIES,
    REDIAL_EVERY,
    RETRY_FIRST,
    RETRY_LONGEST,
    Dialing,
    Plan,
    Signal,
    State,
)
from peer.core.events import CandidatesFound
from peer.core.frames import Answer, Candidates, Frame, NoDirect, Offer, Redial
from peer.core.ids import Attempt
from peer.core.ladder import Ladder, Means
from peer.core.policy import ways

ALL = Ladder()
ALL.offer(("udp", "tcp"))
FULL = ALL.means(ways("auto"))
FULL_SOON = ALL.means(ways("auto"), soon=True)
PLAIN = Means()


class Side:
    """One side's dialling, with all that it ordered and said."""

    def __init__(
        self,
        *,
        dials: bool,
        policy: str = "auto",
        now: float = 100.0,
        share: float = 1.0,
        relayed: bool = True,
    ) -> None:
        self.orders: list[Action] = []
        self.said: list[Frame] = []
        self._number = 0
        self.dialing = Dialing(
            Plan(dials=dials, ways=ways(policy), same_host=True, relayed=relayed),
            ALL,
            now=now,
            number=self._next,
            jitter=lambda longest: longest * share,
            emit=self.orders.append,
            signal=self.said.append,
        )

    def _next(self) -> Attempt:
        self._number += 1
        return Attempt(self._number)

    def open(self, now: float = 100.0) -> Attempt:
        """Do all that opens a path."""
        if self.said or not self.dialing._plan.dials:
            self.dialing.offered(Offer(40 + self._number, "offer"), now)
            self.dialing.answer_made("answer")
        else:
            self.dialing.tick(now)
            self.dialing.offer_made("offer")
            self.dialing.answered(Answer(self._number, "answer"))
        assert self.dialing.attempt is not None
        number = self.dialing.attempt
        assert self.dialing.opened(number, now)
        self.said.clear()
        self.orders.clear()
        return number


def test_the_table_is_what_the_drawing_says() -> None:
    running = {State.OFFERING, State.OFFERED, State.ANSWERING, State.OPENING}
    expected = {
        (State.IDLE, Signal.DIAL): State.OFFERING,
        (State.OFFERING, Signal.OFFER_MADE): State.OFFERED,
        (State.OFFERED, Signal.ANSWERED): State.OPENING,
        (State.ANSWERING, Signal.ANSWER_MADE): State.OPENING,
        (State.OPENING, Signal.OPENED): State.IDLE,
    }
    expected[(State.IDLE, Signal.OFFERED)] = State.ANSWERING
    for state in running:
        expected[(state, Signal.OFFERED)] = State.ANSWERING
        expected[(state, Signal.DECLINED)] = State.OFF
        expected[(state, Signal.BROKEN)] = State.IDLE
    assert expected == MOVES


def test_two_sides_meet() -> None:
    dialer, answerer = Side(dials=True), Side(dials=False)
    dialer.dialing.tick(100.0)
    assert dialer.orders == [DialDirect(Attempt(1), True, FULL)]
    dialer.dialing.offer_made("offer")
    assert dialer.said == [Offer(1, "offer")]
    answerer.dialing.offered(Offer(1, "offer"), 100.1)
    assert answerer.orders == [AcceptOffer(Attempt(1), "offer", True, FULL)]
    answerer.dialing.answer_made("answer")
    assert answerer.said == [Answer(1, "answer")]
    dialer.dialing.answered(Answer(1, "answer"))
    assert dialer.orders[-1] == AcceptAnswer(Attempt(1), "answer")
    for side in (dialer, answerer):
        assert side.dialing.opened(Attempt(1), 100.2)
        assert side.dialing.state is State.IDLE
        assert side.dialing.standing == 1
        assert side.dialing.next_deadline() is None


def test_addresses_follow_the_offer_and_the_answer_under_its_number() -> None:
    dialer, answerer = Side(dials=True), Side(dials=False)
    dialer.dialing.tick(100.0)
    early = CandidatesFound(Attempt(1), ("a",))
    dialer.dialing.found(early)
    assert dialer.said == []
    dialer.dialing.offer_made("offer")
    dialer.dialing.found(early)
    dialer.dialing.found(CandidatesFound(Attempt(9), ("of another try",)))
    assert dialer.said[1:] == [Candidates(1, ["a"], last=False)]
    answerer.dialing.told(Candidates(7, ["a"], last=False))
    assert answerer.orders == []
    answerer.dialing.offered(Offer(7, "offer"), 100.0)
    answerer.dialing.told(Candidates(7, ["a"], last=True))
    answerer.dialing.told(Candidates(8, ["of another try"], last=True))
    assert answerer.orders[1:] == [AddCandidates(Attempt(1), ("a",), last=True)]
    answerer.dialing.answer_made("answer")
    answerer.dialing.found(CandidatesFound(Attempt(1), ("b",), last=True))
    assert answerer.said[-1] == Candidates(7, ["b"], last=True)


def test_an_answer_to_an_older_offer_is_dropped() -> None:
    dialer = Side(dials=True)
    dialer.dialing.tick(100.0)
    dialer.dialing.offer_made("offer")
    dialer.dialing.answered(Answer(99, "answer"))
    assert dialer.dialing.state is State.OFFERED


def test_what_comes_at_the_wrong_moment_changes_nothing() -> None:
    dialer = Side(dials=True)
    dialer.dialing.offer_made("offer")
    dialer.dialing.answer_made("answer")
    assert not dialer.dialing.opened(Attempt(1), 100.0)
    dialer.dialing.tick(100.0)
    assert not dialer.dialing.opened(Attempt(1), 100.0)
    dialer.dialing.broken(Attempt(9), "no", 100.0)
    assert dialer.said == []
    assert [type(order) for order in dialer.orders] == [DialDirect]


def give_up(side: Side, now: float) -> float:
    """Let one try take too long; return when the next one is due."""
    assert not side.dialing.tick(now)
    assert side.dialing.state is State.OFFERING
    assert side.dialing.next_deadline() == now + CONNECT_TIMEOUT
    assert side.dialing.tick(now + CONNECT_TIMEOUT)
    due = side.dialing.next_deadline()
    assert due is not None
    return due


def test_where_the_relay_carries_all_a_few_quick_tries_are_made_and_then_rare_ones() -> None:
    dialer = Side(dials=True)
    now, waits = 100.0, []
    for _ in range(QUICK_TRIES + 3):
        due = give_up(dialer, now)
        waits.append(due - now - CONNECT_TIMEOUT)
        now = due
    quick = [RETRY_FIRST * 2**number for number in range(QUICK_TRIES)]
    assert waits == [*quick, IMPROVE_FIRST, IMPROVE_EVERY, IMPROVE_EVERY]
    assert len([order for order in dialer.orders if isinstance(order, CloseDirect)]) == QUICK_TRIES + 3


def test_where_nothing_else_carries_contents_tries_go_on_every_half_minute() -> None:
    dialer = Side(dials=True, relayed=False)
    now, waits = 100.0, []
    for _ in range(12):
        due = give_up(dialer, now)
        waits.append(due - now - CONNECT_TIMEOUT)
        now = due
    assert waits[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, RETRY_LONGEST]
    assert set(waits[7:]) == {RETRY_LONGEST}


def test_waits_are_cut_down_at_random_but_offers_keep_their_distance() -> None:
    dialer = Side(dials=True, share=0.0)
    dialer.dialing.tick(100.0)
    dialer.dialing.broken(Attempt(1), "no", 100.1)
    assert dialer.dialing.next_deadline() == 100.0 + DIAL_EVERY


def test_a_path_that_opened_makes_the_next_tries_quick_again() -> None:
    dialer = Side(dials=True)
    now = 100.0
    for _ in range(QUICK_TRIES):
        now = give_up(dialer, now)
    dialer.dialing.tick(now)
    dialer.dialing.offer_made("offer")
    number = dialer.dialing.attempt
    assert number is not None
    dialer.dialing.answered(Answer(number, "answer"))
    assert dialer.dialing.opened(number, now)
    dialer.dialing.broken(number, "gone", now + 9)
    assert dialer.dialing.next_deadline() == now + 9 + RETRY_FIRST


def test_a_path_over_turn_is_improved_on_beside_it_and_without_turn() -> None:
    dialer = Side(dials=True)
    first = dialer.open()
    dialer.dialing.improve(100.0)
    assert dialer.dialing.next_deadline() == 100.0 + IMPROVE_FIRST
    dialer.dialing.tick(160.0)
    assert dialer.orders == [DialDirect(Attempt(2), True, PLAIN)]
    dialer.dialing.offer_made("better?")
    assert dialer.said == [Offer(2, "better?", beside=True, plain=True)]
    assert dialer.dialing.standing == first
    dialer.dialing.broken(Attempt(2), "no", 170.0)
    assert dialer.dialing.standing == first
    assert dialer.dialing.next_deadline() == 170.0 + IMPROVE_EVERY


def test_a_path_that_cannot_get_better_is_left_alone() -> None:
    dialer = Side(dials=True, policy="turn")
    dialer.open()
    dialer.dialing.improve(100.0)
    assert dialer.dialing.next_deadline() is None
    direct = Side(dials=True)
    direct.open()
    direct.dialing.renew(100.0)
    direct.dialing.tick(101.0)
    direct.dialing.broken(Attempt(2), "no", 102.0)
    assert direct.dialing.next_deadline() is None
    answerer = Side(dials=False)
    answerer.open()
    answerer.dialing.improve(100.0)
    assert answerer.dialing.next_deadline() is None


def test_an_offer_beside_a_path_leaves_it_standing_and_any_other_does_not() -> None:
    answerer = Side(dials=False)
    standing = answerer.open()
    answerer.dialing.offered(Offer(8, "better", beside=True, plain=True), 160.0)
    assert answerer.orders == [AcceptOffer(Attempt(2), "better", True, PLAIN)]
    assert answerer.dialing.standing == standing
    answerer.dialing.offered(Offer(9, "anew"), 161.0)
    assert answerer.orders[1:] == [CloseDirect(Attempt(2)), AcceptOffer(Attempt(3), "anew", True, FULL)]
    assert answerer.dialing.standing is None


def test_another_network_is_dialled_from_at_once_with_everything() -> None:
    dialer = Side(dials=True)
    dialer.open()
    dialer.dialing.improve(100.0)
    dialer.dialing.renew(110.0)
    assert dialer.dialing.next_deadline() == 110.0
    dialer.dialing.tick(110.0)
    dialer.dialing.offer_made("from here")
    assert dialer.said == [Offer(2, "from here", beside=True)]
    dialer.dialing.renew(110.1)
    assert dialer.orders == [DialDirect(Attempt(2), True, FULL_SOON), CloseDirect(Attempt(2))]
    assert dialer.dialing.next_deadline() == 110.0 + DIAL_EVERY


def test_the_answering_side_asks_to_be_dialled_when_its_network_changed() -> None:
    answerer, dialer = Side(dials=False), Side(dials=True)
    answerer.dialing.renew(100.0)
    assert answerer.said == [Redial()]
    dialer.open()
    dialer.dialing.asked(110.0)
    dialer.dialing.tick(110.0)
    dialer.dialing.asked(110.1)
    assert dialer.dialing.attempt == 2, "only now and then"
    dialer.dialing.asked(110.0 + REDIAL_EVERY)
    assert dialer.dialing.attempt is None
    answerer.dialing.asked(110.0)
    assert answerer.said == [Redial()]


def test_who_wants_no_direct_path_asks_for_none() -> None:
    unwilling = Side(dials=False, policy="relay")
    unwilling.dialing.renew(100.0)
    assert unwilling.said == []
    assert unwilling.dialing.is_off


def test_the_answering_side_tells_the_dialler_that_it_failed() -> None:
    answerer = Side(dials=False)
    answerer.dialing.offered(Offer(5, "offer"), 100.0)
    answerer.dialing.broken(Attempt(1), "no way", 101.0)
    assert answerer.said == [NoDirect(5, "no way")]
    assert answerer.dialing.next_deadline() is None


def test_the_answering_side_tells_the_dialler_that_a_path_is_gone() -> None:
    answerer = Side(dials=False)
    standing = answerer.open()
    answerer.dialing.offered(Offer(77, "another", beside=True), 150.0)
    answerer.dialing.broken(standing, "silent", 151.0)
    assert answerer.said == [NoDirect(40, "silent")]
    assert answerer.dialing.attempt == 2


def test_a_failure_told_by_the_other_side_is_a_failure() -> None:
    dialer = Side(dials=True)
    dialer.dialing.tick(100.0)
    dialer.dialing.declined(NoDirect(99, "another try"), 100.0)
    assert dialer.dialing.next_deadline() == 100.0 + CONNECT_TIMEOUT
    dialer.dialing.declined(NoDirect(1, "no way"), 101.0)
    assert dialer.dialing.state is State.IDLE
    assert dialer.dialing.next_deadline() == 101.0 + RETRY_FIRST


def test_the_other_sides_word_ends_the_path_that_stood() -> None:
    dialer = Side(dials=True)
    standing = dialer.open()
    dialer.dialing.declined(NoDirect(standing, "silent"), 110.0)
    assert dialer.dialing.standing is None
    assert dialer.dialing.next_deadline() == 110.0 + RETRY_FIRST


def test_a_final_no_ends_the_dialling() -> None:
    dialer = Side(dials=True)
    dialer.dialing.tick(100.0)
    dialer.dialing.declined(NoDirect(1, "relay only", final=True), 101.0)
    assert dialer.dialing.state is State.OFF
    assert dialer.dialing.next_deadline() is None


def test_who_wants_no_direct_path_says_so_to_every_offer() -> None:
    unwilling = Side(dials=False, policy="relay")
    unwilling.dialing.offered(Offer(3, "offer"), 100.0)
    assert unwilling.said == [NoDirect(3, "not wanted here", final=True)]
    assert unwilling.orders == []


def test_a_new_offer_replaces_the_try_under_way() -> None:
    answerer = Side(dials=False)
    answerer.dialing.offered(Offer(1, "first"), 100.0)
    answerer.dialing.offered(Offer(2, "second"), 101.0)
    assert answerer.orders == [
        AcceptOffer(Attempt(1), "first", True, FULL),
        CloseDirect(Attempt(1)),
        AcceptOffer(Attempt(2), "second", True, FULL),
    ]


def test_the_dialling_side_takes_no_offers() -> None:
    dialer = Side(dials=True)
    dialer.dialing.offered(Offer(1, "offer"), 100.0)
    assert dialer.orders == []


def test_a_path_that_died_is_dialled_again_at_once_when_asked() -> None:
    dialer = Side(dials=True)
    dialer.dialing.tick(100.0)
    dialer.dialing.broken(Attempt(1), "gone", 101.0)
    dialer.dialing.soon(101.0)
    dialer.dialing.tick(101.0)
    assert dialer.orders[-1] == DialDirect(Attempt(2), True, FULL)
    answerer = Side(dials=False)
    answerer.dialing.soon(100.0)
    assert answerer.dialing.next_deadline() is None


def test_stopping_closes_what_is_under_way() -> None:
    dialer = Side(dials=True)
    dialer.dialing.tick(100.0)
    dialer.dialing.stop()
    assert dialer.orders[-1] == CloseDirect(Attempt(1))
    assert not dialer.dialing.tick(1000.0)
    assert dialer.dialing.state is State.OFF


@pytest.mark.parametrize("policy", ["auto", "relay"])
def test_only_the_dialling_side_has_a_first_moment(policy: str) -> None:
    assert Side(dials=True, policy=policy).dialing.next_deadline() == (100.0 if policy == "auto" else None)
    assert Side(dials=False, policy=policy).dialing.next_deadline() is None


def test_offers_that_come_too_soon_are_declined_for_now() -> None:
    answerer = Side(dials=False)
    answerer.dialing.offered(Offer(1, "first"), 100.0)
    answerer.dialing.offered(Offer(2, "second"), 100.0 + OFFER_EVERY - 0.01)
    assert answerer.said == [NoDirect(2, "offered again too soon")]
    assert answerer.orders == [AcceptOffer(Attempt(1), "first", True, FULL)]
    answerer.dialing.offered(Offer(3, "third"), 100.0 + OFFER_EVERY)
    assert answerer.orders[-1] == AcceptOffer(Attempt(2), "third", True, FULL)
