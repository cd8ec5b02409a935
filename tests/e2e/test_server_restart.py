"""The server goes down and comes back while people type: nobody is shown as gone, nothing is lost."""

import os

import pytest

from demo.programs import Program
from tests.e2e.town import Editor, Town, expect_every_token_once, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RESTARTS = 3


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_two_relayed_people_type_on_while_the_server_restarts(town: Town, how: str) -> None:
    seed = int(os.environ.get("SEED", "3"))
    print(f"repeat with SEED={seed}")
    server, url = town.serve()
    port = int(url.rsplit(":", 1)[1].strip("/"))
    folders = [town.place / name / "notes" for name in ("anna", "ben")]
    files = [folder / "plan.md" for folder in folders]
    folders[0].mkdir(parents=True)
    files[0].write_text("# Plan\n")
    anna, link = town.share("anna", folders[0], "--server", url, "--path", "relay")
    ben = town.join("ben", link, folders[1], "--path", "relay")
    until(files[1].exists, 10 * town.patience, "the first file")
    editors: list[Editor] = []
    for number in range(RESTARTS):
        new = [
            Editor(f"{folder.parent.name}{number}", file, 15, seed + 10 * number + place, 0.05)
            for place, (folder, file) in enumerate(zip(folders, files, strict=True))
        ]
        editors += new
        for editor in new:
            editor.start()
        seen = [count(program, "server.state", state="connected") for program in (anna, ben)]
        if how == "killed":
            town.kill(server)
        else:
            server.ask_to_end()
            server.end()
            town.programs.remove(server)
        server, _ = town.serve(port)
        for program, before in zip((anna, ben), seen, strict=True):
            until(
                lambda p=program, b=before: count(p, "server.state", state="connected") > b,  # type: ignore[misc]
                30 * town.patience,
                "the way back to the server",
            )
        for editor in new:
            editor.join()
        expect_every_token_once(town, files, editors, f"after restart {number}")
    for program in (anna, ben):
        assert count(program, "peer.joined") == 1
        assert count(program, "peer.left") == 0


def count(program: Program, kind: str, **fields: object) -> int:
    """How many records of this kind a program has written."""
    return sum(
        record.get("type") == kind and all(record.get(name) == value for name, value in fields.items())
        for record in program.everything()
    )
