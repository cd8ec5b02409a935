"""Runs of letters with their ages: any remembered version can be shown again, any edit of it carried on."""

import random

from peer.core.ages import BLOCK, Ages, Version
from peer.core.edits import Edit, apply_edits
from peer.core.textdiff import hunks


def test_a_version_shows_the_text_as_it_was_at_the_end_of_its_epoch() -> None:
    ages = Ages("one", foreign=False)
    ages.replace(Edit(3, 0, " two"), 1)
    ages.replace(Edit(0, 3, "ONE"), 2)
    assert [ages.text_of(Version(epoch)) for epoch in range(3)] == ["one", "one two", "ONE two"]
    assert ages.present() == "ONE two"


def test_letters_typed_one_by_one_in_one_epoch_are_one_run() -> None:
    ages = Ages("", foreign=False)
    for at, letter in enumerate("hello"):
        ages.replace(Edit(at, 0, letter), 1)
    assert len(ages) == 1


def test_many_edits_at_random_places_give_the_same_as_a_string() -> None:
    chance = random.Random(3)
    text = "seed 日😀 " * 20
    ages, versions = Ages(text, foreign=False), [text]
    for epoch in range(1, 4 * BLOCK):
        at = chance.randrange(len(text) + 1)
        edit = Edit(at, chance.randrange(min(4, len(text) - at) + 1), chance.choice(["", "a", "é日ab"]))
        ages.replace(edit, epoch)
        text = apply_edits(text, [edit])
        versions.append(text)
    assert ages.present() == text
    ages.replace(Edit(10, len(text) - 20, ""), 4 * BLOCK)
    assert ages.present() == text[:10] + text[-10:]
    for epoch in range(0, 4 * BLOCK, 37):
        assert ages.text_of(Version(epoch)) == versions[epoch]


def test_an_edit_of_an_old_version_finds_its_place_in_the_present() -> None:
    ages = Ages("one three", foreign=False)
    ages.replace(Edit(0, 0, "zero "), 1)
    edits = ages.carry(hunks("one three", "one two three"), Version(0), 2, save=1)
    assert edits == [Edit(9, 0, "two ")]
    assert ages.present() == "zero one two three"
    assert ages.text_of(Version(0, 1)) == "one two three"


def test_a_deletion_goes_round_what_others_put_into_it_and_leaves_what_is_gone() -> None:
    ages = Ages("abcdef", foreign=False)
    ages.replace(Edit(3, 0, "XX"), 1)
    ages.replace(Edit(0, 2, ""), 1)
    edits = ages.carry(hunks("abcdef", "f"), Version(0), 2, save=1)
    assert apply_edits("cXXdef", edits) == "XXf" == ages.present()
    assert ages.text_of(Version(0, 1)) == "f"


def test_a_replacement_is_one_edit() -> None:
    ages = Ages("a cat sat", foreign=False)
    assert ages.carry(hunks("a cat sat", "a dog sat"), Version(0), 1, save=0) == [Edit(2, 3, "dog")]


def test_what_meets_others_is_counted() -> None:
    ages = Ages("keep ", foreign=False)
    ages.replace(Edit(5, 0, "theirs"), 1)
    met = ages.meet(hunks("keep theirs", "keep th"), Version(1), Version(1))
    assert (met.lost, met.ghosts, met.hidden) == ("eirs", 0, [[]])
    met = ages.meet(hunks("keep ", "keep mine"), Version(0), Version(1))
    assert [run.text for run in met.hidden[0]] == ["theirs"]


def test_hidden_text_belongs_to_the_changes_near_it_only() -> None:
    ages = Ages("a" * 100, foreign=False)
    ages.replace(Edit(50, 0, "X"), 1)
    text = "a" * 100
    met = ages.meet(hunks(text, "b" + text + "c"), Version(0), Version(1))
    assert met.hidden == [[], []]


def test_letters_kept_of_a_deleted_run_that_is_changed_are_ghosts() -> None:
    ages = Ages("some words here", foreign=False)
    ages.replace(Edit(5, 6, ""), 1)
    met = ages.meet(hunks("some words here", "some wonders here"), Version(0), Version(1))
    assert met.ghosts > 0


def test_forgetting_keeps_the_versions_after_the_floor() -> None:
    ages = Ages("one", foreign=False)
    for epoch, edit in enumerate([Edit(0, 1, "x"), Edit(3, 0, "y"), Edit(1, 1, ""), Edit(0, 0, "z")], 1):
        ages.replace(edit, epoch)
    ages.carry(hunks(ages.text_of(Version(2)), "stale " + ages.text_of(Version(2))), Version(2), 5, save=2)
    before = [ages.text_of(Version(epoch)) for epoch in (2, 3, 4)] + [ages.text_of(Version(2, 2))]
    count = len(ages)
    ages.forget(2, 2)
    assert [ages.text_of(Version(epoch)) for epoch in (2, 3, 4)] + [ages.text_of(Version(2, 2))] == before
    present = ages.present()
    ages.forget(9, 0)
    assert len(ages) < count
    assert ages.present() == present


def test_nothing_left_is_an_empty_text() -> None:
    ages = Ages("gone", foreign=True)
    ages.replace(Edit(0, 4, ""), 1)
    ages.forget(1, 0)
    assert ages.present() == ""
    ages.replace(Edit(0, 0, "new"), 2)
    assert ages.present() == "new"
