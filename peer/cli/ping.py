"""`weft ping NAME`: how far somebody is, and by which way each answer came."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.options import Output, output_options
from peer.cli.sessions import find_peer
from peer.cli.wording import host, path_words, plain

__all__ = ["ping"]

SCHEMA: Final = 1

COUNT: Final = 10
"""Questions, unless `-c` says otherwise; a direct path is found within five seconds or rarely."""
LONGER_COUNT: Final = 60
"""Questions when a direct path is waited for: it is looked for again after a minute."""
ANSWER_SECONDS: Final = 8.0
"""For the session to answer: its own patience with the peer is 5."""

_DIRECT: Final = ("lan", "direct")

Answer = dict[str, object]


@click.command()
@click.argument("name")
@click.option("-c", "--count", type=click.IntRange(1, 100_000), help="Ask so often, and do not stop earlier.")
@click.option("--until-direct", is_flag=True, help="Stop when direct; end with 10 if that never happens.")
@click.option(
    "-i", "--interval", type=click.FloatRange(0.05, 3600), default=1.0, help="Seconds between two (1)."
)
@click.option("--folder", type=click.Path(path_type=Path), help="In the session of this folder.")
@output_options
def ping(
    name: str, count: int | None, until_direct: bool, interval: float, folder: Path | None, output: Output
) -> int:
    """Ask NAME, who is in a running session, for an answer on the sealed link; say which way it came.

    Stops at the first answer that came directly, or after 10.

    \b
    Examples:
      weft ping ben
      weft ping ben -c 100 -i 0.2
      weft ping ben --until-direct && echo "now direct"
    """
    socket, session, peer = find_peer(name, folder)
    limit = count or (LONGER_COUNT if until_direct else COUNT)
    stops = until_direct or count is None
    say = _voice(output, session)

    def ask_once() -> Answer | None:
        from peer.edge.control import ask
        from peer.errors import Unreachable, UsageError

        try:
            return ask(socket, "ping", ANSWER_SECONDS, peer=peer["id"])
        except (Unreachable, UsageError) as error:
            say(None, str(error), plain(str(peer["name"])))
            return None

    answers = _series(ask_once, say, limit=limit, stops=stops, interval=interval)
    _summarise(output, answers)
    if not any(answers):
        message = f"{plain(str(peer['name']))} did not answer"
        likely = "the other computer sleeps, or its network is gone; a session looks for other ways by itself"
        raise Failure(Problem("E-NO-ANSWER", ExitCode.UNREACHABLE, message, likely=likely, do="weft status"))
    last = next(answer for answer in reversed(answers) if answer)
    return ExitCode.DEGRADED if until_direct and last.get("path") not in _DIRECT else ExitCode.OK


Voice = Callable[[Answer | None, str, str], None]


def _series(
    ask_once: Callable[[], Answer | None], say: Voice, *, limit: int, stops: bool, interval: float
) -> list[Answer | None]:
    answers: list[Answer | None] = []
    while len(answers) < limit:
        if answers:
            time.sleep(interval)
        answer = ask_once()
        answers.append(answer)
        if answer is None:
            continue
        say(answer, "", "")
        if stops and answer.get("path") in _DIRECT:
            break
    return answers


def _voice(output: Output, session: dict[str, object]) -> Voice:
    server = session.get("server")
    url = server.get("url") if isinstance(server, dict) else None
    relay = host(str(url)) if url else "the server"

    def say(answer: Answer | None, trouble: str, name: str) -> None:
        if output.json:
            record = {"schema": SCHEMA, "t": round(time.time(), 3)}
            said = {"type": "peer.pong", **answer} if answer else {"type": "peer.no-pong", "message": trouble}
            click.echo(json.dumps({**record, **said}))
        elif answer is None and not output.quiet:
            click.echo(f"no answer from {name}: {plain(trouble)}", err=True)
        elif answer is not None and not output.quiet:
            click.echo(_sentence(answer, relay))
        sys.stdout.flush()

    return say


def _sentence(answer: Answer, relay: str) -> str:
    rtt = answer.get("rtt_ms")
    took = f"{rtt:.1f} ms" if isinstance(rtt, int | float) else "-"
    way = path_words(str(answer.get("path")), relay, str(answer.get("address") or ""))
    return f"pong from {plain(str(answer.get('name')))} in {took}, {way}"


def _summarise(output: Output, answers: list[Answer | None]) -> None:
    times = [float(str(answer["rtt_ms"])) for answer in answers if answer]
    if not times or len(answers) < 2 or output.quiet:
        return
    least, middle, most = min(times), sum(times) / len(times), max(times)
    if output.json:
        record = {"schema": SCHEMA, "t": round(time.time(), 3), "type": "ping.summary"}
        record |= {"sent": len(answers), "answered": len(times)}
        record |= {"min_ms": least, "mean_ms": round(middle, 2), "max_ms": most}
        click.echo(json.dumps(record))
    else:
        spread = f"least {least:.1f}, mean {middle:.1f}, most {most:.1f} ms"
        click.echo(f"{len(times)} of {len(answers)} answered · {spread}")
