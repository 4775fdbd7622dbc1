from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reclift.web import format as fmt

N = "\u00a0"


@pytest.mark.parametrize(("value", "text"), [
    (0.123, f"+12.3{N}%"), (-0.05, f"\u22125.0{N}%"), (0.0, f"0.0{N}%"), (-0.0001, f"0.0{N}%"), (12.5, f"+1,250{N}%"),
])  # fmt: skip
def test_a_lift_has_a_sign_and_a_real_minus(value, text):
    assert fmt.lift(value) == text


@pytest.mark.parametrize(("bounds", "text"), [
    ((0.01, 0.231), "[+1.0, +23.1]"), ((-0.02, 0.26), "[\u22122.0, +26.0]"), ((0, 0.1), "[0.0, +10.0]"),
    ((None, 0.1), "[\u2212∞, +10.0]"), ((-0.5, float("inf")), "[\u221250.0, +∞]"), ((0.5, 12.0), "[+50, +1,200]"),
])  # fmt: skip
def test_an_interval_shows_both_bounds_or_that_it_is_open(bounds, text):
    assert fmt.interval(bounds) == text


@pytest.mark.parametrize(("value", "text"), [
    (0.0046, "0.46"), (0.5, "50.0"), (1.0, "100"), (0.0, "0"), (0.09996, "10.0"), (-0.0123, "\u22121.23"),
])  # fmt: skip
def test_rates(value, text):
    assert fmt.percent(value) == text + N + "%"


def test_a_chosen_share_keeps_what_was_chosen():
    assert [fmt.share(v) for v in (1, 0.34, 0.3333, 0.005)] == [f"{t}{N}%" for t in ("100", "34", "33.33", "0.5")]


@pytest.mark.parametrize(("value", "text"), [
    (0.031, ".031"), (0.00099, f"<{N}.001"), (0.001, ".001"), (0.9999, "1"), (1.0, "1"), (0.5, ".500"),
])  # fmt: skip
def test_p_values_as_journals_print_them(value, text):
    assert fmt.p_value(value) == text


def test_p_in_running_text():
    assert fmt.p_equals(0.031) == f"p{N}={N}.031"
    assert fmt.p_equals(0.0001) == f"p{N}<{N}.001"


@pytest.mark.parametrize(("value", "text"), [
    (12431, "12,431"), (3.14159, "3.142"), (0.0314159, "0.03142"), (0, "0"), (-2.5, "\u22122.5"), (1e-12, "0"),
])  # fmt: skip
def test_numbers_have_about_four_figures(value, text):
    assert fmt.number(value) == text


def test_money_with_its_currency():
    assert fmt.money(1234.5, "GBP") == "£1,234.50"
    assert fmt.money(-1.2, "USD") == "\u2212$1.20"
    assert fmt.money(3, "sek") == f"3.00{N}SEK"
    assert fmt.money(3) == "3.00"


def test_a_measure_follows_its_metric():
    assert fmt.measure(0.031, "percent") == f"3.10{N}%"
    assert fmt.measure(4.21, "ms") == f"4.2{N}ms"
    assert fmt.measure(182.4, "ms") == f"182{N}ms"
    assert fmt.measure(1.5, "money", "EUR") == "€1.50"
    assert fmt.measure(1.5) == "1.5"


@pytest.mark.parametrize("function", [fmt.lift, fmt.percent, fmt.number, fmt.p_value, fmt.money, fmt.count])
def test_what_is_missing_is_never_a_number(function):
    with pytest.raises(TypeError):
        function(None)


@pytest.mark.parametrize(
    ("value", "text"), [(0.42, "0.4 s"), (41, "41 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (60, "1 min")]
)
def test_durations(value, text):
    assert fmt.seconds(value).replace(N, " ") == text


@pytest.mark.parametrize(("value", "text"), [(812, "812 B"), (1_420_000, "1.4 MB"), (5e12, "5,000.0 GB")])
def test_sizes(value, text):
    assert fmt.size(value).replace(N, " ") == text


def test_times_are_shown_in_utc():
    assert fmt.when("2026-11-25T08:32:00+01:00").replace(N, " ") == "25 Nov 2026, 07:32 UTC"
    assert fmt.moment("2026-11-25T07:32:00") == datetime(2026, 11, 25, 7, 32, tzinfo=UTC)


@pytest.mark.parametrize(("passed", "text"), [
    (timedelta(seconds=20), "just now"), (timedelta(minutes=5), "5 min ago"), (timedelta(hours=3), "3 h ago"),
    (timedelta(days=1), "1 day ago"), (timedelta(days=2), "2 days ago"), (timedelta(days=30), "26 Oct 2026"),
    (timedelta(hours=-2), "25 Nov 2026, 09:32 UTC"),
])  # fmt: skip
def test_how_long_ago(passed, text):
    now = datetime(2026, 11, 25, 7, 32, tzinfo=UTC)
    assert fmt.ago((now - passed).isoformat(), now).replace(N, " ") == text


def test_stamps_in_a_sentence_are_put_as_people_say_them():
    now = datetime(2026, 11, 25, 8, 15, tzinfo=UTC)
    assert fmt.readable("last one 2026-11-25T08:10:53.690Z, ok", now).replace(N, " ") == "last one 4 min ago, ok"
    assert fmt.readable("ok, 0 queued", now) == "ok, 0 queued"


def test_scores_have_equally_many_decimals_and_short_times_are_not_zero():
    assert [fmt.score(v) for v in (0.04, 0.30244, 1.9, 0, 1234.5)] == ["0.0400", "0.3024", "1.900", "0", "1,234"]
    assert [fmt.seconds(v) for v in (0.011, 0.4, 0)] == [f"11{N}ms", f"0.4{N}s", f"0.0{N}s"]
