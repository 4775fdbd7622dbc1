"""What lists were like."""

from __future__ import annotations

from types import SimpleNamespace

from reclift.flows.report_lists import _of_arm


def test_fallbacks_are_told_apart_by_their_reason():
    def shown(reason: str | None) -> SimpleNamespace:
        return SimpleNamespace(items=[{"item_id": "a"}], fallback={"reason": reason} if reason else None,
                               latency_ms=1.0, novelty=None, diversity=None, unit_id="u")  # fmt: skip

    found = _of_arm("a", [shown(r) for r in ("too_few", "timeout", "too_few", None, None)], 5, 10)
    assert found["fallback_rate"] == 0.6
    assert found["fallback_reasons"] == {"too_few": 0.4, "timeout": 0.2}
    assert list(found["fallback_reasons"]) == ["too_few", "timeout"]
    assert _of_arm("a", [], 0, 10)["fallback_reasons"] == {}
