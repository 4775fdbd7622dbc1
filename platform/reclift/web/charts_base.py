"""What all figures share: axes, layout, and colours as names of design tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reclift.web import format as fmt

Figure = dict[str, Any]


def arm_colour(token: str) -> str:
    """The colour of an arm's token, as in `pages.present.arm_colours`."""
    return f"var(--rl-arm-{token})"


def faint_colour(token: str) -> str:
    """The see-through colour of an arm's band."""
    return f"var(--rl-arm-{token}-faint)"


def axis(**more: Any) -> dict[str, Any]:
    """An axis in the tokens' colours that neither zooms nor pans; `more` goes before what stands here."""
    return {
        "gridcolor": "var(--rl-grid)", "linecolor": "var(--rl-border)", "zeroline": False, "automargin": True,
        "tickfont": {"color": "var(--rl-muted)", "size": 12}, "fixedrange": True, **more,
    }  # fmt: skip


def layout(height: int, **more: Any) -> dict[str, Any]:
    """A quiet layout of a height in pixels."""
    return {
        "height": height, "margin": {"l": 8, "r": 12, "t": 8, "b": 36}, "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "var(--rl-font)", "size": 13, "color": "var(--rl-text)"},
        "hoverlabel": {"bgcolor": "var(--rl-surface)", "bordercolor": "var(--rl-border)",
                       "font": {"color": "var(--rl-text)", "family": "var(--rl-font)"}},
        **more,
    }  # fmt: skip


def percent_axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis in percent with a title."""
    label = {"text": title, "font": {"size": 12, "color": "var(--rl-muted)"}}
    return axis(title=label, ticksuffix=fmt.NBSP + "%", **more)


def shown_interval(comparison: Mapping[str, Any]) -> Sequence[float | None] | None:
    """The lift's interval that people are shown: Fieller's where the report gives it, because the control's mean is
    then too uncertain for the delta method, which is the one shown otherwise.
    """
    shown: Sequence[float | None] | None = comparison.get("lift_ci_fieller") or comparison.get("lift_ci")
    return shown


def finite(bounds: Sequence[float | None] | None) -> tuple[float, float] | None:
    """Both bounds in percent, or `None` when one is open or missing."""
    if not bounds or bounds[0] is None or bounds[1] is None:
        return None
    return bounds[0] * 100, bounds[1] * 100
