"""The outbox keeps order, has bounds, and never leaves a frame out."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signaling.errors import Refusal
from signaling.messages import CloseCode
from signaling.outbox import Behind, Budget, Kind, Outbox

OVERHEAD = 64


def outbox(budget: Budget | None = None, frames: int = 4, size: int = 1000, control: int = 2) -> Outbox:
    return Outbox(control_limit=control, frame_limit=frames, byte_limit=size, budget=budget or Budget(10_000))


def test_an_empty_outbox_has_nothing() -> None:
    assert outbox().take() is None
    assert len(outbox()) == 0


def test_frames_leave_in_the_order_they_came() -> None:
    box = outbox()
    box.put_frame(b"a")
    box.put_frame(b"b")
    assert len(box) == 2
    assert [box.take(), box.take(), box.take()] == [(Kind.FRAME, b"a"), (Kind.FRAME, b"b"), None]


def test_control_messages_go_first() -> None:
    box = outbox()
    box.put_frame(b"frame")
    box.put_control(b"control")
    box.put_control(b"pong", Kind.PONG)
    assert [box.take(), box.take()] == [(Kind.CONTROL, b"control"), (Kind.PONG, b"pong")]
    assert box.take() == (Kind.FRAME, b"frame")


def test_too_many_control_messages_mean_a_slow_client() -> None:
    box = outbox()
    box.put_control(b"1")
    box.put_control(b"2")
    with pytest.raises(Refusal) as refused:
        box.put_control(b"3")
    assert refused.value.code == CloseCode.TOO_SLOW


def test_too_many_frames_mean_a_slow_client() -> None:
    box = outbox(frames=2)
    box.put_frame(b"")
    box.put_frame(b"")
    with pytest.raises(Refusal) as refused:
        box.put_frame(b"")
    assert refused.value.code == CloseCode.TOO_SLOW


def test_too_many_bytes_mean_a_slow_client() -> None:
    box = outbox(size=1000)
    box.put_frame(bytes(1000 - OVERHEAD))
    with pytest.raises(Refusal):
        box.put_frame(b"")
    box.take()
    box.put_frame(b"")


def test_all_clients_together_have_a_budget() -> None:
    budget = Budget(300)
    one, other = outbox(budget), outbox(budget)
    one.put_frame(bytes(200 - OVERHEAD))
    with pytest.raises(Refusal):
        other.put_frame(bytes(101 - OVERHEAD))
    other.put_frame(bytes(100 - OVERHEAD))
    one.take()
    assert budget.used == 100


def test_a_refused_frame_costs_nothing() -> None:
    budget = Budget(100)
    box = outbox(budget)
    for _ in range(3):
        with pytest.raises(Refusal):
            box.put_frame(bytes(101))
    assert budget.used == 0


def test_forgetting_the_frames_gives_their_bytes_back_and_keeps_control_messages() -> None:
    budget = Budget(10_000)
    box = outbox(budget)
    box.put_frame(b"frame")
    box.put_control(b"control")
    box.forget_frames()
    assert budget.used == 0
    assert [box.take(), box.take()] == [(Kind.CONTROL, b"control"), None]
    box.forget_frames()
    assert budget.used == 0


class Model(RuleBasedStateMachine):
    """Two outboxes with one budget: whatever is accepted comes out, once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(600)
        self.boxes = [outbox(self.budget, size=400), outbox(self.budget, size=400)]
        self.frames: list[list[bytes]] = [[], []]
        self.controls: list[list[bytes]] = [[], []]
        self.count = 0

    @rule(which=st.integers(0, 1), size=st.integers(0, 200))
    def put_frame(self, which: int, size: int) -> None:
        self.count += 1
        frame = b"%d" % self.count + bytes(size)
        try:
            self.boxes[which].put_frame(frame)
        except Refusal:
            return
        self.frames[which].append(frame)

    @rule(which=st.integers(0, 1))
    def put_control(self, which: int) -> None:
        self.count += 1
        try:
            self.boxes[which].put_control(b"%d" % self.count)
        except Refusal:
            assert len(self.controls[which]) == 2
            return
        self.controls[which].append(b"%d" % self.count)

    @rule(which=st.integers(0, 1))
    def take(self, which: int) -> None:
        taken = self.boxes[which].take()
        if self.controls[which]:
            assert taken == (Kind.CONTROL, self.controls[which].pop(0))
        elif self.frames[which]:
            assert taken == (Kind.FRAME, self.frames[which].pop(0))
        else:
            assert taken is None

    @rule(which=st.integers(0, 1))
    def forget(self, which: int) -> None:
        self.boxes[which].forget_frames()
        self.frames[which].clear()

    @invariant()
    def the_budget_is_what_waits(self) -> None:
        waiting = sum(len(frame) + OVERHEAD for frames in self.frames for frame in frames)
        assert self.budget.used == waiting <= 600
        assert all(sum(len(frame) + OVERHEAD for frame in frames) <= 400 for frames in self.frames)


TestModel = Model.TestCase


def test_a_control_message_that_belongs_behind_frames_comes_behind_them() -> None:
    box = Outbox(control_limit=4, frame_limit=4, byte_limit=1000, budget=Budget(1000))
    box.put_frame(b"first")
    box.put_frame(Behind(b"left"))
    box.put_control(b"ping")
    assert [box.take() for _ in range(4)] == [
        (Kind.CONTROL, b"ping"),
        (Kind.FRAME, b"first"),
        (Kind.CONTROL, b"left"),
        None,
    ]
