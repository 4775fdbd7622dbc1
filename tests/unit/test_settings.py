"""Settings that would quietly do something else than they say are refused by name."""

from __future__ import annotations

import pytest

from reclift.settings import load_settings


@pytest.mark.parametrize("weights", ['{"click": -1}', '{"click": 1e999}', '{"click": "much"}', '{"click": NaN}'])
def test_weights_of_events_are_numbers_from_0(monkeypatch: pytest.MonkeyPatch, weights: str) -> None:
    monkeypatch.setenv("RECLIFT_EVENT_WEIGHTS", weights)
    with pytest.raises(ValueError, match=r"(?i)event_weights"):
        load_settings()


def test_a_weight_of_nothing_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECLIFT_EVENT_WEIGHTS", '{"click": 0, "purchase": 2.5}')
    assert load_settings().event_weights == {"click": 0.0, "purchase": 2.5}
