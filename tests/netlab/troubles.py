"""What befalls two people in the middle of a session, played with real programs.

A scene sets two people up, has both edit one file, makes the trouble, and measures from the moment that a
path exists until what is written then is on the other side.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from demo.programs import DemoFailed
from tests.conftest import PATIENCE
from tests.e2e.town import Editor, expect_every_token_once, until
from tests.netlab.lab import Lab
from tests.netlab.nats import Kind
from tests.netlab.people import Person, Stage, new_stage
from tests.netlab.pulse import Pulse, recovery

__all__ = ["FULL", "RECOVERY_SECONDS", "SHORT", "Lengths", "Scene", "Trouble", "play", "troubles"]

RECOVERY_SECONDS: Final = 3.0
"""From the moment that any path exists, until what is typed then is on the other side."""
PATIENT_SECONDS: Final = 45.0
"""How long to wait for a recovery that is too late, to say how late it was."""
QUIET_SECONDS: Final = 1.0
"""Of editing before the trouble."""
EDIT_EVERY: Final = 0.25
"""Seconds between two saves of one person, on average; numbers are written more often."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long troubles last, in seconds.

    Attributes:
        loss: every packet is lost.
        sleep: a machine stands still.
        session: of those who use TURN for longer than its credentials live, which is a sixth of this.
    """

    loss: float
    sleep: float
    session: float

    @property
    def lent(self) -> float:
        """TURN credentials live so long, and allocations a minute at most: both end within the session."""
        return self.session / 6


SHORT: Final = Lengths(loss=8.0, sleep=17.0, session=12.0)
"""By the end of the sleep the others have given up."""
FULL: Final = Lengths(loss=30.0, sleep=60.0, session=180.0)
"""As in life."""


@dataclass(slots=True)
class Scene:
    """Two people who are editing, and the trouble that befalls them.

    Attributes:
        took: from the moment that a path exists until writing arrives, one way and the other.
        failure: what was not as it should be.
    """

    stage: Stage
    anna: Person
    ben: Person
    took: list[float] = field(default_factory=list)
    failure: str = ""

    def story(self) -> str:
        """What both programs said."""
        return f"\n{self.anna.story()}\n{self.ben.story()}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens, to whom.

    Attributes:
        kinds: what the sharer and the joiner are behind.
        path: the path that they are on before.
        happens: makes the trouble and ends it; when it returns, there is a path again.
        seconds: how long that takes.
        policy: the `--path` of both.
        always: worth its time in every run of the tests.
        sleeps: whether the joiner's machine stands still meanwhile.
        lent: how long TURN credentials live, in seconds.
    """

    name: str
    kinds: tuple[Kind, Kind]
    path: str
    happens: Callable[[Scene], None]
    seconds: float = 0.0
    policy: str = "auto"
    always: bool = True
    sleeps: bool = False
    lent: float = 3600.0


def _move(kind: Kind) -> Callable[[Scene], None]:
    def happens(scene: Scene) -> None:
        host = scene.ben.host
        host.plug(host.lab.nat(f"{host.name}.new", kind).lan)

    return happens


def _lose_everything(seconds: float) -> Callable[[Scene], None]:
    def happens(scene: Scene) -> None:
        scene.ben.host.weather(loss=100)
        time.sleep(seconds)
        scene.ben.host.weather()

    return happens


def _sleep(seconds: float) -> Callable[[Scene], None]:
    def happens(scene: Scene) -> None:
        pid = scene.ben.running.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    return happens


def _outlive_credentials(seconds: float) -> Callable[[Scene], None]:
    def happens(scene: Scene) -> None:
        time.sleep(seconds)
        assert scene.anna.path("ben") == scene.ben.path("anna") == "turn"

    return happens


def _outlive_credentials_and_coturn(seconds: float) -> Callable[[Scene], None]:
    def happens(scene: Scene) -> None:
        _outlive_credentials(seconds)(scene)
        _restart_coturn(scene)

    return happens


def _restart_server(scene: Scene) -> None:
    scene.stage.server.kill()
    scene.stage.server.start()


def _kill_coturn(scene: Scene) -> None:
    scene.stage.turn.kill()


def _restart_coturn(scene: Scene) -> None:
    scene.stage.turn.kill()
    scene.stage.turn.start()


def _restart_router(scene: Scene) -> None:
    scene.ben.host.lab.nats[f"{scene.ben.host.name}.nat"].restart()


HOMES: Final = (Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED)
TURNED: Final = (Kind.PORT_RESTRICTED, Kind.SYMMETRIC)


def troubles(lengths: Lengths) -> dict[str, Trouble]:
    """Every trouble by its name, as long as *lengths* says."""
    made = (*_on_the_way(lengths), *_at_the_servers(lengths))
    return {trouble.name: trouble for trouble in made}


def _on_the_way(lengths: Lengths) -> tuple[Trouble, ...]:
    """A machine, its network or its router."""
    loss, sleep = _lose_everything(lengths.loss), _sleep(lengths.sleep)
    return (
        Trouble("a move to a network with another NAT", HOMES, "direct", _move(Kind.SYMMETRIC)),
        Trouble("a move to a network without UDP", HOMES, "direct", _move(Kind.UDP_BLOCKED)),
        Trouble("a move, all on the relay", HOMES, "relay", _move(Kind.SYMMETRIC), 0, "relay", False),
        Trouble("total loss, on the direct path", HOMES, "direct", loss, lengths.loss),
        Trouble("total loss, on TURN", TURNED, "turn", loss, lengths.loss, "auto", False),
        Trouble("a machine that sleeps", HOMES, "direct", sleep, lengths.sleep, sleeps=True),
        Trouble("a router restarts that keeps its ports", HOMES, "direct", _restart_router, 0, "auto", False),
        Trouble("a router restarts that changes its ports", TURNED, "turn", _restart_router),
    )


def _at_the_servers(lengths: Lengths) -> tuple[Trouble, ...]:
    """The signaling server, coturn, or what they lend."""
    span, lent = lengths.session, lengths.lent
    ends, both = _outlive_credentials(span), _outlive_credentials_and_coturn(span)
    return (
        Trouble("the server restarts, on the direct path", HOMES, "direct", _restart_server, always=False),
        Trouble("the server restarts, all on the relay", HOMES, "relay", _restart_server, 0, "relay"),
        Trouble("coturn dies, and the relay is there", TURNED, "turn", _kill_coturn),
        Trouble(
            "coturn restarts, and the relay is forbidden", TURNED, "turn", _restart_coturn, 0, "direct", False
        ),
        Trouble("TURN credentials run out", TURNED, "turn", ends, span, "direct", always=False, lent=lent),
        Trouble(
            "TURN credentials run out, and coturn restarts", TURNED, "turn", both, span, "direct", lent=lent
        ),
    )


def play(lab: Lab, trouble: Trouble, mark: str, seed: int) -> Scene:
    """Set the scene on new hosts whose names begin with *mark*, make the trouble, and see how long it lasts.

    Never raises: a scene that failed says so.
    """
    stage = new_stage(lab, mark, trouble.lent)
    hosts = [lab.behind(kind, f"{mark}.{side}") for kind, side in zip(trouble.kinds, "sj", strict=True)]
    scene = Scene(stage, stage.person("anna", hosts[0]), stage.person("ben", hosts[1]))
    try:
        stage.bring_together(scene.anna, scene.ben, trouble.path, trouble.policy)
        _edit_through(trouble, scene, seed)
    except (AssertionError, DemoFailed) as problem:
        scene.failure = f"{problem}, after {scene.took} s (repeat with SEED={seed})"
    finally:
        _end(scene)
    if scene.failure:
        scene.failure += scene.story()
    return scene


def _edit_through(trouble: Trouble, scene: Scene, seed: int) -> None:
    """Both edit one file, and count in a file of their own, before, in and after the trouble."""
    anna, ben = scene.anna, scene.ben
    pulses = [Pulse(anna.folder, "anna"), Pulse(ben.folder, "ben")]
    ways = [(pulses[0], ben.folder), (pulses[1], anna.folder)]
    after = QUIET_SECONDS + RECOVERY_SECONDS
    spans = (trouble.seconds + after, after if trouble.sleeps else trouble.seconds + after)
    editors = [
        Editor(person.name, person.file, int(span / EDIT_EVERY), seed + number, 2 * EDIT_EVERY)
        for number, (person, span) in enumerate(zip((anna, ben), spans, strict=True))
    ]
    awake = editors[:1] if trouble.sleeps else editors  # nobody types on a machine that sleeps
    for thread in (*pulses, *awake):
        thread.start()
    try:
        recovery(ways, time.monotonic() + QUIET_SECONDS, 5 * PATIENCE)
        trouble.happens(scene)
        for thread in editors[len(awake) :]:
            thread.start()
        scene.took = recovery(ways, time.monotonic(), PATIENT_SECONDS)
    finally:
        for thread in editors:
            if thread.ident is not None:
                thread.join()
        for pulse in pulses:
            pulse.stop()
    expect_every_token_once(scene.stage, [anna.file, ben.file], editors, f"after {trouble.name}")
    until(lambda: all(pulse.whole(to) for pulse, to in ways), 10 * PATIENCE, "all numbers, once, in order")


def _end(scene: Scene) -> None:
    people = [person for person in (scene.anna, scene.ben) if person.program is not None]
    for person in people:
        person.stop()
    for person in people:
        person.running.end()
    scene.stage.close()
