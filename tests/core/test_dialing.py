import pytest

from peer.core.actions import AcceptAnswer, AcceptOffer, Action, CloseDirect, DialDirect
from peer.core.dialing import (
    CONNECT_TIMEOUT,
    MOVES,
    OFFER_EVERY,
    RETRY_AT_LAST,
    RETRY_DELAYS,
    Dialing,
    Signal,
    State,
)
from peer.core.frames import Answer, Frame, NoDirect, Offer
from peer.core.ids import Attempt


class Side:
    """One side's dialling, with all that it ordered and said."""

    def __init__(self, *, dials: bool, wanted: bool = True, now: float = 100.0) -> None:
        self.orders: list[Action] = []
        self.said: list[Frame] = []
        self._number = 0
        self.dialing = Dialing(
            dials=dials,
            wanted=wanted,
            same_host=True,
            now=now,
            number=self._next,
            emit=self.orders.append,
            signal=self.said.append,
        )

    def _next(self) -> Attempt:
        self._number += 1
        return Attempt(self._number)


def test_the_table_is_what_the_drawing_says() -> None:
    running = {State.OFFERING, State.OFFERED, State.ANSWERING, State.OPENING, State.OPEN}
    expected = {
        (State.IDLE, Signal.DIAL): State.OFFERING,
        (State.OFFERING, Signal.OFFER_MADE): State.OFFERED,
        (State.OFFERED, Signal.ANSWERED): State.OPENING,
        (State.ANSWERING, Signal.ANSWER_MADE): State.OPENING,
        (State.OPENING, Signal.OPENED): State.OPEN,
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
    assert dialer.orders == [DialDirect(Attempt(1), same_host=True)]
    dialer.dialing.offer_made("offer")
    assert dialer.said == [Offer(1, "offer")]
    answerer.dialing.offered(Offer(1, "offer"), 100.1)
    assert answerer.orders == [AcceptOffer(Attempt(1), "offer", same_host=True)]
    answerer.dialing.answer_made("answer")
    assert answerer.said == [Answer(1, "answer")]
    dialer.dialing.answered(Answer(1, "answer"))
    assert dialer.orders[-1] == AcceptAnswer(Attempt(1), "answer")
    assert dialer.dialing.opened()
    assert answerer.dialing.opened()
    assert dialer.dialing.state is answerer.dialing.state is State.OPEN
    assert dialer.dialing.next_deadline() is None


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
    assert not dialer.dialing.opened()
    dialer.dialing.broken("no", 100.0)
    assert dialer.said == []
    assert dialer.orders == []


def test_a_try_that_takes_too_long_is_given_up_and_repeated_ever_more_rarely() -> None:
    dialer = Side(dials=True)
    now = 100.0
    for delay in (*RETRY_DELAYS, RETRY_AT_LAST, RETRY_AT_LAST):
        assert not dialer.dialing.tick(now)
        assert dialer.dialing.state is State.OFFERING
        assert dialer.dialing.next_deadline() == now + CONNECT_TIMEOUT
        now += CONNECT_TIMEOUT
        assert dialer.dialing.tick(now)
        assert dialer.dialing.next_deadline() == now + delay
        now += delay
    closed = [order for order in dialer.orders if isinstance(order, CloseDirect)]
    assert len(closed) == len(RETRY_DELAYS) + 2


def test_the_answering_side_tells_the_dialler_that_it_failed() -> None:
    answerer = Side(dials=False)
    answerer.dialing.offered(Offer(5, "offer"), 100.0)
    answerer.dialing.broken("no way", 101.0)
    assert answerer.said == [NoDirect(5, "no way")]
    assert answerer.dialing.next_deadline() is None


def test_a_failure_told_by_the_other_side_is_a_failure() -> None:
    dialer = Side(dials=True)
    dialer.dialing.tick(100.0)
    dialer.dialing.declined(NoDirect(99, "another try"), 100.0)
    assert dialer.dialing.next_deadline() == 100.0 + CONNECT_TIMEOUT
    dialer.dialing.declined(NoDirect(1, "no way"), 101.0)
    assert dialer.dialing.state is State.IDLE
    assert dialer.dialing.next_deadline() == 101.0 + RETRY_DELAYS[0]


def test_a_final_no_ends_the_dialling() -> None:
    dialer = Side(dials=True)
    dialer.dialing.tick(100.0)
    dialer.dialing.declined(NoDirect(1, "relay only", final=True), 101.0)
    assert dialer.dialing.state is State.OFF
    assert dialer.dialing.next_deadline() is None


def test_who_wants_no_direct_path_says_so_to_every_offer() -> None:
    unwilling = Side(dials=False, wanted=False)
    unwilling.dialing.offered(Offer(3, "offer"), 100.0)
    assert unwilling.said == [NoDirect(3, "not wanted here", final=True)]
    assert unwilling.orders == []


def test_a_new_offer_replaces_the_try_under_way() -> None:
    answerer = Side(dials=False)
    answerer.dialing.offered(Offer(1, "first"), 100.0)
    answerer.dialing.offered(Offer(2, "second"), 101.0)
    assert answerer.orders == [
        AcceptOffer(Attempt(1), "first", same_host=True),
        CloseDirect(Attempt(1)),
        AcceptOffer(Attempt(2), "second", same_host=True),
    ]


def test_the_dialling_side_takes_no_offers() -> None:
    dialer = Side(dials=True)
    dialer.dialing.offered(Offer(1, "offer"), 100.0)
    assert dialer.orders == []


def test_a_path_that_died_is_dialled_again_at_once_when_asked() -> None:
    dialer = Side(dials=True)
    dialer.dialing.tick(100.0)
    dialer.dialing.broken("gone", 101.0)
    dialer.dialing.soon(101.0)
    dialer.dialing.tick(101.0)
    assert dialer.orders[-1] == DialDirect(Attempt(2), same_host=True)
    answerer = Side(dials=False)
    answerer.dialing.soon(100.0)
    assert answerer.dialing.next_deadline() is None


def test_stopping_closes_what_is_open() -> None:
    dialer = Side(dials=True)
    dialer.dialing.tick(100.0)
    dialer.dialing.stop()
    assert dialer.orders[-1] == CloseDirect(Attempt(1))
    assert not dialer.dialing.tick(1000.0)
    assert dialer.dialing.state is State.OFF


@pytest.mark.parametrize("wanted", [True, False])
def test_only_the_dialling_side_has_a_first_moment(wanted: bool) -> None:
    assert Side(dials=True, wanted=wanted).dialing.next_deadline() == (100.0 if wanted else None)
    assert Side(dials=False, wanted=wanted).dialing.next_deadline() is None


def test_offers_that_come_too_soon_are_declined_for_now() -> None:
    answerer = Side(dials=False)
    answerer.dialing.offered(Offer(1, "first"), 100.0)
    answerer.dialing.offered(Offer(2, "second"), 100.0 + OFFER_EVERY - 0.01)
    assert answerer.said == [NoDirect(2, "offered again too soon")]
    assert answerer.orders == [AcceptOffer(Attempt(1), "first", same_host=True)]
    answerer.dialing.offered(Offer(3, "third"), 100.0 + OFFER_EVERY)
    assert answerer.orders[-1] == AcceptOffer(Attempt(2), "third", same_host=True)
