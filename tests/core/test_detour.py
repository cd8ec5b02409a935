from hypothesis import given
from hypothesis import strategies as st

from peer.core.detour import DETOUR_AFTER, KEPT_LIMIT, Detour


def test_what_is_acknowledged_in_time_takes_no_detour() -> None:
    detour = Detour()
    detour.keep(b"one")
    assert not detour.has_any(), "not before it is known since when"
    detour.stamp(100.0)
    assert detour.has_any()
    assert detour.late_at() == 100.0 + DETOUR_AFTER
    assert detour.late_at(2.0) == 102.0
    assert detour.would_take("relay")
    detour.acknowledged(1)
    assert not detour.has_any()
    assert not detour.would_take("relay")
    assert detour.take() is None


def test_what_is_late_goes_the_other_way_once_and_so_does_what_follows() -> None:
    detour = Detour()
    detour.keep(b"one")
    detour.stamp(100.0)
    detour.keep(b"two")
    detour.stamp(100.9)
    assert detour.late_at() == 101.0
    detour.over("relay")
    assert [detour.take(), detour.take(), detour.take()] == [b"one", b"two", None]
    assert not detour.would_take("relay")
    detour.keep(b"three")
    detour.stamp(101.2)
    assert detour.late_at() == 101.0, "the path has not caught up yet"
    detour.over("relay")
    assert detour.take() == b"three"
    detour.acknowledged(3)
    detour.keep(b"four")
    detour.stamp(102.0)
    assert detour.late_at() == 103.0


def test_what_went_one_way_goes_again_when_another_is_taken() -> None:
    detour = Detour()
    detour.keep(b"one")
    detour.keep(b"two")
    detour.stamp(100.0)
    detour.over("one way")
    assert [detour.take(), detour.take()] == [b"one", b"two"]
    detour.acknowledged(1)
    assert not detour.would_take("one way")
    assert detour.would_take("another")
    detour.over("another")
    assert [detour.take(), detour.take()] == [b"two", None]


def test_what_is_kept_has_a_limit() -> None:
    detour = Detour()
    for _ in range(5):
        detour.keep(bytes(KEPT_LIMIT // 4))
    detour.stamp(100.0)
    assert [detour.take() is not None for _ in range(5)] == [True] * 4 + [False]
    detour.keep(b"more")
    assert detour.take() == b"more"


@given(st.lists(st.sampled_from(["keep", "acknowledge", "take", "stamp"]), max_size=60))
def test_nothing_is_left_out_and_nothing_goes_twice(steps: list[str]) -> None:
    detour = Detour()
    kept = acked = 0
    taken: list[int] = []
    for step in steps:
        match step:
            case "keep":
                kept += 1
                detour.keep(kept.to_bytes(2))
            case "acknowledge" if acked < kept:
                acked += 1
                detour.acknowledged(acked)
            case "take" if (frame := detour.take()) is not None:
                taken.append(int.from_bytes(frame))
                assert taken[-1] > acked
            case _:
                detour.stamp(100.0)
    assert taken == sorted(set(taken))
    while (frame := detour.take()) is not None:
        taken.append(int.from_bytes(frame))
    assert set(range(acked + 1, kept + 1)) <= set(taken)
