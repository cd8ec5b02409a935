import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.core.paths import check_path, fold, is_private, is_shareable
from peer.errors import Refused


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "notes/plan.md",
        ".gitignore",
        ".gitattributes",
        ".github/workflows/ci.yml",
        ".weftignore",
        ".gitkeep",
        "gitx/config",
        "git/hooks",
        "..a/b..c/...d",
        "日本語/メモ 1.txt",
        "é.txt",
        "😀",
        "10:30 meeting.md",
        "console.txt",
        "com10",
        "auxiliary/nullable.c",
        "a" * 255,
        "é" * 127,
        "/".join(["d"] * 64),
        "/".join(["a" * 204] * 5),
        "a~1",
        "digit~1",
    ],
)
def test_ordinary_names_may_travel(path: str) -> None:
    check_path(path)
    assert is_shareable(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "empty part"),
        ("a//b", "empty part"),
        ("a/", "empty part"),
        ("..", "empty part"),
        ("a/../b", "empty part"),
        ("./a", "empty part"),
        ("/etc/passwd", "absolute"),
        ("//server/share", "absolute"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("a\x85b", "control"),
        ("a\u2028b", "control"),
        ("a\\b", "backslash"),
        ("invoice\u202etxt.exe", "direction"),
        ("a\u2066b", "direction"),
        ("a.", "dot or a space"),
        ("a ", "dot or a space"),
        ("a /b", "dot or a space"),
        ("...", "dot or a space"),
        ("con", "device"),
        ("d/AUX.c", "device"),
        ("nul.tar.gz", "device"),
        ("Com1", "device"),
        ("lpt³.txt", "device"),
        ("CONIN$", "device"),
        ("prn .txt", "device"),
        ("a" * 256, "255 bytes"),
        ("é" * 128, "255 bytes"),
        ("/".join(["a" * 204] * 4 + ["a" * 205]), "1024 bytes"),
        ("/".join(["d"] * 65), "64 levels"),
        (unicodedata.normalize("NFD", "é"), "normal form C"),
        ("\u212b", "normal form C"),
        ("\ud800", "not valid Unicode"),
        (".git", "never shared"),
        (".weft/tmp/x", "never shared"),
        ("d/.weft-tmp-full-00", "never shared"),
    ],
)
def test_other_names_are_refused_with_the_reason(path: str, reason: str) -> None:
    assert not is_shareable(path)
    with pytest.raises(Refused, match=reason):
        check_path(path)


def test_the_reason_quotes_no_more_of_the_name_than_fits_a_line() -> None:
    with pytest.raises(Refused) as caught:
        check_path("x" * 5000)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("path", [".git", "a/.GIT/b", ".git ", ".weft", ".weft-tmp-part-1-a", "d/.Weft/x"])
def test_private_names_are_told_apart_also_where_they_could_not_travel(path: str) -> None:
    assert is_private(path)


@pytest.mark.parametrize("path", ["a", "git", ".gitignore", ".weftignore", "weft", "a.git", ".git_"])
def test_names_that_only_look_private_are_not(path: str) -> None:
    assert not is_private(path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("README.md", "readme.MD"),
        ("é", "É"),
        ("\u00e9", "e\u0301"),
        ("straße", "STRASSE"),
        ("ΣΑΣ", "σας"),
        ("Å/a", "å/A"),
    ],
)
def test_names_that_are_one_file_on_some_machine_fold_to_the_same(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_names_that_differ_everywhere_stay_apart() -> None:
    names = ["a", "b", "aa", "é", "e", "a/b", "日", "日本", "😀"]
    assert len({fold(name) for name in names}) == len(names)


@given(st.text(alphabet="aAéÉ日😀ßσς./", max_size=12))
def test_folding_twice_changes_nothing_more(path: str) -> None:
    assert fold(fold(path)) == fold(path)


@given(st.text(alphabet="aé日😀./\\\0 ~:g\u200c", max_size=20))
def test_what_may_travel_stays_inside_the_folder(path: str) -> None:
    if is_shareable(path):
        parts = path.split("/")
        assert all(parts)
        assert not {".", "..", ".git", ".weft"} & set(parts)
        assert "\0" not in path
        assert "\\" not in path
