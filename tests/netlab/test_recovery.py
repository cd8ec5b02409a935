"""What goes wrong in the middle of a session: editing goes on, and everything typed is there once.

With all other tests the waits are short; `make netlab` makes them as long as they are in life.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import pytest

from demo.programs import DemoFailed
from tests.conftest import PATIENCE
from tests.e2e.town import Editor, expect_every_token_once, until
from tests.netlab.conftest import REPETITIONS
from tests.netlab.lab import Lab
from tests.netlab.nats import Kind
from tests.netlab.people import Person, Stage, new_stage
from tests.netlab.pulse import Pulse, recovery

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

RECOVERY_SECONDS: Final = 3.0
"""From the moment that any path exists, until what is typed then is on the other side."""
PATIENT_SECONDS: Final = 45.0
"""How long to wait for a recovery that is too late, to say how late it was."""
LOSS_SECONDS: Final = 30.0 if REPETITIONS else 8.0
SLEEP_SECONDS: Final = 60.0 if REPETITIONS else 17.0  # by then the others have given up
SESSION_SECONDS: Final = 180.0 if REPETITIONS else 12.0
LENT_SECONDS: Final = SESSION_SECONDS / 6
"""TURN credentials live for so long, and allocations for a minute at most: both end within the session."""
QUIET_SECONDS: Final = 1.0
"""Of editing before the trouble."""
EDIT_EVERY: Final = 0.25
"""Seconds between two saves of one person, on average; numbers are written more often."""
SEED: Final = int(os.environ.get("SEED", "1"))
AT_ONCE: Final = 2 if REPETITIONS else 5
"""Scenes; each is mostly waiting, and two measure better than five."""


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


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens, to whom.

    Attributes:
        kinds: what the sharer and the joiner are behind.
        path: the path that they are on before.
        happens: makes the trouble and ends it; when it returns, there is a path again.
        seconds: how long that takes.
        policy: the `--path` of both.
        always: with all tests, and not in `make netlab` only.
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


def _lose_everything(scene: Scene) -> None:
    scene.ben.host.weather(loss=100)
    time.sleep(LOSS_SECONDS)
    scene.ben.host.weather()


def _sleep(scene: Scene) -> None:
    pid = scene.ben.running.pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(SLEEP_SECONDS)
    os.kill(pid, signal.SIGCONT)


def _restart_server(scene: Scene) -> None:
    scene.stage.server.kill()
    scene.stage.server.start()


def _kill_coturn(scene: Scene) -> None:
    scene.stage.turn.kill()


def _restart_coturn(scene: Scene) -> None:
    scene.stage.turn.kill()
    scene.stage.turn.start()


def _outlive_credentials(scene: Scene) -> None:
    time.sleep(SESSION_SECONDS)
    assert scene.anna.path("ben") == scene.ben.path("anna") == "turn"


def _outlive_credentials_and_coturn(scene: Scene) -> None:
    _outlive_credentials(scene)
    _restart_coturn(scene)


def _restart_router(scene: Scene) -> None:
    scene.ben.host.lab.nats[f"{scene.ben.host.name}.nat"].restart()


HOMES: Final = (Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED)
TURNED: Final = (Kind.PORT_RESTRICTED, Kind.SYMMETRIC)
TROUBLES: Final = {
    trouble.name: trouble
    for trouble in (
        Trouble("a move to a network with another NAT", HOMES, "direct", _move(Kind.SYMMETRIC)),
        Trouble("a move to a network without UDP", HOMES, "direct", _move(Kind.UDP_BLOCKED)),
        Trouble("a move, all on the relay", HOMES, "relay", _move(Kind.SYMMETRIC), 0, "relay", False),
        Trouble("total loss, on the direct path", HOMES, "direct", _lose_everything, LOSS_SECONDS),
        Trouble("total loss, on TURN", TURNED, "turn", _lose_everything, LOSS_SECONDS, "auto", False),
        Trouble("a machine that sleeps", HOMES, "direct", _sleep, SLEEP_SECONDS, sleeps=True),
        Trouble(
            "the server restarts, on the direct path", HOMES, "direct", _restart_server, 0, "auto", False
        ),
        Trouble("the server restarts, all on the relay", HOMES, "relay", _restart_server, 0, "relay"),
        Trouble("coturn dies, and the relay is there", TURNED, "turn", _kill_coturn),
        Trouble(
            "coturn restarts, and the relay is forbidden", TURNED, "turn", _restart_coturn, 0, "direct", False
        ),
        Trouble(
            "TURN credentials run out",
            TURNED,
            "turn",
            _outlive_credentials,
            SESSION_SECONDS,
            "direct",
            always=False,
            lent=LENT_SECONDS,
        ),
        Trouble(
            "TURN credentials run out, and coturn restarts",
            TURNED,
            "turn",
            _outlive_credentials_and_coturn,
            SESSION_SECONDS,
            "direct",
            lent=LENT_SECONDS,
        ),
        Trouble("a router restarts that keeps its ports", HOMES, "direct", _restart_router, 0, "auto", False),
        Trouble("a router restarts that changes its ports", TURNED, "turn", _restart_router),
    )
}


@pytest.fixture(scope="module")
def scenes(lab: Lab, request: pytest.FixtureRequest) -> Iterator[dict[str, "Future[Scene]"]]:
    """All scenes that the selected tests ask for, as they take place in the background."""
    chosen = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    names = [call.params["name"] for call in chosen if call is not None and "name" in call.params]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(_play, lab, TROUBLES[name]) for name in names}
        pool.shutdown(cancel_futures=True)


def _play(lab: Lab, trouble: Trouble) -> Scene:
    """Set the scene, make the trouble, and see how long it lasts."""
    mark = f"t{list(TROUBLES).index(trouble.name)}"
    stage = new_stage(lab, mark, trouble.lent)
    hosts = [lab.behind(kind, f"{mark}.{side}") for kind, side in zip(trouble.kinds, "sj", strict=True)]
    scene = Scene(stage, stage.person("anna", hosts[0]), stage.person("ben", hosts[1]))
    try:
        stage.bring_together(scene.anna, scene.ben, trouble.path, trouble.policy)
        _edit_through(trouble, scene)
        if max(scene.took) > RECOVERY_SECONDS * PATIENCE:
            scene.failure = f"writing arrived after {scene.took} s"
    except (AssertionError, DemoFailed) as problem:
        scene.failure = f"{problem}, after {scene.took} s (repeat with SEED={SEED})"
    finally:
        _end(scene)
    if scene.failure:
        scene.failure += f"\n{scene.anna.story()}\n{scene.ben.story()}"
    return scene


def _edit_through(trouble: Trouble, scene: Scene) -> None:
    """Both edit one file, and count in a file of their own, before, in and after the trouble."""
    anna, ben = scene.anna, scene.ben
    pulses = [Pulse(anna.folder, "anna"), Pulse(ben.folder, "ben")]
    ways = [(pulses[0], ben.folder), (pulses[1], anna.folder)]
    after = QUIET_SECONDS + RECOVERY_SECONDS
    spans = (trouble.seconds + after, after if trouble.sleeps else trouble.seconds + after)
    editors = [
        Editor(person.name, person.file, int(span / EDIT_EVERY), SEED + number, 2 * EDIT_EVERY)
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


@pytest.mark.parametrize("name", [name for name in TROUBLES if REPETITIONS or TROUBLES[name].always])
def test_editing_goes_on_after(
    name: str, scenes: dict[str, "Future[Scene]"], recovered: Callable[[str, str], None]
) -> None:
    scene = scenes[name].result()
    seconds = TROUBLES[name].seconds
    recovered(f"{name}{f' for {seconds:g} s' if seconds else ''}", " ".join(f"{t:5.2f}" for t in scene.took))
    if scene.failure:
        pytest.fail(scene.failure, pytrace=False)
