"""`kill -9` of either side, of both, and of the server: nothing that was saved is lost or doubled."""

import os
import random
import time
from functools import partial
from pathlib import Path

import pytest

from demo.programs import Program
from tests.e2e.town import Editor, Town, expect_every_token_once, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MOMENTS = 50


def test_fifty_kills_at_any_moment_lose_and_double_nothing(town: Town) -> None:
    seed = int(os.environ.get("SEED", "7"))
    print(f"repeat with SEED={seed}")
    dice = random.Random(seed)
    _, url = town.serve()
    folders = {name: town.place / name / "notes" for name in ("anna", "ben")}
    files = [folder / "plan.md" for folder in folders.values()]
    folders["anna"].mkdir(parents=True)
    files[0].write_text("# Plan\n")
    programs: dict[str, Program] = {}
    programs["anna"], link = town.share("anna", folders["anna"], "--server", url)
    programs["ben"] = town.join("ben", link, folders["ben"])
    until(files[1].exists, 10 * town.patience, "the first file")
    editors: list[Editor] = []
    for moment in range(MOMENTS):
        new = [
            Editor(f"{name}{moment}x", folders[name] / "plan.md", 5, dice.randrange(10**6))
            for name in folders
        ]
        editors += new
        for editor in new:
            editor.start()
        time.sleep(dice.uniform(0, 0.25))
        victim = dice.choice(["anna", "ben"])
        town.kill(programs[victim])
        if dice.random() < 0.5:  # somebody types while Weft is away, too
            time.sleep(dice.uniform(0, 0.1))
        programs[victim] = again(town, victim, folders[victim])
        for editor in new:
            editor.join()
        expect_every_token_once(town, files, editors, f"after kill {moment} of {victim}")


def again(town: Town, name: str, folder: Path) -> Program:
    """Start the same side again, without a link."""
    command = "share" if name == "anna" else "join"
    return town.start(name, command, str(folder), "--name", name)


def test_peers_go_on_without_the_server_and_new_ones_join_when_it_is_back(town: Town) -> None:
    server, url = town.serve()
    port = int(url.rsplit(":", 1)[1].strip("/"))
    anna, ben, cleo = (town.place / name / "notes" for name in ("anna", "ben", "cleo"))
    sharer, link = town.share("anna", anna, "--server", url)
    joiner = town.join("ben", link, ben)
    for program in (sharer, joiner):
        program.wait_for("peer.path", 20 * town.patience, path="direct")
    town.kill(server)
    sharer.wait_for("server.state", 20 * town.patience, state="lost")
    (anna / "alone.md").write_text("no server\n")
    until(lambda: (ben / "alone.md").exists(), 10 * town.patience, "a file without a server")
    assert (ben / "alone.md").read_text() == "no server\n"
    (ben / "alone.md").write_text("no server\nneeded\n")
    until(
        lambda: (anna / "alone.md").read_text() == "no server\nneeded\n",
        10 * town.patience,
        "an edit without a server",
    )
    town.serve(port)
    town.join("cleo", link, cleo)
    until(lambda: (cleo / "alone.md").exists(), 40 * town.patience, "the newcomer's copy")
    until(lambda: (cleo / "alone.md").read_text() == "no server\nneeded\n", 10 * town.patience, "its content")


def test_offline_edits_on_both_sides_merge_when_they_meet_again(town: Town) -> None:
    _, url = town.serve()
    anna, ben = (town.place / name / "notes" for name in ("anna", "ben"))
    anna.mkdir(parents=True)
    (anna / "list.md").write_text("one\ntwo\nthree\n")
    sharer, link = town.share("anna", anna, "--server", url)
    joiner = town.join("ben", link, ben)
    until(lambda: (ben / "list.md").exists(), 10 * town.patience, "the first file")
    for program in (joiner, sharer):
        program.ask_to_end()
        assert program.end() == 130
        town.programs.remove(program)
    (anna / "list.md").write_text("zero\none\ntwo\nthree\n")
    (ben / "list.md").write_text("one\ntwo\nthree\nfour 日\n")
    (ben / "made offline.md").write_text("by ben\n")
    again(town, "anna", anna)
    again(town, "ben", ben)
    merged = "zero\none\ntwo\nthree\nfour 日\n"
    for folder in (anna, ben):
        until(partial(_holds, folder / "list.md", merged), 20 * town.patience, "the merge")
        until((folder / "made offline.md").exists, 10 * town.patience, "the new file")


def _holds(file: Path, text: str) -> bool:
    return file.read_text() == text
