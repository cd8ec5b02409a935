"""Two or three people edit one folder at once, through real processes on loopback."""

import hashlib
import os
from pathlib import Path

import pytest

from demo.programs import Program
from tests.e2e.town import Editor, Town, expect_every_token_once, tokens_in, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PATHS = {"auto": "direct", "relay": "relay"}


def meet(town: Town, people: list[str], policy: str) -> list[Path]:
    """Have the first share and the others join; wait for the path; return their folders."""
    folders = [town.place / name / "notes" for name in people]
    folders[0].mkdir(parents=True)
    (folders[0] / "plan.md").write_text("# Plan\n")
    _, url = town.serve()
    sharer, link = town.share(people[0], folders[0], "--server", url, "--path", policy)
    programs: list[Program] = [sharer]
    for name, folder in zip(people[1:], folders[1:], strict=True):
        programs.append(town.join(name, link, folder, "--path", policy))
    for program in programs:
        program.wait_for("peer.path", 20 * town.patience, path=PATHS[policy])
    for folder in folders:
        until((folder / "plan.md").exists, 10 * town.patience, "the first file")
    return folders


@pytest.mark.parametrize(
    ("people", "policy"),
    [(["anna", "ben"], "auto"), (["anna", "ben"], "relay"), (["anna", "ben", "cleo"], "auto")],
    ids=["two-direct", "two-relayed", "three"],
)
def test_every_token_typed_at_once_is_in_all_copies_exactly_once(
    town: Town, people: list[str], policy: str
) -> None:
    folders = meet(town, people, policy)
    seed = int(os.environ.get("SEED", "1"))
    print(f"repeat with SEED={seed}")
    editors = [
        Editor(name, folder / "plan.md", 200, seed + number)
        for number, (name, folder) in enumerate(zip(people, folders, strict=True))
    ]
    for editor in editors:
        editor.start()
    for editor in editors:
        editor.join()
    files = [folder / "plan.md" for folder in folders]
    expect_every_token_once(town, files, editors, "when all have typed")
    # a deletion that somebody's save crossed comes back once (README): its person repeats it then
    for editor in editors:
        editor.delete_again()
    expected = sorted(token for editor in editors for token in editor.typed - editor.deleted)
    until(
        lambda: [sorted(tokens_in(file.read_text())) for file in files] == [expected] * len(files),
        20 * town.patience,
        "deletions that were repeated",
    )


@pytest.mark.parametrize("policy", ["auto", "relay"])
def test_files_that_appear_move_and_go_do_so_on_the_other_side(town: Town, policy: str) -> None:
    anna, ben = meet(town, ["anna", "ben"], policy)
    wait = 10 * town.patience

    (anna / "sub").mkdir()
    (anna / "sub/new.md").write_text("created\n")
    until(lambda: _text(ben / "sub/new.md") == "created\n", wait, "a new file")

    (ben / "sub/new.md").rename(ben / "moved.md")
    until(lambda: _text(anna / "moved.md") == "created\n", wait, "a renamed file")
    until(lambda: not (anna / "sub/new.md").exists(), wait, "its old name gone")

    with (anna / "moved.md").open("a") as file:
        file.write("and edited\n")
    until(lambda: _text(ben / "moved.md") == "created\nand edited\n", wait, "an edit after the rename")

    (ben / "moved.md").unlink()
    until(lambda: not (anna / "moved.md").exists(), wait, "a deleted file gone")

    (ben / "empty.md").touch()
    until((anna / "empty.md").exists, wait, "an empty file")
    (anna / "empty.md").write_text("not any more\n")
    until(lambda: _text(ben / "empty.md") == "not any more\n", wait, "what was written into it")
    (ben / "plan.md").write_text("")
    until(lambda: _text(anna / "plan.md") == "", wait, "a file emptied")

    picture = os.urandom(700_000)
    (ben / "picture.png").write_bytes(picture)
    until(lambda: _digest(anna / "picture.png") == hashlib.sha256(picture).digest(), wait, "a binary file")

    (anna / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    until(lambda: _bytes(ben / "crlf.txt") == b"one\r\ntwo\r\n", wait, "a CRLF file")
    (ben / "crlf.txt").write_bytes(b"one\r\n1.5\r\ntwo\r\n")
    until(lambda: _bytes(anna / "crlf.txt") == b"one\r\n1.5\r\ntwo\r\n", wait, "CRLF kept")

    script = anna / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    until(lambda: (ben / "run.sh").exists() and os.access(ben / "run.sh", os.X_OK), wait, "the x bit")


def test_a_name_made_on_both_sides_at_once_keeps_both(town: Town) -> None:
    anna, ben = meet(town, ["anna", "ben"], "auto")
    (anna / "same.md").write_text("from anna\n")
    (ben / "same.md").write_text("from ben\n")

    def both() -> bool:
        seen = [{_text(file) for file in folder.glob("same*.md")} for folder in (anna, ben)]
        return all(texts == {"from anna\n", "from ben\n"} for texts in seen)

    until(both, 10 * town.patience, "both files on both sides")
    names = [sorted(file.name for file in folder.glob("same*.md")) for folder in (anna, ben)]
    assert names[0] == names[1]


def _text(file: Path) -> str | None:
    content = _bytes(file)
    return None if content is None else content.decode()


def _digest(file: Path) -> bytes:
    return hashlib.sha256(_bytes(file) or b"").digest()


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
