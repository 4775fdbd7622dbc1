"""What an event counts for: each sentence of docs/events.md about it, on a real log, through ingest and rollup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from reclift.domain.events import MICROS, Facts
from reclift.flows import catalogue, rollup
from reclift.flows.clock import now_micros, to_datetime
from reclift.storage.aggregates import arm_counts
from reclift.storage.tables import EventRow, ExperimentUnit, PositionTotal, UnitDay, UnitTotal
from reclift.wiring import Runtime
from tests.platform_fixtures import build_runtime
from tests.properties.rollup_reference import DAY, HOUR
from tests.properties.rollup_world import set_up
from tests.services import PostgresServer
from tests.shared_data import ROOT
from tests.unit.storage.rows import impression

T0 = (now_micros() // DAY - 20) * DAY + 10 * HOUR
"""The exposure of most cases: 20 days ago, at ten o'clock."""
SKEW = 300 * MICROS

Rule = Callable[["World"], None]
RULES: dict[str, Rule] = {}


def rule(sentence: str) -> Callable[[Rule], Rule]:
    """The test of one sentence, or of a part of one."""

    def register(test: Rule) -> Rule:
        assert sentence not in RULES
        RULES[sentence] = test
        return test

    return register


@dataclass
class World:
    """One case: units of its own in the two experiments `one` (on `home`) and `two` (on `cart`)."""

    runtime: Runtime
    unit: str
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000)))

    def send(self, kind: str, at: int | None = T0, *, unit: str | None = None, **more: Any) -> str:
        """One event by way of `/events`; its id."""
        name = str(more.pop("event_id", f"{self.unit}-{next(self._numbers)}"))
        raw = {"type": kind, "event_id": name, "user_id": unit or self.unit, **more}
        if at is not None:
            raw["timestamp"] = to_datetime(at).isoformat()
        taken = self.runtime.ingest.ingest(self.runtime.live.current, [raw])
        assert taken["rejected"] == []
        return name

    def expose(self, at: int = T0, arm: str = "a", *, unit: str | None = None, experiment: str = "one") -> None:
        self.send("exposure", at, unit=unit, properties={"experiment": experiment, "arm": arm})

    def show(self, name: str, at: int = T0, arm: str | None = "a", *, unit: str | None = None, **more: Any) -> str:
        """A list, as `/recommend` logs it; its id."""
        facts = {"experiment": "one", "phase": 1, "arm": arm, "items": [{"item_id": "i1", "position": 1}], **more}
        self.runtime.event_log.append(
            Facts(impressions=[impression(f"{self.unit}-{name}", unit or self.unit, at, **facts)])
        )
        return f"{self.unit}-{name}"

    def roll_up(self) -> None:
        rollup.roll_up(self.runtime.database)

    def total(self, metric: str, *, unit: str | None = None, experiment: str = "one") -> tuple[float, ...]:
        """numerator, denominator, and both before the exposure, after a rollup."""
        self.roll_up()
        with self.runtime.database.read() as session:
            whose = {"experiment": experiment, "phase": 1, "unit_id": unit or self.unit, "metric": metric}
            row = session.scalars(select(UnitTotal).filter_by(**whose)).one_or_none()
        if row is None:
            return (0.0, 0.0, 0.0, 0.0)
        return (row.numerator, row.denominator, row.pre_numerator, row.pre_denominator)

    def stored(self, event_id: str) -> EventRow:
        with self.runtime.database.read() as session:
            return session.scalars(select(EventRow).where(EventRow.event_id == event_id)).one()

    def state(self, unit: str | None = None) -> ExperimentUnit | None:
        self.roll_up()
        with self.runtime.database.read() as session:
            return session.get(ExperimentUnit, ("one", 1, unit or self.unit))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("attribution")
    server: PostgresServer | None = None
    url = ""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        url = server.create_database("test_attribution")
    runtime = build_runtime(folder, database_url=url)
    runtime.set_up()
    set_up(runtime.database)
    runtime.live.refresh()
    yield runtime
    runtime.close()
    if server is not None:
        server.drop_database("test_attribution")


def sentences() -> list[str]:
    """Every sentence of the section that states a rule: its bullets."""
    section = (ROOT / "docs" / "events.md").read_text().split("## What an event counts for")[1].split("\n## ")[0]
    return [" ".join(bullet.split()) for bullet in re.findall(r"^- (.*(?:\n  .*)*)", section, re.MULTILINE)]


def test_each_sentence_has_a_test() -> None:
    assert sorted(RULES) == sorted(sentences())


@pytest.mark.parametrize("sentence", RULES)
def test_it_is_as_written(platform: Runtime, sentence: str) -> None:
    RULES[sentence](World(platform, RULES[sentence].__name__))


# Time


@rule("An event without a `timestamp` happened when it arrived.")
def no_timestamp(w: World) -> None:
    before = now_micros()
    row = w.stored(w.send("click", None))
    assert before <= row.at == row.received_at <= now_micros()
    assert row.client_at is None


@rule("A timestamp further ahead than `RECLIFT_MAX_CLOCK_SKEW_SECONDS` is clamped to the arrival; both are kept.")
def clock_far_ahead(w: World) -> None:
    said = (now_micros() // MICROS) * MICROS + SKEW + 60 * MICROS
    row = w.stored(w.send("click", said))
    assert row.at == row.received_at < said == row.client_at


@rule("A timestamp that is ahead by less is believed.")
def clock_a_little_ahead(w: World) -> None:
    said = (now_micros() // MICROS) * MICROS + SKEW - 60 * MICROS
    row = w.stored(w.send("click", said))
    assert row.received_at < row.at == said == row.client_at


@rule("A timestamp in the past is believed, however old: that is how offline devices and imports work.")
def long_ago(w: World) -> None:
    assert w.stored(w.send("click", 86_400 * MICROS)).at == 86_400 * MICROS


@rule("The same `event_id` with another time is the same event: the first that came stays.")
def same_id_other_time(w: World) -> None:
    w.expose()
    for at in (T0 + HOUR, T0 - 300 * DAY, T0 + 2 * HOUR):
        w.send("purchase", at, event_id="same", value=5.0)
    assert w.stored("same").at == T0 + HOUR
    assert w.total("revenue")[0] == 5.0


# Direct


@rule("It counts if that names a list of this experiment and of the unit's arm, shown at or after the first exposure.")
def own_list(w: World) -> None:
    w.expose()
    for name, at in (("at", T0), ("after", T0 + DAY), ("before", T0 - 1)):
        w.send("click", at + 5 * MICROS, recommendation_id=w.show(name, at))
    assert w.total("rate") == (2.0, 2.0, 0.0, 1.0)


@rule("A list of another experiment or another arm does not count.")
def foreign_list(w: World) -> None:
    w.expose()
    w.send("click", T0 + HOUR, recommendation_id=w.show("arm", T0, "b"))
    w.send("click", T0 + HOUR, recommendation_id=w.show("experiment", T0, "a", experiment="two", placement="cart"))
    w.send("click", T0 + HOUR, recommendation_id=w.show("none", T0, None, experiment=None, phase=None))
    assert w.total("rate") == (0.0, 0.0, 0.0, 0.0)


@rule("A list of another unit does not count, nor one that nobody knows.")
def list_of_another_unit(w: World) -> None:
    other = f"{w.unit}-other"
    w.expose()
    w.expose(unit=other)
    shown = w.show("other", T0, unit=other)
    w.send("click", T0 + HOUR, recommendation_id=shown, item_id="i1")
    w.send("click", T0 + HOUR, recommendation_id="nobody knows")
    w.send("purchase", T0 + HOUR, recommendation_id=shown, value=2.0)
    assert w.total("rate") == (0.0, 0.0, 0.0, 0.0)
    assert w.total("rate", unit=other) == (0.0, 1.0, 0.0, 0.0)
    # By intention to treat it is theirs who did it.
    assert (w.total("revenue")[0], w.total("revenue", unit=other)[0]) == (2.0, 0.0)
    with w.runtime.database.read() as session:
        assert session.get_one(PositionTotal, ("one", 1, other, 1)).clicks == 0


@rule("An event that comes before its list is stored counts as soon as the list is there.")
def event_before_its_list(w: World) -> None:
    w.expose()
    w.send("click", T0 + HOUR, recommendation_id=f"{w.unit}-late")
    assert w.total("rate")[0] == 0.0
    w.show("late", T0)
    assert w.total("rate") == (1.0, 1.0, 0.0, 0.0)


@rule("Such an event never precedes its list: where a client's clock is behind, the list's time counts.")
def clock_behind(w: World) -> None:
    w.expose()
    shown = w.show("list", T0 + DAY)
    for behind in (MICROS, 2 * DAY, 400 * DAY):
        w.send("click", T0 + DAY - behind, recommendation_id=shown, item_id=f"i{behind}")
    w.send("click", DAY, recommendation_id=shown, item_id="i1")  # a clock that begins in 1970
    assert w.total("rate") == (4.0, 1.0, 0.0, 0.0)
    with w.runtime.database.read() as session:
        query = select(UnitDay.day, UnitDay.numerator).where(UnitDay.unit_id == w.unit, UnitDay.metric == "rate")
        assert [tuple(row) for row in session.execute(query)] == [((T0 + DAY) // DAY, 4.0)]
        assert session.get_one(PositionTotal, ("one", 1, w.unit, 1)).clicks == 1


@rule("What arrived more than half a day before the list was shown is none of it.")
def long_before_its_list(w: World) -> None:
    w.expose()
    for name, ahead in (("soon", 11 * HOUR), ("later", 13 * HOUR)):
        w.send("click", T0 + HOUR, recommendation_id=w.show(name, now_micros() + ahead), item_id="i1")
    assert w.total("rate") == (1.0, 2.0, 0.0, 0.0)
    with w.runtime.database.read() as session:
        assert session.get_one(PositionTotal, ("one", 1, w.unit, 1)).clicks == 1


@rule("A window bounds direct events too, by the time that counts.")
def window_of_direct_events(w: World) -> None:
    w.expose()
    late = w.show("late", T0 + 12 * HOUR)  # `clicked` has a window of 12 hours
    w.send("click", T0 + HOUR, recommendation_id=late)  # the list's time counts, and that is outside
    w.send("click", T0 + 12 * HOUR, recommendation_id=w.show("early", T0))
    assert w.total("clicked")[0] == 0.0
    w.send("click", T0 + 12 * HOUR - 1, recommendation_id=w.show("early2", T0))
    assert w.total("clicked")[0] == 1.0


# Intention to treat


@rule("An event at the very moment of the first exposure counts.")
def at_the_exposure(w: World) -> None:
    w.expose()
    w.send(
        "purchase", T0, value=3.0, recommendation_id=w.show("elsewhere", T0, "a", experiment="two", placement="cart")
    )
    assert w.total("revenue") == (3.0, 0.0, 0.0, 0.0)


@rule("An event one microsecond before the end of the metric's window counts, one at the end does not.")
def end_of_the_window(w: World) -> None:
    w.expose()
    w.send("purchase", T0 + 48 * HOUR - 1, value=1.0)
    w.send("purchase", T0 + 48 * HOUR, value=2.0)
    assert w.total("revenue") == (1.0, 0.0, 0.0, 0.0)
    assert w.total("p") == (0.0, 0.0, 0.0, 0.0)


@rule("Without a window there is no end.")
def no_window(w: World) -> None:
    w.expose(T0 - 4_000 * DAY)
    for _ in range(3):
        w.send("purchase", T0)
    assert w.total("p3")[0] == 1.0


@rule("What a unit does that was never exposed counts nowhere.")
def never_exposed(w: World) -> None:
    w.send("purchase", T0, value=3.0)
    w.send("click", T0, recommendation_id=w.show("list", T0))
    assert w.state() is None
    assert w.total("revenue") == w.total("rate") == (0.0, 0.0, 0.0, 0.0)


# Before the exposure


@rule("Events before the first exposure count for nothing but variance reduction (CUPED).")
def before_the_exposure(w: World) -> None:
    w.expose()
    w.send("purchase", T0 - 1, value=3.0)
    assert w.total("revenue") == (0.0, 0.0, 3.0, 0.0)


@rule(
    "The pre-period is as long as the metric's window, 7 days where it has none; an event at its very beginning "
    "belongs to it."
)
def pre_period(w: World) -> None:
    w.expose()
    for at, value in ((T0 - 48 * HOUR, 1.0), (T0 - 48 * HOUR - 1, 10.0)):
        w.send("purchase", at, value=value)
    assert w.total("revenue") == (0.0, 0.0, 1.0, 0.0)
    for at in (T0 - 7 * DAY, T0 - 7 * DAY - 1):
        w.send("purchase", at, value=100.0)
    assert w.total("basket") == (0.0, 0.0, 111.0, 3.0)


@rule(
    "Lists shown in it, and clicks on them, count there whatever decided them, if they were on the experiment's "
    "placement."
)
def earlier_lists(w: World) -> None:
    w.expose()
    for name, at in (("first", T0 - 7 * DAY), ("too old", T0 - 7 * DAY - 1)):
        shown = w.show(name, at, None, experiment=None, phase=None)
        w.send("click", T0 - DAY, recommendation_id=shown)
    w.send("click", T0 - DAY, recommendation_id=w.show("other", T0 - 2 * DAY, "b"))
    w.send("click", T0 - DAY, recommendation_id=w.show("cart", T0 - 2 * DAY, "a", placement="cart"))
    assert w.total("rate") == (0.0, 0.0, 2.0, 2.0)


# Order


@rule("An exposure that arrives after its conversion counts by its own time.")
def exposure_after_its_conversion(w: World) -> None:
    w.send("purchase", T0 + HOUR, value=3.0)
    assert w.total("revenue")[0] == 0.0
    w.expose()
    assert w.total("revenue") == (3.0, 0.0, 0.0, 0.0)


@rule("An earlier exposure that arrives late moves the beginning: totals are computed anew.")
def earlier_exposure(w: World) -> None:
    w.expose(T0 + 2 * HOUR)
    w.send("purchase", T0 + HOUR, value=3.0)
    assert w.total("revenue") == (0.0, 0.0, 3.0, 0.0)
    w.expose(T0)
    assert w.total("revenue") == (3.0, 0.0, 0.0, 0.0)
    w.expose(T0 + HOUR + 1)
    assert w.total("revenue") == (3.0, 0.0, 0.0, 0.0)


@rule("An event that arrives days late counts as if it had come at once.")
def late_event(w: World) -> None:
    w.expose()
    w.send("purchase", T0 + 2 * HOUR, value=1.0)
    assert w.total("revenue")[0] == 1.0
    w.send("purchase", T0 + HOUR, value=2.0)  # 20 days late, and before the one that is there
    assert w.total("revenue") == (3.0, 0.0, 0.0, 0.0)
    assert w.total("p")[0] == 1.0


@rule(
    "A unit with new facts is recomputed whole, from all facts that its totals can depend on; the rollup does not read "
    "a person's years before the pre-period of the first experiment that is not settled."
)
def years_before(w: World) -> None:
    w.expose(T0 - 60 * DAY, experiment="two")
    w.expose()
    for day in range(0, 4_000, 50):
        w.send("purchase", T0 - day * DAY, value=1.0)
    assert w.total("revenue") == (1.0, 0.0, 0.0, 0.0)
    assert w.total("p3", experiment="two")[0] == 0.0
    w.send("purchase", T0 - 59 * DAY)
    assert w.total("p3", experiment="two")[0] == 1.0


# Devices


@rule("When an alias becomes known, what was logged under it counts for the person.")
def alias(w: World) -> None:
    device = f"{w.unit}-device"
    w.expose()
    w.send("purchase", T0 + HOUR, unit=device, value=4.0)
    assert w.total("revenue")[0] == 0.0
    make_known(w, device)
    assert w.total("revenue") == (4.0, 0.0, 0.0, 0.0)


@rule("What still comes under the old id counts for the person too.")
def alias_later(w: World) -> None:
    device = f"{w.unit}-device"
    w.expose()
    make_known(w, device)
    w.send("purchase", T0 + HOUR, unit=device, value=4.0)
    w.runtime.live.refresh()
    w.send("purchase", T0 + HOUR, unit=device, value=8.0)
    assert w.total("revenue") == (12.0, 0.0, 0.0, 0.0)


@rule("The earliest exposure of all devices is the person's.")
def earliest_of_all(w: World) -> None:
    device = f"{w.unit}-device"
    w.expose(T0)
    w.expose(T0 - DAY, unit=device)
    w.send("purchase", T0 - HOUR, value=4.0)
    assert w.total("revenue") == (0.0, 0.0, 4.0, 0.0)
    make_known(w, device)
    assert w.total("revenue") == (4.0, 0.0, 0.0, 0.0)
    state = w.state()
    assert state is not None
    assert (state.exposed_at, state.arms_seen) == (T0 - DAY, 1)
    assert w.state(device) is None


@rule("A person who met two arms is counted as such and left out of the comparison.")
def two_arms(w: World) -> None:
    device = f"{w.unit}-device"
    w.expose(T0, "a")
    w.expose(T0 + HOUR, "b", unit=device)
    w.roll_up()
    before = compared(w)
    make_known(w, device)
    state = w.state()
    assert state is not None
    assert (state.arm, state.arms_seen) == ("a", 2)
    assert (before["a"] - compared(w)["a"], before["b"] - compared(w).get("b", 0)) == (1, 1)


def make_known(w: World, device: str) -> None:
    with w.runtime.database.write() as session:
        catalogue.add_alias(session, w.unit, device)


def compared(w: World) -> dict[str, int]:
    """Arm -> units in the comparison."""
    with w.runtime.database.read() as session:
        return {arm: counts.units for arm, counts in arm_counts(session, "one", 1).items()}
