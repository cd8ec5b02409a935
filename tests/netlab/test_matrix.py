"""Everybody meets everybody: the path is that of docs/connectivity.md, whatever stands between.

A dozen pairs run with all tests; `make netlab` runs every pair, twenty times.
"""

import statistics
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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

AT_ONCE: Final = 2 if REPETITIONS else 3
"""Meetings; each takes a second of a processor, and more of them measure each other."""

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

FAR: Final = "100 ms of round trip and 2 % of loss apart, both behind port-restricted NATs"
CHAINED: Final = {**chained_pairs(), FAR: "direct"}
"""The path by where two people are who are not simply behind one NAT each."""


@dataclass(frozen=True, slots=True)
class Case:
    """Who meets whom, with which `--path`, and which repetition that is."""

    where: Pair | str
    policy: str
    turn: int

    @property
    def name(self) -> str:
        """For the table of what was measured."""
        where = self.where if isinstance(self.where, str) else " - ".join(self.where)
        return where + (", no relay" if self.policy == "direct" else "")

    @property
    def slack(self) -> float:
        """How many times the usual limit the path may take: a packet may be lost at any step, and twice."""
        return 2.0 if self.where == FAR else 1.0

    @property
    def expected(self) -> str:
        """The path that the documentation promises."""
        return CHAINED[self.where] if isinstance(self.where, str) else GOLDEN[self.where]


def _cases(places: Iterable[Pair | str], policy: str) -> list[Case]:
    places = list(places)
    return [Case(where, policy, turn) for turn in range(max(REPETITIONS, 1)) for where in places]


ALL: Final = _cases(GOLDEN if REPETITIONS else DOZEN, "auto")
FORBIDDEN: Final = _cases([p for p in GOLDEN if GOLDEN[p] == "turn"] if REPETITIONS else UNRELAYED, "direct")
OTHERS: Final = _cases(CHAINED, "auto")


def _named(case: Case) -> str:
    return case.name + (f" - {case.turn + 1}" if REPETITIONS else "")


class Homes:
    """Hosts as the cases ask for them, made once each."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._made: dict[tuple[Pair | str | Kind, str], Host] = {}

    def of(self, case: Case) -> tuple[Host, Host]:
        """The sharer's and the joiner's."""
        if isinstance(case.where, str):
            if (case.where, "s") not in self._made:
                mark = f"ch{list(CHAINED).index(case.where)}"
                hosts = _chained(self._lab, case.where, mark)
                self._made[case.where, "s"], self._made[case.where, "j"] = hosts
            return self._made[case.where, "s"], self._made[case.where, "j"]
        return self._home(case.where[0], "s"), self._home(case.where[1], "j")

    def _home(self, kind: Kind, side: str) -> Host:
        if (kind, side) not in self._made:
            self._made[kind, side] = self._lab.behind(kind, f"{side}{list(Kind).index(kind)}")
        return self._made[kind, side]


def _chained(lab: Lab, where: str, mark: str) -> tuple[Host, Host]:
    """Two hosts that are as the row of the table says."""
    if where == FAR:
        far = Wire(delay=0.025, jitter=0.005, loss=0.01)
        homes = [lab.nat(f"{mark}.nat{side}", Kind.PORT_RESTRICTED).lan for side in "sj"]
        return lab.host(f"{mark}.s", homes[0], far), lab.host(f"{mark}.j", homes[1], far)
    if where.startswith("on one LAN"):
        home = lab.nat(f"{mark}.nat", Kind.PORT_RESTRICTED)
        return lab.host(f"{mark}.s", home.lan), lab.host(f"{mark}.j", home.lan)
    outer = lab.nat(f"{mark}.cgn", Kind.SYMMETRIC if "symmetric" in where else Kind.PORT_RESTRICTED)
    first = lab.host(f"{mark}.s", lab.nat(f"{mark}.in", Kind.PORT_RESTRICTED, outer).lan)
    if where.startswith("behind NATs of their own"):
        return first, lab.host(f"{mark}.j", lab.nat(f"{mark}.in2", Kind.PORT_RESTRICTED, outer).lan)
    kind = Kind.NONE if where.endswith("on the internet itself") else Kind.PORT_RESTRICTED
    return first, lab.behind(kind, f"{mark}.j")


Meetings = dict[Case, "Future[Meeting]"]


@pytest.fixture(scope="module")
def meetings(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Meetings]:
    """All meetings that the selected tests ask for, as they take place in the background."""
    items = [item for item in request.session.items if item.path == request.path]
    chosen = [getattr(item, "callspec", None) for item in items]
    cases = [call.params["case"] for call in chosen if call is not None and "case" in call.params]
    homes = Homes(stage.lab)
    hosts = {case: homes.of(case) for case in cases}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            case: pool.submit(stage.meet, *hosts[case], case.expected, case.policy, slack=case.slack)
            for case in cases
        }
        pool.shutdown(cancel_futures=True)


def expect_no_failure(case: Case, meetings: Meetings, measured: Measured) -> None:
    """Fail with what both sides said, and not with a trace of this module."""
    meeting = meetings[case].result()
    measured(case.name, meeting)
    if meeting.failure:
        pytest.fail(meeting.failure, pytrace=False)


@pytest.mark.parametrize("case", ALL, ids=_named)
def test_two_people_meet_at_once_and_get_the_path_of_the_golden_table(
    case: Case, meetings: Meetings, measured: Measured
) -> None:
    expect_no_failure(case, meetings, measured)


@pytest.mark.parametrize("case", FORBIDDEN, ids=_named)
def test_where_nothing_is_direct_turn_carries_everything_when_the_relay_is_forbidden(
    case: Case, meetings: Meetings, measured: Measured
) -> None:
    expect_no_failure(case, meetings, measured)


@pytest.mark.parametrize("case", OTHERS, ids=_named)
def test_so_they_do_through_two_nats_in_a_row_on_one_lan_and_far_apart(
    case: Case, meetings: Meetings, measured: Measured
) -> None:
    expect_no_failure(case, meetings, measured)


def test_most_have_their_first_text_in_time_from_the_start_of_the_process_too(meetings: Meetings) -> None:
    # not each of them, and with more time beside other tests: Python's start depends on what else runs here
    times = [future.result().since_start for case, future in meetings.items() if case.policy == "auto"]
    limit = FIRST_TEXT_SECONDS * PATIENCE * (1 if REPETITIONS else 3)
    if times:
        assert statistics.median(times) <= limit, f"half waited longer than {statistics.median(times):.2f} s"


def test_the_golden_table_has_every_pair_and_does_not_depend_on_who_shares() -> None:
    assert set(GOLDEN) == {(one, other) for one in Kind for other in Kind}
    assert all(GOLDEN[one, other] == GOLDEN[other, one] for one, other in GOLDEN)
    assert set(DOZEN) | set(UNRELAYED) <= set(GOLDEN)
