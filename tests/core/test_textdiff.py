"""Differences: always right, bounded, and at places that a reader would choose."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peer.core.edits import Edit, apply_edits
from peer.core.textdiff import LINE_LIMIT, Hunk, common_ends, diff, hunks

TEXTS = st.text(alphabet="aé日😀 \n\r\u0301\u200d🇩<>", max_size=30)


@settings(max_examples=100, derandomize=True)
@given(TEXTS, TEXTS)
def test_edits_applied_to_the_old_text_give_the_new_one(old: str, new: str) -> None:
    assert apply_edits(old, diff(old, new)) == new


@settings(max_examples=100, derandomize=True)
@given(
    st.lists(st.sampled_from(["one two\n", "three <four>\n", "x\n", "\n", "日本語\n", "tail"]), max_size=12),
    st.data(),
)
def test_hunks_never_touch_and_come_in_order(lines: list[str], data: st.DataObject) -> None:
    other = data.draw(st.permutations(lines))
    found = hunks("".join(lines), "".join(other))
    assert all(one.end < two.start for one, two in pairwise(found))
    assert apply_edits("".join(lines), diff("".join(lines), "".join(other))) == "".join(other)


def test_equal_texts_do_not_differ() -> None:
    assert diff("same", "same") == []


@pytest.mark.parametrize(
    ("old", "new", "edits"),
    [
        ("", "new", [Edit(0, 0, "new")]),
        ("old", "", [Edit(0, 3, "")]),
        ("hello world", "hello brave world", [Edit(6, 0, "brave ")]),
        ("the colour", "the color", [Edit(8, 1, "")]),
        ("to recieve it", "to receive it", [Edit(6, 2, "ei")]),
        ("a cat sat", "a dog sat", [Edit(2, 3, "dog")]),
        ("日本語", "日本英語", [Edit(2, 0, "英")]),
        ("one\ntwo\nthree\n", "one\nthree\n", [Edit(4, 4, "")]),
        ("a\nb\n", "x\na\nb\ny\n", [Edit(0, 0, "x\n"), Edit(6, 0, "y\n")]),
        ("seed", "s<x>eed and more", [Edit(1, 0, "<x>"), Edit(7, 0, " and more")]),
    ],
)
def test_a_difference_is_what_a_person_would_say(old: str, new: str, edits: list[Edit]) -> None:
    assert diff(old, new) == edits


def test_an_accent_and_a_family_are_not_cut_from_their_letter() -> None:
    assert diff("e\u0301", "e") == [Edit(0, 2, "e")]
    assert diff("👩\u200d👧", "👩\u200d👦") == [Edit(0, 3, "👩\u200d👦")]
    assert diff("xe\u0301", "xa\u0301") == [Edit(0, 3, "xa\u0301")]
    assert diff("a\r\nb", "a\nb") == [Edit(1, 2, "\n")]


def test_what_slides_goes_to_the_beginning_of_a_word_or_line() -> None:
    assert diff("<a>\n", "<b><a>\n") == [Edit(0, 0, "<b>")]
    assert diff("x <a>", "x <b> <a>") == [Edit(2, 0, "<b> ")]
    assert diff("f(a)\n", "f(a)\nf(a)\n") == [Edit(5, 0, "f(a)\n")]
    assert diff("(a)(a)(b)", "(a)(b)") in ([Edit(3, 3, "")], [Edit(0, 3, "")])


def test_several_replaced_words_are_replaced_as_whole_ones() -> None:
    found = hunks("<a8c6> <ab8d> end", "<a0a0> end")
    assert found == [Hunk(0, 13, "<a0a0>")]


def test_a_replaced_line_is_not_matched_letter_by_letter() -> None:
    assert len(diff("the quick brown fox\n", "a slow red hen\n")) == 1


def test_common_ends_count_bytes_on_both_sides() -> None:
    assert common_ends(b"abcXdef", b"abcYYdef") == 6
    assert common_ends(b"aaa", b"aa") == 2


def test_changes_far_apart_in_a_long_text_are_told_apart() -> None:
    lines = [f"line {number}\n" for number in range(6000)]
    other = ["first\n", *lines[:3000], "middle\n", *lines[3001:], "last\n"]
    found = hunks("".join(lines), "".join(other))
    assert [hunk.inserted for hunk in found] == ["first\n", "middle", "last\n"]


def test_a_long_text_without_lines_that_occur_once_is_one_replacement() -> None:
    found = hunks("a\nb\n" * 3000, "b\nc\n" * 3000)
    assert len(found) == 1


def test_two_stretches_too_long_to_be_compared_become_one_replacement() -> None:
    old, new = "a\nb\n" * 3000, "b\nc\n" * 3000
    assert len(hunks(f"{old}once\n{old}", f"{new}once\n{new}")) == 1


def test_a_long_line_is_compared_by_its_words() -> None:
    words = [f"word{number}" for number in range(2000)]
    line = " ".join(words)
    assert len(line) > LINE_LIMIT
    words[1000:1001] = ["other", "words"]
    assert hunks(line, " ".join(words)) == [Hunk(7890, 7898, "other words")]


def test_a_long_line_with_changes_far_apart_still_differs_in_two_places() -> None:
    line = " ".join(f"w{number}" for number in range(3000))
    found = hunks(line, line.replace("w10 ", "x10 ").replace("w2990 ", "x2990 "))
    assert [hunk.inserted for hunk in found] == ["x", "x"]


def test_words_that_occur_once_hold_a_changed_hunk_of_many_words_together() -> None:
    old = " ".join(f"u{number}" if number % 3 else "same" for number in range(5500))
    new = " ".join(f"v{number}" if number in (5, 5000) else word for number, word in enumerate(old.split()))
    found = hunks(old, new)
    assert apply_edits(old, diff(old, new)) == new
    assert sum(hunk.end - hunk.start for hunk in found) < 100


def test_many_lines_in_another_order_are_moved_as_far_as_needed() -> None:
    lines = [f"line {number}\n" for number in range(4500)]
    old, new = "".join(lines), "".join([*lines[3000:], *lines[:1000], *reversed(lines[1000:3000])])
    assert apply_edits(old, diff(old, new)) == new
    assert sum(edit.deleted for edit in diff(old, new)) < len(old) * 0.8


def test_what_slides_does_not_part_an_accent_from_its_letter() -> None:
    old, new = "e\u0301e\u0301\n" + "x" * 9, "e\u0301e\u0301e\u0301\n" + "x" * 9
    (edit,) = diff(old, new)
    assert edit.at % 2 == 0
    assert edit.inserted == "e\u0301"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ab" * 2_000_000, "ba" * 2_000_000),
        ("x\n" * 2_000_000, "y\n" * 2_000_000),
        ("".join(f"{n}\n" for n in range(500_000)), "".join(f"  {n}\n" for n in range(500_000))),
    ],
)
def test_no_pair_of_the_largest_texts_takes_long(old: str, new: str) -> None:
    started = time.perf_counter()
    assert apply_edits(old, diff(old, new)) == new
    assert time.perf_counter() - started < 20
