"""Numbers in sentences."""

from __future__ import annotations

import pytest

from reclift.stats.words import p_words, percent, share


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.084, "+8.4 %"),
        (-0.5, "-50.0 %"),
        (0.0031, "+0.31 %"),
        (0.000042, "+0.0042 %"),
        (3.2, "+320 %"),
        (0.0, "+0.0 %"),
    ],
)
def test_percent(value, shown):
    assert percent(value) == shown


def test_percent_without_sign():
    assert percent(0.02, sign=False) == "2.0 %"


@pytest.mark.parametrize(
    ("p", "shown"), [(0.0314, "= .031"), (0.0001, "< .001"), (1.0, "> .999"), (0.5, "= .500"), (None, "unknown")]
)
def test_p(p, shown):
    assert p_words(p) == shown


def test_share():
    assert [share(x) for x in (0.15, 0.05, 0.001)] == ["15 %", "5 %", "0.1 %"]
