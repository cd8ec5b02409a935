"""Code points and bytes: where the one is in the other, however a text changes."""

import random

import pytest

from peer.core.editlog import EDITS_KEPT, EditLog
from peer.core.edits import Edit, apply_edits
from peer.core.textpositions import CHUNK, CHUNK_LIMIT, Mirror, Step, TextPositions, utf16_length

ALPHABET = "aé日😀"


def never() -> str:
    raise AssertionError("the text was read")


def draw(rng: random.Random, text: str, longest: int) -> Edit:
    at = rng.randint(0, len(text))
    deleted = rng.randint(0, min(longest, len(text) - at))
    return Edit(at, deleted, "".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, longest))))


def as_delta(text: str, edit: Edit) -> list[Step]:
    """The same edit as the engine would tell it."""
    steps: list[Step] = []
    if edit.at:
        steps.append({"retain": len(text[: edit.at].encode())})
    if edit.inserted:
        steps.append({"insert": edit.inserted})
    if edit.deleted:
        steps.append({"delete": len(text[edit.at : edit.at + edit.deleted].encode())})
    return steps


@pytest.mark.parametrize("seed", range(12))
def test_edits_are_found_in_bytes_as_in_a_plain_text(seed: int) -> None:
    rng = random.Random(seed)
    text = rng.choice(["", "plain", "aé日😀" * 700, "a" * 5000 + "日" + "b" * 5000])
    positions = TextPositions(text)
    for _ in range(150):
        edit = draw(rng, text, rng.choice([1, 5, 3000]))
        before = text
        expected = (len(text[: edit.at].encode()), len(text[edit.at : edit.at + edit.deleted].encode()))
        assert positions.splice(edit, lambda before=before: before) == expected  # type: ignore[misc]
        text = apply_edits(text, [edit])
        assert positions.length == len(text)
        assert positions.text() in (text, None)


@pytest.mark.parametrize("seed", range(12))
def test_changes_in_bytes_become_the_same_edits_in_code_points(seed: int) -> None:
    rng = random.Random(seed)
    text = rng.choice(["", "plain", "aé日😀" * 700])
    positions = TextPositions(text)
    for _ in range(150):
        edit = draw(rng, text, rng.choice([1, 5, 3000]))
        after = apply_edits(text, [edit])
        edits = positions.absorb(as_delta(text, edit), len(after.encode()), lambda after=after: after)  # type: ignore[misc]
        assert edits == ([edit] if edit.deleted or edit.inserted else [])
        text = after
        assert positions.length == len(text)
        assert positions.text() in (text, None)


def test_an_ascii_text_is_never_read() -> None:
    positions = TextPositions("hello")
    assert positions.splice(Edit(5, 0, "!"), never) == (5, 0)
    assert positions.absorb([{"retain": 2}, {"delete": 3}], 3, never) == [Edit(2, 3, "")]
    assert positions.length == 3
    assert positions.text() is None


def test_steps_at_one_place_are_one_edit() -> None:
    positions = TextPositions("0123456789")
    delta: list[Step] = [
        {"retain": 1},
        {"delete": 2},
        {"insert": "ab"},
        {"delete": 1},
        {"retain": 2},
        {"insert": "c"},
    ]
    edits = positions.absorb(delta, 10, never)
    assert edits == [Edit(1, 3, "ab"), Edit(5, 0, "c")]
    assert apply_edits("0123456789", edits) == "0ab45c6789"


def test_a_change_that_does_not_add_up_replaces_everything() -> None:
    positions = TextPositions("aé😀")
    truth = "something else 日"
    assert positions.absorb([{"delete": 2}], len(truth.encode()), lambda: truth) == [Edit(0, 3, truth)]
    assert positions.text() == truth
    assert positions.absorb([{"retain": 99}, {"delete": 99}], 5, lambda: "ascii") == [
        Edit(0, len(truth), "ascii")
    ]
    assert positions.text() is None
    assert positions.absorb([{"insert": {"embedded": 1}}], 6, lambda: "ascii") == [Edit(0, 5, "ascii")]


def test_a_text_that_becomes_other_than_ascii_is_read_once() -> None:
    positions = TextPositions("ab")
    assert positions.splice(Edit(1, 0, "日"), lambda: "ab") == (1, 0)
    assert positions.splice(Edit(2, 0, "é"), never) == (4, 0)
    assert positions.text() == "a日éb"


def test_chunks_stay_short_and_empty_ones_vanish() -> None:
    mirror = Mirror("é" + "a" * CHUNK_LIMIT)
    assert len(mirror._chunks) == 3
    assert mirror.splice(CHUNK, 2 * CHUNK - CHUNK, "") == CHUNK
    assert mirror.splice(0, 1, "😀" * (3 * CHUNK)) == 2
    assert max(map(len, mirror._chunks)) <= CHUNK_LIMIT
    assert mirror.size == len(mirror.text().encode())
    assert mirror.to_bytes(len(mirror.text())) == mirror.size
    assert mirror.splice(0, len(mirror.text()), "") == 4 * 3 * CHUNK + CHUNK
    assert (mirror.text(), mirror.size, mirror._chunks) == ("", 0, [""])
    assert mirror.splice(0, 0, "日") == 0
    assert mirror.to_chars(3) == 1


def test_the_last_chunk_can_vanish_after_it_was_used() -> None:
    mirror = Mirror("日" * CHUNK + "a" * CHUNK + "é" * CHUNK)
    assert mirror.to_bytes(3 * CHUNK) == mirror.size == 6 * CHUNK
    assert mirror.splice(2 * CHUNK, CHUNK, "") == 2 * CHUNK
    assert mirror.text() == "日" * CHUNK + "a" * CHUNK
    assert mirror.to_bytes(CHUNK + 7) == 3 * CHUNK + 7
    assert mirror.to_chars(3 * CHUNK + 7) == CHUNK + 7


def test_a_place_inside_a_character_is_that_character() -> None:
    assert [Mirror("é😀").to_chars(place) for place in range(7)] == [0, 0, 1, 1, 1, 1, 2]


def test_clocks_count_utf16_units() -> None:
    assert [utf16_length(text) for text in ("", "abc", "é日", "😀a")] == [0, 3, 2, 3]


# --- the log --------------------------------------------------------------------------------------------


def test_the_log_gives_each_edit_once_and_in_order() -> None:
    log = EditLog(0)
    log.add([Edit(0, 0, "a")], remote=False, read=never)
    log.add([Edit(1, 0, "b"), Edit(0, 1, "")], remote=True, read=never)
    assert log.take(1) == [(False, Edit(0, 0, "a")), (True, Edit(1, 0, "b")), (True, Edit(0, 1, ""))]
    assert log.take(1) == []


def test_a_log_that_nobody_takes_becomes_one_edit_that_is_still_true() -> None:
    log = EditLog(3)
    for number in range(EDITS_KEPT):
        log.add([Edit(3 + number, 0, "x")], remote=number == 5, read=never)
    text = "abc" + "x" * (EDITS_KEPT + 1)
    log.add([Edit(3, 0, "x")], remote=False, read=lambda: text)
    taken = log.take(len(text))
    assert taken == [(True, Edit(0, 3, text))]
    assert apply_edits("abc", [edit for _, edit in taken]) == text
