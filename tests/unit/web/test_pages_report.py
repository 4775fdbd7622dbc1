"""What stands beside the lift on a report: readings, power in the run, novelty, segments, offline, lists."""

from __future__ import annotations

import re

import pytest

from tests.unit.web.test_pages import check


def text_of(client, path: str = "/app/experiments/home-recs") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    check(answer.text)
    return answer.text.replace("\u00a0", " ")


def part(page: str, name: str) -> str:
    """The text of one section, without its tags."""
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    assert found, name
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


@pytest.fixture
def report(platform):
    return platform.store["home-recs"][1]


def test_blocks_stand_in_the_order_of_reading_and_can_be_linked_to(manager):
    page = text_of(manager)
    places = [page.index(f'<section id="{name}"') for name in (
        "verdict", "trust", "lift", "time", "power", "novelty", "where", "lists", "setup")]  # fmt: skip
    assert places == sorted(places)
    for name in ("trust-outliers", "trust-before", "readings", "positions", "segments", "offline-online"):
        assert f'id="{name}"' in page


def test_power_is_planned_and_now(manager, report):
    text = part(text_of(manager), "power")
    for words in (
        "The plan asks for a lift of 5.00 % on CTR", "80 % probability at the 95 % level", "planned for 14 days",
        "63 % there", "17 3 more than planned", "7.10 %", "5.50 %", "No unit differs from another.",
    ):  # fmt: skip
        assert words in text
    report["power"].update(stated=False, planned_days=None)
    text = part(text_of(manager), "power")
    assert "No smallest lift was planned" in text
    assert "No length was planned." in text


def test_cuped_gain_stands_where_it_was_used(manager, report):
    assert "nothing from before to use" in part(text_of(manager), "power")
    for comparison in report["metrics"][0]["comparisons"]:
        comparison["variance_reduction"] = 0.37
    page = text_of(manager)
    assert "37 %" in part(page, "power")
    assert "37 %" in part(page, "lift")
    report["power"]["cuped"] = False
    for comparison in report["metrics"][0]["comparisons"]:
        comparison["variance_reduction"] = None
    assert "CUPED was not chosen" in part(text_of(manager), "power")


def test_novelty_says_what_could_not_be_read(manager, report):
    page = text_of(manager)
    text = part(page, "novelty")
    assert "The lift fades with the days since exposure." in text
    assert "the control has nothing to compare with" in text
    assert "too few for an interval" in text
    assert 'data-figure="novelty"' in page
    for arm in report["novelty"]["arms"]:
        arm["days"] = []
    assert "There is no day since exposure with enough users" in part(text_of(manager), "novelty")


def test_a_report_without_these_blocks_has_none(manager, report):
    report["power"] = report["novelty"] = None
    page = text_of(manager)
    assert 'id="power"' not in page
    assert 'href="#novelty"' not in page


def test_readings_stand_side_by_side_and_those_not_chosen_have_no_column(manager, report):
    lift = part(text_of(manager), "lift")
    assert "At the planned look" not in lift
    assert "Bootstrap" not in lift
    first, second = report["metrics"][0]["comparisons"]
    first["group_sequential"] = {"look": 2, "looks": 5, "bound": 2.71, "lift_ci": [-0.02, 0.4], "reasons": {}}
    second["group_sequential"] = {"look": None, "looks": 5, "bound": None, "lift_ci": None, "reasons": {
        "lift_ci": {"code": "no_look", "text": "The first planned look has not been reached."}}}  # fmt: skip
    first["bootstrap"] = {"lift_ci": [0.03, 0.33], "draws": 2000, "method": "bootstrap of groups", "reasons": {}}
    first["bayesian"] |= {"lift_ci": [0.021, 0.355], "prior": "normal, 0 ± 10 %"}
    page = text_of(manager)
    lift = part(page, "lift")
    for words in ("[−2.0, +40.0]", "The first planned look has not been reached.", "[+3.0, +33.0]", "not drawn",
                  "[+2.1, +35.5]", "normal, 0 ± 10 %"):  # fmt: skip
        assert words in lift
    assert "look 2 of 5, bound 2.71" in page
    assert "bootstrap of groups, 2,000 draws" in page


def test_trust_says_what_was_not_checked(manager, report):
    assert "The time before the exposure cannot be compared" in part(text_of(manager), "trust")
    report["trust"] = [{"check": "before", "ok": False, "text": "before the exposure als differed already"}]
    text = part(text_of(manager), "trust")
    assert "Before the exposure als differed already" in text
    assert "cannot be compared" not in text
    assert "The influence of single users cannot be said" in text


def test_segments_come_with_their_test_and_corrected_p(manager):
    page = text_of(manager, "/app/experiments/home-recs?segment=country")
    text = part(page, "where")
    for words in (
        "Does the lift differ by country?",
        "2 values looked at.",
        "interaction p = .030",
        "p corrected",
        "few",
    ):
        assert words in text
    assert 'data-figure="segments"' in page
    none = part(text_of(manager, "/app/experiments/home-recs?segment=planet"), "where")
    assert "No exposed user has the attribute “planet”" in none


def test_offline_stands_beside_online(manager, platform):
    text = part(text_of(manager), "where")
    assert "nDCG@10" in text
    assert "+25.0 % +12.3 % [+1.0, +23.1] same direction" in text
    platform.shop["offline"][0]["results"][1]["online"][0]["offline_lift"] = -0.1
    assert "opposite directions" in part(text_of(manager), "where")
    platform.shop["offline"].clear()
    assert "No offline evaluation has these arms' strategies" in part(text_of(manager), "where")


def test_lists_say_what_is_not_measured(manager, report):
    text = part(text_of(manager), "lists")
    assert "8.00 % [7.00 %, 9.00 %] 7.1 bits 62.0 %" in text
    assert "needs items with categories" in text
    report["lists"] = [{"arm": arm["arm"], "coverage": None} for arm in report["arms"]]
    text = part(text_of(manager), "lists")
    assert "no list or no catalogue not measured for these lists" in text
