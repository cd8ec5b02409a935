"""What a save means: from which version it comes, and what of the others' text it may delete."""

import random
import time

import pytest

from peer.core import shadows as module
from peer.core.edits import Edit, apply_edits
from peer.core.shadows import SEEN_SECONDS, Shadows


class File:
    """A text with its shadows, others who write into it, and a disk."""

    def __init__(self, text: str, *, foreign: bool = False) -> None:
        self.text = text
        self.now = 0.0
        self.shadows = Shadows(text, foreign=foreign)
        self.shadows.stands(self.shadows.mark(), 0.0)

    def others(self, at: int, deleted: int, inserted: str) -> None:
        edit = Edit(at, deleted, inserted)
        self.shadows.note([edit])
        self.text = apply_edits(self.text, [edit])

    def others_append(self, inserted: str) -> None:
        self.others(len(self.text), 0, inserted)
        self.write()

    def write(self) -> None:
        self.shadows.stands(self.shadows.mark(), self.now)

    def save(self, content: str, *, late: bool = False, displaced: bool = False) -> str:
        edits = self.shadows.take_in(content, self.now, late=late, displaced=displaced)
        self.text = apply_edits(self.text, edits)
        assert self.text == self.shadows.present()
        return self.text


def test_an_ordinary_save_is_what_it_says() -> None:
    file = File("one\ntwo\n")
    assert file.save("one\n2\nthree\n") == "one\n2\nthree\n"


def test_a_save_that_has_not_seen_the_newest_text_leaves_it_alone() -> None:
    file = File("one\n")
    file.others_append("theirs\n")
    assert file.save("one\nmine\n") == "one\nmine\ntheirs\n"


def test_an_editor_that_never_reloads_saves_again_and_again() -> None:
    file = File("one\n")
    file.others_append("theirs\n")
    file.save("one\nmine\n")
    file.write()
    file.others_append("more\n")
    assert file.save("one\nmine\nagain\n") == "one\nmine\nagain\ntheirs\nmore\n"
    assert file.save("one\nagain\n") == "one\nagain\ntheirs\nmore\n"


def test_a_stale_save_deletes_its_own_text_only() -> None:
    file = File("seed one\nseed two\n")
    file.others_append("theirs\n")
    assert file.save("seed two\n") == "seed two\ntheirs\n"


def test_text_that_is_not_on_disk_yet_is_never_deleted() -> None:
    file = File("one\n")
    file.others(4, 0, "on its way\n")
    assert file.save("two\n") == "two\non its way\n"


def test_a_person_who_typed_after_a_text_came_can_delete_it_at_once() -> None:
    file = File("one\n")
    file.others_append("theirs\n")
    file.save("one\ntheirs\nmine\n")
    assert file.save("one\nmine\n") == "one\nmine\n"


def test_a_person_who_got_more_after_a_text_came_can_delete_it_at_once() -> None:
    file = File("one\n")
    file.others_append("first of theirs\n")
    file.others_append("second of theirs\n")
    assert file.save("one\nsecond of theirs\n") == "one\nsecond of theirs\n"


def test_deleting_exactly_the_newest_text_is_believed_when_it_is_repeated() -> None:
    file = File("one\n")
    file.others_append("theirs\n")
    assert file.save("one\n") == "one\ntheirs\n"
    file.write()
    assert file.save("one\n") == "one\ntheirs\n"
    file.write()
    file.now += SEEN_SECONDS
    assert file.save("one\n") == "one\n"


def test_it_is_not_believed_when_something_else_was_saved_in_between() -> None:
    file = File("one\n")
    file.others_append("theirs\n")
    file.save("one\n")
    file.save("one\nmine\n")
    file.write()
    file.now += SEEN_SECONDS
    assert file.save("one\n") == "one\ntheirs\n"


def test_one_who_replaces_the_newest_text_gets_both_and_can_repeat_the_deletion() -> None:
    file = File("one\n")
    file.others_append("theirs\n")
    assert file.save("one\nmine\n") == "one\nmine\ntheirs\n"
    file.write()
    file.now += SEEN_SECONDS
    assert file.save("one\nmine\n") == "one\nmine\n"


def test_a_save_equal_to_the_present_text_changes_nothing() -> None:
    file = File("one\n")
    file.others(4, 0, "two\n")
    assert file.shadows.take_in("one\ntwo\n", 0.0) == []
    assert file.save("one\ntwo\nthree\n") == "one\ntwo\nthree\n"


def test_a_save_that_slipped_in_is_taken_against_what_was_there_before() -> None:
    file = File("one\n")
    before = file.shadows.last
    file.others_append("theirs\n")
    edits = file.shadows.take_in("one\nmine\n", 0.0, before)
    assert apply_edits(file.text, edits) == "one\nmine\ntheirs\n"


def test_a_late_save_takes_nothing_back() -> None:
    file = File("one\n")
    file.others_append("theirs\n")
    file.save("one\nfirst\n")
    file.save("one\nfirst\nsecond\n")
    assert file.save("one\nfirst\n", late=True) == "one\nfirst\nsecond\ntheirs\n"
    assert file.save("one\nfirst\nthird\n", late=True).count("third") == 1
    assert file.text.count("first") == file.text.count("second") == 1


def test_what_others_change_is_found_by_comparison_too() -> None:
    file = File("one\n")
    file.shadows.follow("one\ntheirs\n")
    file.shadows.follow("one\ntheirs\n")
    assert file.shadows.present() == "one\ntheirs\n"
    file.text = "one\ntheirs\n"
    file.write()
    assert file.save("one\nmine\n") == "one\nmine\ntheirs\n"


def test_a_version_can_be_shown_again() -> None:
    file = File("one\n")
    version = file.shadows.last
    file.others_append("two\n")
    assert file.shadows.text_of(version) == "one\n"


def test_after_a_restart_the_history_goes_on_from_what_was_on_disk() -> None:
    shadows = Shadows.restore(
        [("one\n", True), ("one\ntwo\n", True), ("one\ntwo\nintent\n", False)], "one\ntwo\nintent\nnew\n"
    )
    assert shadows.found("one\ntwo\n", 5.0)
    assert not shadows.found("never there\n", 5.0)
    edits = shadows.take_in("one\nmine\ntwo\n", 6.0)
    assert apply_edits("one\ntwo\nintent\nnew\n", edits) == "one\nmine\ntwo\nintent\nnew\n"


def test_an_editor_that_outlived_a_restart_saves_from_an_older_text() -> None:
    shadows = Shadows.restore([("old\n", True), ("old\ntheirs\n", False)], "old\ntheirs\nnew\n")
    edits = shadows.take_in("old\nmine\n", 1.0)
    assert apply_edits("old\ntheirs\nnew\n", edits) == "old\nmine\ntheirs\nnew\n"


def test_what_was_saved_here_before_a_restart_can_be_taken_back() -> None:
    shadows = Shadows.restore([("one\n", True), ("one\nmine\n", True)], "one\nmine\n")
    assert apply_edits("one\nmine\n", shadows.take_in("one\n", 1.0)) == "one\n"


def test_an_undo_of_ones_own_text_is_not_taken_for_an_old_version() -> None:
    file = File("one\n")
    file.save("one\nmine\n")
    file.others_append("theirs\n")
    assert file.save("one\n") == "one\ntheirs\n"


def test_a_text_with_emoji_and_ideographs_keeps_its_letters() -> None:
    file = File("日本語😀\n")
    file.others(1, 0, "é")
    file.write()
    assert file.save("日本😀語😀\n") == "日é本😀語😀\n"


def test_old_versions_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARKS_LIMIT", 20)
    file = File("start\n")
    for number in range(100):
        file.others_append(f"{number}\n")
    assert len(file.shadows._marks) <= 21
    assert file.save(file.text + "mine\n").endswith("99\nmine\n")


def test_the_version_on_disk_is_kept_though_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARKS_LIMIT", 4)
    file = File("start\n")
    for number in range(10):
        file.others(len(file.text), 0, f"{number}\n")
        file.shadows.mark()
    assert file.save("start\nmine\n").count("mine") == 1


def test_stale_saves_are_remembered_in_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BRANCHES", 8)
    file = File("one\n")
    file.others_append("theirs\n")
    buffer = "one\n"
    for number in range(60):
        buffer += f"mine {number}\n"
        file.save(buffer)
        file.others_append(f"theirs {number}\n")
    assert len(file.shadows._branches) <= 8
    assert all(file.text.count(f"mine {number}\n") == 1 for number in range(60))
    assert all(file.text.count(f"theirs {number}\n") == 1 for number in range(60))


def test_an_hour_of_typing_does_not_make_a_save_slow() -> None:
    chance = random.Random(1)
    file = File("line\n" * 2000)
    for number in range(4000):
        at = chance.randrange(len(file.text))
        file.others(at, 0, "x")
        if number == 2000:
            file.write()
            stale = file.text
        file.shadows.mark()
    file.write()
    started = time.perf_counter()
    file.save(stale + "mine\n")
    assert time.perf_counter() - started < 5
    assert file.text.count("x") == 4000


def test_a_large_text_is_compared_with_few_versions() -> None:
    file = File("0123456789 abcdef\n" * 16_000)
    stale = file.text
    for number in range(6):
        file.others_append(f"theirs {number}\n")
    text = file.save(stale.replace("0123456789 abcdef\n", "mine\n", 1))
    assert text.count("mine\n") == 1
    assert text.count("theirs") == 6


def test_a_stale_save_does_not_bring_back_what_others_deleted_a_moment_ago() -> None:
    file = File("one\ntheirs\ntwo\n")
    file.others(4, 7, "")
    file.write()
    assert file.save("one\ntheirs\ntwo\nmine\n") == "one\ntwo\nmine\n"


def test_a_person_who_has_seen_a_deletion_can_undo_it() -> None:
    file = File("one\ntheirs\ntwo\n")
    file.others(4, 7, "")
    file.write()
    file.now += SEEN_SECONDS
    assert file.save("one\ntheirs\ntwo\nmine\n") == "one\ntheirs\ntwo\nmine\n"


def test_what_a_displaced_save_brought_is_not_deleted_by_an_editor_that_never_had_it() -> None:
    file = File("one\ntwo\n")
    file.others_append("theirs\n")
    shown = file.shadows.last
    file.save("one\ntwo\ntheirs\nfirst\n", displaced=True)
    file.shadows.stands(shown, file.now)
    file.write()
    assert file.save("one\ntwo\ntheirs\nsecond\n") == "one\ntwo\ntheirs\nsecond\nfirst\n"


def test_a_word_that_seems_to_replace_one_that_is_gone_keeps_its_brackets() -> None:
    file = File("P\n")
    file.others_append("<theirs>")
    file.save("P\n<first>")
    file.write()
    file.others(file.text.index("<theirs>"), len("<theirs>"), "")
    assert file.save("P\n<first><second>") == "P\n<first><second>"
