import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from peer.edge.ignore import Ignores, is_ignore_file


def rules(**files: str) -> Ignores:
    """Rules from `root`, or from a directory of that name, as texts of `.gitignore`."""
    texts = {
        ".gitignore" if name == "root" else f"{name.replace('__', '/')}/.gitignore": text.encode()
        for name, text in files.items()
    }
    return Ignores(texts.get)


@pytest.mark.parametrize(
    "path",
    [
        ".notes.md.swp",
        "d/.notes.md.swo",
        "d/4913",
        "notes.md~",
        ".#notes.md",
        "#notes.md#",
        ".goutputstream-AB12CD",
        "d/.a.kate-swp",
        "a.py___jb_tmp___",
        ".DS_Store",
        ".~lock.report.odt#",
        "~$report.docx",
        ".git/config",
        "d/.git/config",
        ".weft/tmp/full-0-a",
        "d/.weft-tmp-full-0-a",
    ],
)
def test_what_editors_and_systems_leave_behind_is_not_shared(path: str) -> None:
    assert rules().is_ignored(path)


@pytest.mark.parametrize(
    "path",
    [
        "a.tmp",
        "tmp/a",
        "a.bak",
        "a.orig",
        "a.part",
        "#1.txt",
        "C#",
        "49130",
        ".env.example",
        ".gitignore",
        ".weftignore",
        ".vimrc",
        "a.swift",
        "~notes.md",
        "build/a",
        ".hidden",
    ],
)
def test_what_people_may_want_shared_is(path: str) -> None:
    assert not rules().is_ignored(path)


def test_a_rule_of_ones_own_takes_something_out_of_the_built_in_list() -> None:
    ignores = rules(root="!*~\n")
    assert not ignores.is_ignored("notes.md~")
    assert ignores.is_ignored(".notes.md.swp")


def test_nothing_takes_git_and_weft_out() -> None:
    ignores = rules(root="!.git\n!.git/**\n!.weft\n!.weft/**\n")
    assert ignores.is_ignored(".git/config")
    assert ignores.is_ignored(".weft/session")
    assert ignores.is_ignored(".git", directory=True)


def test_weftignore_counts_after_gitignore() -> None:
    files = {".gitignore": b"*.log\ndata/\n", ".weftignore": b"!keep.log\n*.bin\n"}
    ignores = Ignores(files.get)
    assert ignores.is_ignored("a.log")
    assert not ignores.is_ignored("keep.log")
    assert ignores.is_ignored("a.bin")
    assert ignores.is_ignored("data", directory=True)
    assert not ignores.is_ignored("data")


def test_rules_are_read_once_until_they_change() -> None:
    asked: list[str] = []

    def read(path: str) -> bytes | None:
        asked.append(path)
        return None

    ignores = Ignores(read)
    for _ in range(3):
        ignores.is_ignored("d/a")
    assert sorted(asked) == [".gitignore", ".weftignore", "d/.gitignore", "d/.weftignore"]
    ignores.note_change_here()
    ignores.is_ignored("d/a")
    assert len(asked) == 8


def test_an_ignore_file_may_be_anything() -> None:
    for content in (
        b"\xff\xfe\x00",
        b"[",
        b"[z-a]\n",
        b"!\n",
        b"\\\n",
        b"\xef\xbb\xbf*.log\n",
        b"*" * 1000,
        b"\n" * 9999,
    ):
        ignores = Ignores({".gitignore": content}.get)
        assert not ignores.is_ignored("plain.txt")
        assert ignores.is_ignored("a.log") == (b"*.log" in content)


def test_only_the_two_names_hold_rules() -> None:
    assert is_ignore_file(".gitignore")
    assert is_ignore_file("a/b/.weftignore")
    assert not is_ignore_file("a.gitignore")
    assert not is_ignore_file(".gitignore/a")


CASES: list[tuple[dict[str, str], list[str]]] = [
    ({"root": "*.log\n!keep.log\n/top\nbuild/\ndoc/*.txt\n**/deep/x\na/**/z\n\\!bang\n# no\nsp\\ \n"},
     ["a.log", "d/keep.log", "top", "d/top", "build/a", "d/build/b/c", "doc/a.txt", "doc/d/a.txt", "deep/x",
      "q/w/deep/x", "a/z", "a/b/c/z", "!bang", "# no", "sp", "plain"]),
    ({"root": "*\n!*/\n!*.py\n", "d": "!*.md\n*.py\n!keep.py\n"},
     ["a.py", "a.txt", "d/a.py", "d/keep.py", "d/a.md", "e/a.md", "e/a.py"]),
    ({"root": "a/**\n!a/keep\n**/b/**\nc/**/d\n**/e\n/f/*/g\nh**i\n"},
     ["a/keep", "a/x", "a/y/keep", "b/x", "z/b/x", "c/d", "c/x/d/y", "e/x", "f/x/g", "f/x/y/g", "hxi"]),
    ({"root": "d/\n", "d": "!a\n"}, ["d/a", "e/d/a", "a"]),
    ({"root": "d/*\n!d/a\n"}, ["d/a", "d/b", "d/e/a"]),
    ({"root": "foo[0-9].?xt\n", "d__e": "/x\n!y\n"},
     ["foo1.txt", "fooa.txt", "d/e/x", "d/e/f/z", "d/x", "d/e/y"]),
]  # fmt: skip


@pytest.mark.needs("git")
@pytest.mark.parametrize(("files", "paths"), CASES)
def test_the_rules_mean_what_they_mean_to_git(
    tmp_path: Path, files: dict[str, str], paths: list[str]
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for name, text in files.items():
        directory = tmp_path if name == "root" else tmp_path / name.replace("__", "/")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".gitignore").write_text(text)
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    read: Callable[[str], bytes | None] = lambda path: (  # noqa: E731
        (tmp_path / path).read_bytes() if (tmp_path / path).is_file() else None
    )
    listed = subprocess.run(
        [str(shutil.which("git")), "-C", str(tmp_path), "check-ignore", "--stdin", "-z"],
        input="\0".join(paths).encode() + b"\0",
        capture_output=True,
        check=False,
    ).stdout
    by_git = set(listed.decode().split("\0")) - {""}
    ignores = Ignores(read)
    assert {path for path in paths if ignores.is_ignored(path)} == by_git
