from peer.core.outage import CHECK_EVERY, OUTAGE_LONGEST, QUIET_AFTER, Outage


class Watch:
    """An outage that counts its questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.outage = Outage(self._ask)

    def _ask(self) -> None:
        self.asked += 1

    def run(self, begin: float, end: float, *, anybody: bool) -> None:
        """Let time pass, waking whenever it wants."""
        now = begin
        while now <= end:
            self.outage.tick(now, anybody=anybody)
            due = self.outage.next_deadline()
            if due is None:
                return
            assert due > now
            now = due


def test_nobody_is_missed_who_was_never_there() -> None:
    watch = Watch()
    watch.run(100.0, 200.0, anybody=False)
    assert watch.asked == 0


def test_silence_is_asked_about_again_and_again_but_not_for_ever() -> None:
    watch = Watch()
    watch.run(100.0, 100.0 + QUIET_AFTER - 0.1, anybody=True)
    assert watch.asked == 0
    watch.run(100.0 + QUIET_AFTER, 1000.0, anybody=True)
    assert watch.asked == int((OUTAGE_LONGEST - QUIET_AFTER) / CHECK_EVERY) + 1
    assert watch.outage.next_deadline() is None


def test_those_who_went_silently_are_waited_for() -> None:
    watch = Watch()
    watch.run(100.0, 110.0, anybody=True)
    before = watch.asked
    watch.run(115.0, 130.0, anybody=False)
    assert watch.asked > before
    watch.outage.heard(131.0)
    watch.run(131.0, 140.0, anybody=False)
    assert watch.outage.next_deadline() is None


def test_the_first_word_after_an_outage_is_a_moment_to_ask() -> None:
    watch = Watch()
    watch.outage.tick(100.0, anybody=True)
    watch.outage.heard(100.0 + QUIET_AFTER + 1)
    assert watch.asked == 1
    watch.outage.heard(100.0 + QUIET_AFTER + 2)
    assert watch.asked == 1


def test_who_was_heard_and_then_said_goodbye_is_not_missed() -> None:
    watch = Watch()
    watch.outage.tick(100.0, anybody=True)
    watch.outage.heard(101.0)
    watch.outage.tick(101.0, anybody=False)
    assert watch.outage.next_deadline() is None


def test_doubts_come_no_faster_than_answers() -> None:
    watch = Watch()
    watch.outage.doubt(100.0)
    watch.outage.doubt(100.0 + CHECK_EVERY - 0.1)
    assert watch.asked == 1
    watch.outage.doubt(100.0 + CHECK_EVERY)
    assert watch.asked == 2
