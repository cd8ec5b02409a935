"""Everybody meets everybody: the path is that of docs/connectivity.md, whatever stands between.

A dozen pairs run with all tests; `make netlab` runs every pair, twenty times.
"""

import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pytest

from tests.conftest import PATIENCE
from tests.netlab.conftest import REPETITIONS, Measured
from tests.netlab.golden import chained_pairs, golden_pairs
from tests.netlab.lab import Host, Lab
from tests.netlab.nats import Kind
from tests.netlab.people import FIRST_TEXT_SECONDS, Meeting, Stage
from tests.netlab.wire import Wire

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

AT_ONCE: Final = 2
"""Meetings; each takes a second of a processor, and more of them would measure each other."""

GOLDEN: Final = golden_pairs()
DOZEN: Final = (
    (Kind.NONE, Kind.NONE),
    (Kind.NONE, Kind.SYMMETRIC),
    (Kind.SYMMETRIC, Kind.FULL_CONE),
    (Kind.ADDRESS_RESTRICTED, Kind.SYMMETRIC),
    (Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED),
    (Kind.PORT_RESTRICTED, Kind.SYMMETRIC),
    (Kind.SYMMETRIC, Kind.SYMMETRIC),
    (Kind.UDP_BLOCKED, Kind.NONE),
    (Kind.PORT_RESTRICTED, Kind.UDP_BLOCKED),
    (Kind.ONLY_443, Kind.PORT_RESTRICTED),
    (Kind.UDP_BLOCKED, Kind.ONLY_443),
    (Kind.ONLY_443, Kind.ONLY_443),
)
UNRELAYED: Final = (
    (Kind.SYMMETRIC, Kind.PORT_RESTRICTED),
    (Kind.UDP_BLOCKED, Kind.FULL_CONE),
    (Kind.ONLY_443, Kind.UDP_BLOCKED),
)

Pair = tuple[Kind, Kind]
Case = tuple[Pair, str, int]
"""Who meets whom, with which `--path`, and which repetition that is."""


def _cases(few: tuple[Pair, ...], every: list[Pair], policy: str) -> list[Case]:
    pairs = every if REPETITIONS else list(few)
    return [(pair, policy, turn) for turn in range(max(REPETITIONS, 1)) for pair in pairs]


ALL: Final = _cases(DOZEN, list(GOLDEN), "auto")
FORBIDDEN: Final = _cases(UNRELAYED, [pair for pair in GOLDEN if GOLDEN[pair] == "turn"], "direct")


def _named(case: Case) -> str:
    pair, _, turn = case
    return " - ".join(pair) + (f" - {turn + 1}" if REPETITIONS else "")


@pytest.fixture(scope="module")
def homes(lab: Lab) -> Callable[[Kind, str], Host]:
    """A host behind each kind of NAT for each side, made when it is first asked for."""
    made: dict[tuple[Kind, str], Host] = {}

    def home(kind: Kind, side: str) -> Host:
        if (kind, side) not in made:
            made[kind, side] = lab.behind(kind, f"{side}{list(Kind).index(kind)}")
        return made[kind, side]

    return home


@pytest.fixture(scope="module")
def meetings(
    stage: Stage, homes: Callable[[Kind, str], Host], request: pytest.FixtureRequest
) -> Iterator[dict[Case, "Future[Meeting]"]]:
    """All meetings that the selected tests ask for, as they take place in the background."""
    items = [item for item in request.session.items if item.path == request.path]
    chosen = [getattr(item, "callspec", None) for item in items]
    cases = [call.params["case"] for call in chosen if call is not None and "case" in call.params]
    hosts = {case: (homes(case[0][0], "s"), homes(case[0][1], "j")) for case in cases}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case: pool.submit(stage.meet, *hosts[case], GOLDEN[case[0]], case[1]) for case in cases}
        pool.shutdown(cancel_futures=True)


def expect_no_failure(meeting: Meeting) -> None:
    """Fail with what both sides said, and not with a trace of this module."""
    if meeting.failure:
        pytest.fail(meeting.failure, pytrace=False)


@pytest.mark.parametrize("case", ALL, ids=_named)
def test_two_people_meet_at_once_and_get_the_path_of_the_golden_table(
    case: Case, meetings: dict[Case, "Future[Meeting]"], measured: Measured
) -> None:
    meeting = meetings[case].result()
    measured(f"{case[0][0]} - {case[0][1]}", meeting)
    expect_no_failure(meeting)


@pytest.mark.parametrize("case", FORBIDDEN, ids=_named)
def test_where_nothing_is_direct_turn_carries_everything_when_the_relay_is_forbidden(
    case: Case, meetings: dict[Case, "Future[Meeting]"], measured: Measured
) -> None:
    meeting = meetings[case].result()
    measured(f"{case[0][0]} - {case[0][1]}, no relay", meeting)
    expect_no_failure(meeting)


@pytest.mark.skipif(
    not REPETITIONS, reason="how fast Python starts beside other tests says nothing: make netlab"
)
def test_most_have_their_first_text_in_time_from_the_start_of_the_process_too(
    meetings: dict[Case, "Future[Meeting]"],
) -> None:
    # not each of them: how fast Python starts depends on what else this machine does
    times = [future.result().since_start for case, future in meetings.items() if case[1] == "auto"]
    median = statistics.median(times)
    assert median <= FIRST_TEXT_SECONDS * PATIENCE, f"half of all waited longer than {median:.2f} s"


def _chained(lab: Lab, where: str, mark: str) -> tuple[Host, Host]:
    """Two hosts that are as the row of the table says."""
    if where.startswith("on one LAN"):
        home = lab.nat(f"{mark}.nat", Kind.PORT_RESTRICTED)
        return lab.host(f"{mark}.s", home.lan), lab.host(f"{mark}.j", home.lan)
    outer = lab.nat(f"{mark}.cgn", Kind.SYMMETRIC if "symmetric" in where else Kind.PORT_RESTRICTED)
    first = lab.host(f"{mark}.s", lab.nat(f"{mark}.in", Kind.PORT_RESTRICTED, outer).lan)
    if where.startswith("behind NATs of their own"):
        return first, lab.host(f"{mark}.j", lab.nat(f"{mark}.in2", Kind.PORT_RESTRICTED, outer).lan)
    kind = Kind.NONE if where.endswith("on the internet itself") else Kind.PORT_RESTRICTED
    return first, lab.behind(kind, f"{mark}.j")


@pytest.mark.parametrize("where", list(chained_pairs()))
def test_more_than_one_nat_or_only_one_between_two_people(
    where: str, lab: Lab, stage: Stage, measured: Measured
) -> None:
    hosts = _chained(lab, where, f"ch{list(chained_pairs()).index(where)}")
    for _ in range(max(REPETITIONS, 1)):
        meeting = stage.meet(*hosts, chained_pairs()[where])
        measured(where, meeting)
        expect_no_failure(meeting)


def test_far_apart_and_with_losses_two_people_meet_at_once_too(
    lab: Lab, stage: Stage, measured: Measured
) -> None:
    far = Wire(delay=0.025, jitter=0.005, loss=0.01)
    homes = [lab.nat(f"far{side}.nat", Kind.PORT_RESTRICTED).lan for side in "sj"]
    sharer, joiner = lab.host("fars", homes[0], far), lab.host("farj", homes[1], far)
    for _ in range(max(REPETITIONS, 1)):
        meeting = stage.meet(sharer, joiner, "direct")
        measured("100 ms of round trip, 2 % of loss, port-restricted - port-restricted", meeting)
        expect_no_failure(meeting)


def test_the_golden_table_has_every_pair_and_does_not_depend_on_who_shares() -> None:
    assert set(GOLDEN) == {(one, other) for one in Kind for other in Kind}
    assert all(GOLDEN[one, other] == GOLDEN[other, one] for one, other in GOLDEN)
    assert set(DOZEN) | set(UNRELAYED) <= set(GOLDEN)
