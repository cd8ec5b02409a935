"""The repository is as its documentation says: sizes, imports, and nothing undocumented."""

import ast
import dataclasses
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import click
import pytest

from peer.cli import main as command_line
from peer.cli.exit_codes import ExitCode
from peer.core import (
    announcement,
    blobs,
    candidates,
    carrier,
    connections,
    detour,
    dialing,
    difference,
    exchange,
    frames,
    greeting,
    guard,
    ladder,
    link,
    notices,
    pathways,
    pieces,
    presence,
    rooms,
    sync,
)
from peer.edge import sdp
from peer.edge.lan import beacon, service
from signaling import messages
from signaling.settings import Settings

ROOT: Final = Path(__file__).parent.parent
LINES_LIMIT: Final = 400
TEST_LINES_LIMIT: Final = 600
"""A module of tests is a list: one reads the entry that failed."""
DECISION_LINES_LIMIT: Final = 60

CODE: Final = ("peer", "signaling", "bench", "demo", "tests")
KIB: Final = 1024
MIB: Final = 1024 * KIB

PRODUCT: Final = ("peer", "signaling", "bench", "demo")

IMPORT_NAMES: Final = {"pyopenssl": "OpenSSL"}

IMPORTERS: Final = {
    "aiohttp": {
        "peer.edge.endings",
        "peer.edge.lan.visits",
        "peer.edge.signaling_client",
        "peer.edge.visit",
        "signaling.connection",
        "signaling.hub",
        "signaling.server",
    },
    "aioice": {
        "peer.edge.allocation",
        "peer.edge.attempt",
        "peer.edge.gathering",
        "peer.edge.ice",
        "peer.edge.probes.stun",
        "peer.edge.shortcuts",
        "peer.edge.turn_client",
    },
    "aiortc": {"peer.edge.attempt", "peer.edge.quiet", "peer.edge.sacks", "peer.edge.shortcuts"},
    "click": {"peer.cli", "signaling.command", "signaling.turn_command"},
    "cryptography": {
        "peer.core.certificates",
        "peer.core.invitation",
        "peer.edge.entry",
        "peer.edge.identity",
        "peer.edge.lan.visits",
        "peer.edge.probes.web",
        "peer.edge.sealed",
        "peer.edge.signaling_client",
        "peer.edge.visit",
        "signaling.proofs",
    },
    "ifaddr": {"peer.edge.lan.interfaces"},
    "msgspec": {
        "peer.core.certificates",
        "peer.core.frames",
        "peer.core.invitation",
        "peer.edge.entry",
        "peer.edge.registry",
        "signaling.journal",
        "signaling.messages",
        "signaling.settings",
    },
    "pathspec": {"peer.edge.ignore"},
    "platformdirs": {"peer.cli.errors", "peer.cli.settings", "peer.edge.control", "peer.edge.identity"},
    "pycrdt": {"peer.core.engine", "peer.edge.texts"},  # the second for the type of `Text.doc` only
    "pyopenssl": {"peer.edge.sealed", "peer.edge.shortcuts"},
    "rapidfuzz": {"peer.core.sequences"},
    "uvloop": {"peer.cli.running", "signaling.command"},
    "watchfiles": {"peer.edge.change_source"},
    "zeroconf": {"peer.edge.lan.mdns"},
}
"""Who may import a library: a module, or a package with all its modules."""

ELSEWHERE: Final = re.compile(r"pypi|pythonhosted|npmjs|crates\.io|/work/|/root/|/home/|/tmp/", re.IGNORECASE)
"""Registries, and paths of one machine."""


def modules(*folders: str) -> Iterator[Path]:
    """Every module in these folders, as a path from the root."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT)


def name_of(module: Path) -> str:
    """The name under which *module* is imported."""
    return ".".join(module.with_suffix("").parts).removesuffix(".__init__")


def read(name: str) -> str:
    """A text of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


@functools.cache
def tree(module: Path) -> ast.Module:
    """The syntax of *module*."""
    return ast.parse(read(str(module)))


def imported(module: Path) -> set[str]:
    """The top-level names of everything that *module* imports anywhere."""
    names = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def project() -> dict[str, object]:
    """The table `project` of pyproject.toml, with the names of what it depends on."""
    table = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [*table["dependencies"], *table["optional-dependencies"]["dev"]]
    names = [re.split(r"[<>=; \[]", line)[0].lower() for line in wanted]
    return {"runtime": names[: len(table["dependencies"])], "all": names}


def documentation() -> str:
    """All that is written for people who use Weft."""
    return "\n".join(read(name) for name in ("README.md", "docs/server.md"))


# --- modules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", list(modules(*CODE)), ids=str)
def test_a_module_can_be_read_at_one_sitting(module: Path) -> None:
    limit = TEST_LINES_LIMIT if module.parts[0] == "tests" else LINES_LIMIT
    lines = read(str(module)).count("\n")
    assert lines <= limit, f"{module} has {lines} lines, the limit is {limit}"


@pytest.mark.parametrize("module", list(modules(*PRODUCT)), ids=str)
def test_a_module_says_what_it_is_and_what_it_offers(module: Path) -> None:
    assert ast.get_docstring(tree(module)), f"{module} has no docstring"
    assigned = {
        target.id
        for node in tree(module).body
        for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
        if isinstance(target, ast.Name)
    }
    # a package may be just its docstring, and nobody imports from a __main__
    offers_nothing = len(tree(module).body) == 1 or module.name == "__main__.py"
    assert offers_nothing or "__all__" in assigned, f"{module} does not say what it offers in __all__"


def test_no_module_has_a_name_that_says_nothing() -> None:
    forbidden = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "base", "handler"}
    assert not [module for module in modules(*CODE) if module.stem in forbidden]


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX)\b")
    assert not [module for module in modules(*PRODUCT) if marks.search(read(str(module)))]


# --- libraries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", sorted(IMPORTERS))
def test_a_library_is_imported_where_it_is_wrapped_and_nowhere_else(library: str) -> None:
    name = IMPORT_NAMES.get(library, library)
    users = {name_of(module) for module in modules("peer", "signaling") if name in imported(module)}
    allowed = IMPORTERS[library]
    strangers = {user for user in users if not {user, user.rpartition(".")[0]} & allowed}
    assert not strangers, (
        f"{library} is wrapped by {sorted(allowed)}, and imported by {sorted(strangers)} too"
    )
    idle = {
        each for each in allowed if not any(user == each or user.startswith(f"{each}.") for user in users)
    }
    assert not idle, f"{sorted(idle)} do not import {library} any more: correct IMPORTERS"


def test_every_dependency_has_its_wrapper() -> None:
    assert sorted(IMPORTERS) == sorted(project()["runtime"])  # type: ignore[call-overload]


def test_the_readme_says_why_each_dependency_is_there() -> None:
    section = read("README.md").partition("\n## Dependencies")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.+?) \|$", section, re.MULTILINE))
    assert sorted(rows) == sorted(project()["all"])  # type: ignore[call-overload]
    assert not [name for name, reason in rows.items() if len(reason) < 20]


def test_every_dependency_has_one_exact_version() -> None:
    lines = [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    pinned = {re.sub(r"[_.]", "-", line.split("==")[0].lower()) for line in lines}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert lines == sorted(lines, key=str.lower)
    assert not set(project()["all"]) - pinned  # type: ignore[call-overload]


def test_the_pure_modules_of_the_server_are_the_same_everywhere() -> None:
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    pure = {name.removeprefix("signaling.") for name in contracts[0]["source_modules"]} - {"peer.core"}
    listed = re.search(r"^PURE_SERVER := (.*)$", read("Makefile"), re.MULTILINE)
    assert listed is not None
    assert pure == set(listed[1].split())


# --- documentation --------------------------------------------------------------------------------------


def kebab(name: str) -> str:
    """`BlobAsk` as it is written on the wire page: `blob-ask`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.removesuffix("Frame")).lower()


@pytest.mark.parametrize("frame", get_args(frames.Frame), ids=lambda frame: str(frame.__name__))
def test_the_protocol_page_has_every_frame_with_all_its_fields(frame: type) -> None:
    config = frame.__struct_config__  # type: ignore[attr-defined]
    line = re.search(
        rf"^ ?{config.tag} {kebab(frame.__name__)} +[^\[]+\[{config.tag}[,\]](.*(?:\n {{20,}}.*)*)",
        read("docs/protocol.md"),
        re.MULTILINE,
    )
    assert line is not None, f"docs/protocol.md does not have the frame {config.tag} {kebab(frame.__name__)}"
    for field in frame.__struct_fields__:  # type: ignore[attr-defined]
        known = {
            "digest": "sha256|summary",
            "entries": "doc",
            "state_vector": "state vector",
            "data": "bytes",
        }
        assert re.search(known.get(field, field), line[1]), f"{frame.__name__}.{field} is not in {line[0]}"


@pytest.mark.parametrize(
    "words",
    [
        f"at most {(pieces.PIECE_BODY + 1) // KIB} KiB with its flags",
        f"| edits | what was typed; questions for documents and blobs | {pieces.EDITS_LIMIT // MIB} MiB |",
        f"| direct | {pieces.DIRECT_WINDOW.pieces} | {pieces.DIRECT_WINDOW.bytes // MIB} MiB |"
        f" {pieces.DIRECT_WINDOW.bulk_bytes // MIB} MiB | {pieces.DIRECT_WINDOW.ack_pieces} pieces or"
        f" {pieces.DIRECT_WINDOW.ack_bytes // KIB} KiB |",
        f"| relay | {pieces.RELAY_WINDOW.pieces} | {pieces.RELAY_WINDOW.bytes // KIB} KiB |"
        f" {pieces.RELAY_WINDOW.bulk_bytes // KIB} KiB | {pieces.RELAY_WINDOW.ack_pieces} pieces or"
        f" {pieces.RELAY_WINDOW.ack_bytes // KIB} KiB |",
        f"({frames.FRAME_LIMIT // MIB} MiB + 4 KiB (`FRAME_LIMIT`)"[1:],
        f"Unknown types (above {frames.HIGHEST_TYPE})",
        f"takes at most {greeting.GREETING_TIMEOUT:g} s (`GREETING_TIMEOUT`)",
        "after {:g}, {:g}, {:g}, {:g}, {:g}, then every {:g} s".format(*greeting.SEAL_DELAYS),
        f"takes at most {dialing.CONNECT_TIMEOUT:g} s (`CONNECT_TIMEOUT`)",
        f"waits {dialing.RETRY_FIRST:g} s, then twice as long each time up to {dialing.RETRY_LONGEST:g} s",
        f"only {dialing.QUICK_TRIES} such tries",
        f"looked for within {dialing.IMPROVE_FIRST:g} s, and from then on every {dialing.IMPROVE_EVERY:g} s",
        f"after a path that stood for {pathways.STOOD:g} s has died",
        f"(every {dialing.REDIAL_EVERY:g} s, `REDIAL_EVERY`, at most)",
        f"one offer every {dialing.DIAL_EVERY:g} s (`DIAL_EVERY`)",
        f"after {carrier.ACK_WITHIN:g} s (`ACK_WITHIN`)",
        f"every {carrier.ASK_EVERY:g} s (`ASK_EVERY`)",
        f"every {rooms.PROBE_EVERY:g} s (`PROBE_EVERY`)",
        f"From {link.ASK_AHEAD:g} s before that on (`ASK_AHEAD`)",
        f"within {detour.DETOUR_AFTER:g} s (`DETOUR_AFTER`;",
        f"listens for {link.OVERLAP:g} s (`OVERLAP`)",
        f"without one within {pathways.CHECK_SECONDS:g} s",
        f"asked {ladder.TURN_AFTER:g} s (`TURN_AFTER`)",
        f"each {ladder.RUNG_EVERY:g} s (`RUNG_EVERY`)",
        f"checked {ladder.RELAY_AFTER:g} s (`RELAY_AFTER`)",
        f"candidates:[text≤256]≤{frames.CANDIDATES_PER_FRAME}",
        f"at most {sdp.CANDIDATE_LIMIT} in one attempt",
        f"after {link.DOUBT:g} s already",
        f"at most {link.RELAY_BUDGET // KIB} KiB of bulk per peer (`RELAY_BUDGET`)",
        f"after {link.RELAY_PATIENCE:g} s (`RELAY_PATIENCE`)",
        f"every {link.PING_EVERY:g} s",
        f"Nothing heard for {link.SILENT_AFTER:g} s",
        f"Nothing for {link.DEAD_AFTER:g} s",
        f"that path has {link.DOUBT:g} s to prove it wrong",
        f"[[doc:8, digest:16]]≤{frames.DIGESTS_PER_FRAME}",
        f"at most {sync.ASKS_AT_ONCE} at a time",
        f"more than {sync.ANSWERS_LIMIT} waiting questions",
        f"at most every {sync.LIST_EVERY:g} s (`LIST_EVERY`)",
        f"above {exchange.EDIT_LIMIT // MIB} MiB (`EDIT_LIMIT`)",
        f"one offer every {dialing.OFFER_EVERY:g} s (`OFFER_EVERY`)",
        f"for {greeting.REFUSED_FOR:g} s (`REFUSED_FOR`)",
        f"a {connections.LINKS_LIMIT + 1}th peer (`LINKS_LIMIT`)",
        f"comes for {sync.ASK_PATIENCE:g} s, the same is asked again",
        f"merged for {sync.TICK * 1000:g} ms (`TICK`)",
        f"beyond {exchange.PENDING_LIMIT // KIB} KiB (`PENDING_LIMIT`)",
        f"if it differs for {difference.DIFFERENCE_PATIENCE:g} s, `digests` follow, at most every"
        f" {difference.COMPARE_EVERY:g} s",
        f"| documents in a session | {sync.DOCUMENT_LIMIT:,} |",
        f"| one update, and so one document with its history | {guard.UPDATE_LIMIT // MIB} MiB;",
        f"| clients in one document | {guard.CLIENT_LIMIT:,} |",
        f"| structs and deleted ranges in one update | {guard.ENTRY_LIMIT:,} |",
        f"| a key, a value of the index | {guard.KEY_LIMIT} bytes, {guard.VALUE_LIMIT // KIB} KiB |",
        f"in parts of {frames.BLOB_PART // KIB} KiB (`BLOB_PART`)",
        f"up to {blobs.BLOB_LIMIT // MIB} MiB (`BLOB_LIMIT`)",
        f"has sent nothing for {blobs.ASK_PATIENCE:g} s",
        f"at most {presence.RATE:g} times a second, repeated every {presence.REPEAT:g} s",
        f"{presence.EXPIRES:g} s without any",
        f"`protocol` in `hello` is **{frames.PROTOCOL}**",
        f"at most {candidates.ROOMS_LIMIT} at a time (`ROOMS_LIMIT`)",
        f"and the {candidates.REMEMBERED} addresses that answered last",
        f"UDP port {beacon.BEACON_PORT} (`BEACON_PORT`)",
        f"groups {beacon.GROUP_IPV4} and {beacon.GROUP_IPV6} with",
        f"then every {service.ANNOUNCE_EVERY:g} s (`ANNOUNCE_EVERY`)",
        f"{announcement.BEACON_SIZE} bytes",
    ],
)
def test_the_protocol_page_has_the_numbers_of_the_code(words: str) -> None:
    assert words in re.sub(r"\s*\n\s*", " ", read("docs/protocol.md"))


def test_the_signaling_page_has_every_message() -> None:
    page = read("docs/protocol-signaling.md")
    for message in {*get_args(messages.FromClient), *get_args(messages.FromServer)}:
        tag = getattr(message, "__struct_config__").tag  # noqa: B009
        assert f'type: "{tag}"' in page, f"docs/protocol-signaling.md does not have {tag}"
        for field in message.__struct_fields__:
            assert re.search(rf"\b{field}\b", page), f"docs/protocol-signaling.md does not have {tag}.{field}"


@pytest.mark.parametrize("code", messages.CloseCode, ids=lambda code: str(code.name))
def test_the_signaling_page_has_every_close_code(code: messages.CloseCode) -> None:
    assert f"| {int(code)} | {code.name.lower().replace('_', '-')} |" in read("docs/protocol-signaling.md")


@pytest.mark.parametrize("setting", [each.name for each in dataclasses.fields(Settings)])
def test_every_setting_of_the_server_is_documented(setting: str) -> None:
    assert f"| `{setting}` |" in read("docs/server.md")


def options() -> Iterator[tuple[str, click.Option]]:
    """Every option of every command that people see."""
    root = command_line.weft
    context = click.Context(root)
    commands = [root, *(root.get_command(context, name) for name in root.list_commands(context))]
    for command in commands:
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                yield str(command.name), option


@pytest.mark.parametrize(
    "option", [pytest.param(option, id=f"{name}-{option.name}") for name, option in options()]
)
def test_every_option_is_documented(option: click.Option) -> None:
    longest = max(option.opts, key=len)
    in_table = f"| `{longest.removeprefix('--').replace('-', '_')}` |"  # the server's settings
    assert f"`{longest}" in documentation() or in_table in documentation(), f"{longest} is not in the docs"


def test_every_command_is_documented() -> None:
    root = command_line.weft
    for name in root.list_commands(click.Context(root)):
        assert f"`weft {name}" in read("README.md")


def test_every_variable_of_the_environment_is_documented() -> None:
    sources = "\n".join(read(str(module)) for module in modules("peer", "signaling"))
    for name in set(re.findall(r"\"(WEFT_[A-Z_]*[A-Z])\"", sources)):
        assert f"`{name}" in documentation(), f"{name} is not in the README"


@pytest.mark.parametrize("code", ExitCode, ids=lambda code: str(code.name))
def test_every_exit_code_is_documented(code: ExitCode) -> None:
    assert f"| {int(code)} |" in read("README.md")


@pytest.mark.parametrize("notice", get_args(notices.Notice), ids=lambda notice: str(notice.__name__))
def test_every_record_is_documented_with_all_its_fields(notice: type[notices.Notice]) -> None:
    row = re.search(rf"^\| `{notice.type}` \| (.*) \|$", read("README.md"), re.MULTILINE)
    assert row is not None, f"the README does not have {notice.type}"
    missing = [field.name for field in dataclasses.fields(notice) if f"`{field.name}`" not in row[1]]
    assert not missing, f"the README's row of {notice.type} does not have {missing}"


def test_the_tests_that_the_attacks_page_names_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", read("docs/attacks.md"))
    assert len(named) > 20
    for file, test in named:
        assert (ROOT / file).is_file(), f"docs/attacks.md names {file}"
        assert re.search(rf"def {test}\(", read(file)), f"docs/attacks.md names {file}::{test}"


def test_the_attacks_page_knows_all_tests_of_attacks() -> None:
    page = read("docs/attacks.md")
    for module in modules("tests/attacks"):
        tests = re.findall(r"^(?:async )?def (test_\w+)\(", read(str(module)), re.MULTILINE)
        assert not tests or str(module) in page, f"docs/attacks.md does not mention {module}"


def test_decisions_are_numbered_short_and_complete() -> None:
    notes = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(note.name[:4]) for note in notes] == list(range(1, len(notes) + 1))
    for note in notes:
        text = note.read_text(encoding="utf-8")
        assert text.startswith(f"# {note.name[:4]} ")
        assert text.count("\n") <= DECISION_LINES_LIMIT
        for part in ("**Context.**", "**Decision.**", "**What it costs.**", "**Look again**"):
            assert part in text, f"{note.name} has no {part}"


def test_the_architecture_page_says_where_everything_is() -> None:
    named = set(re.findall(r"`((?:core|edge|cli|signaling)/[\w/]+|api)`", read("docs/architecture.md")))
    there = {str(module.with_suffix("")).removeprefix("peer/") for module in modules("peer", "signaling")}
    there = {
        name for name in there if name.rpartition("/")[2] not in ("__init__", "__main__", "errors", "ids")
    }
    assert named - there - {"core/ids"} == set(), "docs/architecture.md names modules that are not there"
    assert there - named == set(), "docs/architecture.md does not say what these are for"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_nothing_depends_on_one_machine() -> None:
    pages = [page for kind in ("md", "toml", "txt", "yaml", "conf") for page in ROOT.glob(f"*.{kind}")]
    pages += [ROOT / "Makefile", ROOT / ".ci/run", *(ROOT / "docs").rglob("*.md")]
    pages += [*(ROOT / "turn-config").iterdir(), *(ROOT / module for module in modules(*PRODUCT))]
    for page in pages:
        found = ELSEWHERE.search(page.read_text(encoding="utf-8"))
        assert found is None, f"{page.relative_to(ROOT)} has {found[0]!r}"
