from datetime import UTC, datetime

import pytest

from reclift.domain.bucketing import hash_v2
from reclift.domain.decision import Decision, Reason, UnknownExperiment
from reclift.domain.experiment import Arm, Experiment, Holdout, LayerSlot, Status
from reclift.domain.groups import SavedGroup
from reclift.domain.plan import Plan

ARMS = (Arm("control", "popularity", control=True), Arm("item-cf", "item_cf"))
UNITS = [f"user-{i}" for i in range(2000)]


def experiment(key="home-recs", **fields):
    return Experiment(key, fields.pop("placement", "home"), fields.pop("arms", ARMS), **fields)


def unit_where(condition, units=UNITS):
    return next(unit for unit in units if condition(unit))


def test_a_unit_is_bucketed_by_the_hash():
    plan = Plan([experiment()])
    for unit in UNITS:
        arm = "control" if hash_v2("home-recs", unit) < 0.5 else "item-cf"
        assert plan.decide("home-recs", unit) == Decision("home-recs", arm, True, Reason.BUCKETED)


def test_arms_take_their_ranges_by_key_and_weight():
    plan = Plan([experiment(arms=(Arm("z", "s", weight=3), Arm("a", "s", weight=1, control=True)))])
    assert all((plan.decide("home-recs", unit).arm == "a") == (hash_v2("home-recs", unit) < 0.25) for unit in UNITS)


def test_a_new_phase_hashes_anew():
    plan = Plan([experiment(phase=2)])
    assert all((plan.decide("home-recs", u).arm == "control") == (hash_v2("home-recs:2", u) < 0.5) for u in UNITS)


def test_outside_of_the_traffic_the_answer_is_control_and_not_in():
    plan = Plan([experiment(traffic=0.1)])
    outside = unit_where(lambda unit: 0.2 < hash_v2("home-recs", unit) < 0.5)
    assert plan.decide("home-recs", outside) == Decision("home-recs", "control", False, Reason.NOT_IN_TRAFFIC)
    assert not plan.decide("home-recs", outside).counts


@pytest.mark.parametrize("status", [status for status in Status if status != Status.RUNNING])
def test_what_does_not_run_says_so_even_to_people_who_test(status):
    plan = Plan([experiment(status=status, overrides={"qa": "item-cf"})])
    assert plan.decide("home-recs", "qa") == Decision("home-recs", "control", False, Reason.NOT_RUNNING)
    assert plan.decide_all("qa") == []
    assert plan.for_placement("home", "qa") is None


def test_an_unknown_experiment_is_a_key_error_that_names_it():
    with pytest.raises(UnknownExperiment, match="'nope' does not exist") as caught:
        Plan([experiment()]).decide("nope", "u")
    assert isinstance(caught.value, KeyError)
    assert caught.value.key == "nope"


EVERYTHING = experiment(
    overrides={"qa": "item-cf", "lost": "gone"},
    exclude={"bot": True},
    audience={"country": "CN"},
    sticky=True,
    slot=LayerSlot("layer", 0.0, 0.5),
    traffic=0.25,
)


def unit_in(layer, bucket_from, bucket_to, *, held=False):
    return unit_where(
        lambda u: (
            (hash_v2("layer:layer", u) < 0.5) is layer
            and bucket_from <= hash_v2("home-recs", u) < bucket_to
            and (hash_v2("holdout:h", u) < 0.1) is held
        )
    )


IN_LAYER = unit_in(layer=True, bucket_from=0.5, bucket_to=0.75)
BEYOND = unit_in(layer=True, bucket_from=0.75, bucket_to=1)
ELSEWHERE = unit_in(layer=False, bucket_from=0, bucket_to=1)
HELD = unit_in(layer=True, bucket_from=0, bucket_to=0.25, held=True)


@pytest.mark.parametrize(
    ("unit", "attributes", "sticky", "expected"),
    [
        ("qa", {"bot": True}, "control", ("item-cf", True, "override")),
        ("lost", {"country": "US"}, None, ("control", False, "not_targeted")),
        (IN_LAYER, {"bot": True, "country": "CN"}, "item-cf", ("control", False, "not_targeted")),
        (HELD, {"country": "CN"}, "item-cf", ("control", False, "holdout")),
        (ELSEWHERE, {"country": "US"}, "item-cf", ("item-cf", True, "sticky")),
        (ELSEWHERE, {"country": "US"}, "gone", ("control", False, "not_targeted")),
        (ELSEWHERE, {"country": "US"}, None, ("control", False, "not_targeted")),
        (ELSEWHERE, {"country": "CN"}, None, ("control", False, "layer")),
        (IN_LAYER, {"country": "CN"}, None, ("item-cf", True, "bucketed")),
        (BEYOND, {"country": "CN"}, None, ("control", False, "not_in_traffic")),
        ("", {"country": "CN"}, None, ("control", False, "not_in_traffic")),
    ],
)
def test_precedence(unit, attributes, sticky, expected):
    plan = Plan([EVERYTHING], holdouts=[Holdout("h", 0.1)])
    assert plan.decide("home-recs", unit, attributes, sticky) == Decision("home-recs", *expected)


def test_what_is_met_is_only_kept_where_the_experiment_is_sticky():
    unit = unit_where(lambda u: hash_v2("home-recs", u) < 0.5)
    assert Plan([experiment()]).decide("home-recs", unit, None, "item-cf").reason is Reason.BUCKETED
    assert Plan([experiment(sticky=True)]).decide("home-recs", unit, None, "item-cf").arm == "item-cf"


def test_people_who_test_do_not_count():
    plan = Plan([experiment(overrides={"qa": "item-cf"}, sticky=True)])
    assert not plan.decide("home-recs", "qa").counts
    assert plan.decide("home-recs", "u1").counts
    assert plan.decide("home-recs", "u1", None, "control").counts


def test_the_id_is_the_unit_whatever_was_sent_under_this_name():
    plan = Plan([experiment(audience={"id": {"$inGroup": "beta"}})], groups=[SavedGroup("beta", values=("u1",))])
    assert plan.decide("home-recs", "u1", {"id": "u2"}).in_experiment
    assert plan.decide("home-recs", "u2", {"id": "u1"}).reason is Reason.NOT_TARGETED


def test_a_condition_that_broke_lets_nobody_in_and_is_reported():
    unit = {"country": "CN"}
    plan = Plan([experiment(audience={"$or": [{"country": "CN"}, {"id": {"$inGroup": "deleted"}}]}),
                 experiment("second", exclude={"x": {"$foo": 1}})])  # fmt: skip
    assert {key: [p.field for p in found] for key, found in plan.problems.items()} == {
        "home-recs": ["audience.$or.1.id.$inGroup"], "second": ["exclude.x.$foo"],
    }  # fmt: skip
    assert {d.reason for u in UNITS for d in plan.decide_all(u, unit)} == {Reason.NOT_TARGETED}


class TestPlacements:
    first = experiment("first", started_at=datetime(2024, 1, 1, tzinfo=UTC), audience={"country": "CN"})
    second = experiment("a-second", started_at=datetime(2024, 2, 1, tzinfo=UTC), overrides={"qa": "item-cf"})
    other = experiment("other", placement="cart", started_at=datetime(2023, 1, 1, tzinfo=UTC))
    plan = Plan([second, other, first], version=7)

    def test_the_experiment_that_started_first_is_asked_first(self):
        assert self.plan.for_placement("home", "u1", {"country": "CN"}).experiment == "first"
        assert self.plan.for_placement("home", "u1", {"country": "US"}).experiment == "a-second"
        assert [one.key for one in self.plan.running] == ["other", "first", "a-second"]

    def test_overrides_come_before_all(self):
        assert self.plan.for_placement("home", "qa", {"country": "CN"}) == ("a-second", "item-cf", True, "override")

    def test_nobody_in_is_none(self):
        assert self.plan.for_placement("nowhere", "u1") is None
        assert Plan([self.first]).for_placement("home", "u1") is None

    def test_sticky_is_told_by_experiment(self):
        plan = Plan([experiment("s", sticky=True, audience={"country": "CN"}), experiment("t")])
        assert plan.for_placement("home", "u1", {}, {"s": "item-cf"}) == ("s", "item-cf", True, "sticky")
        assert plan.decide_all("u1", {}, {"s": "item-cf"})[0].reason is Reason.STICKY

    def test_all_decisions_come_in_order_of_start(self):
        assert [d.experiment for d in self.plan.decide_all("u1")] == ["other", "first", "a-second"]

    def test_the_arm_behind_a_decision(self):
        decision = self.plan.for_placement("home", "qa")
        assert self.plan.arm(decision).strategy == "item_cf"
        assert self.plan.version == 7


class TestHoldouts:
    plan = Plan(
        [experiment(), experiment("cart-recs", placement="cart")],
        holdouts=[
            Holdout("all", 0.05),
            Holdout("home-only", 0.1, placement="home"),
            Holdout("over", 1.0, status=Status.STOPPED),
        ],
    )

    def test_who_is_held_out_is_in_no_experiment_there(self):
        for unit in UNITS:
            everywhere = hash_v2("holdout:all", unit) < 0.05
            at_home = everywhere or hash_v2("holdout:home-only", unit) < 0.1
            assert (self.plan.decide("home-recs", unit).reason is Reason.HOLDOUT) == at_home
            assert (self.plan.decide("cart-recs", unit).reason is Reason.HOLDOUT) == everywhere
            assert (self.plan.for_placement("home", unit) is None) == at_home

    def test_it_is_measured_like_an_experiment(self):
        held = unit_where(lambda u: hash_v2("holdout:all", u) < 0.05 and hash_v2("holdout:home-only", u) >= 0.1)
        assert self.plan.holdouts_for("home", held) == (
            ("all", "held-out", True, "bucketed"), ("home-only", "open", True, "bucketed"),
        )  # fmt: skip
        assert [d.experiment for d in self.plan.holdouts_for("cart", held)] == ["all"]
        assert self.plan.decide("all", held).arm == "held-out"
        assert self.plan.decide("over", held) == ("over", "held-out", False, "not_running")

    def test_a_new_phase_of_a_holdout_hashes_anew(self):
        assert Holdout("all", 0.05, phase=2).seed == "holdout:all:2"


@pytest.mark.parametrize(
    ("experiments", "holdouts"),
    [([experiment(), experiment()], []), ([experiment("h")], [Holdout("h", 0.1)])],
)
def test_keys_are_unique(experiments, holdouts):
    with pytest.raises(ValueError, match="must differ"):
        Plan(experiments, holdouts=holdouts)


def test_what_is_remembered_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr("reclift.domain.plan._REMEMBERED", 100)
    running = [experiment(slot=LayerSlot("l", 0, 0.7), audience={"country": "CN"}), experiment("second")]
    plan, fresh = Plan(running), Plan(running)
    attributes = {"country": "CN"}
    expected = [fresh.decide("home-recs", unit, attributes) for unit in UNITS]
    for _ in range(2):
        assert [plan.decide("home-recs", unit, attributes) for unit in UNITS] == expected
        assert [plan.decide("home-recs", UNITS[0], attributes) for _ in range(3)] == expected[:1] * 3
        assert plan.decide("home-recs", UNITS[0], {}).reason is Reason.NOT_TARGETED
        assert [plan.decide("second", unit) for unit in UNITS] == [fresh.decide("second", unit) for unit in UNITS]
    assert sum(len(one._memo) for one in plan._running) <= 100


def test_all_at_once_is_the_same_as_one_by_one():
    many = [experiment(f"e-{i}", slot=LayerSlot("l", 0, 0.5) if i % 2 else None, traffic=0.8) for i in range(30)]
    plan = Plan(many, holdouts=[Holdout("h", 0.2)])
    for unit in [*UNITS[:200], "日本", "😀"]:
        assert plan.decide_all(unit) == [plan.decide(one.key, unit) for one in plan.running]


def test_decisions_are_shared_not_made():
    plan = Plan([experiment()])
    assert plan.decide("home-recs", "u1") is plan.decide("home-recs", "u1")
