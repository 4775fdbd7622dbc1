"""The lift by days since exposure: whether it fades or grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reclift.web import format as fmt

from .charts_base import Figure, arm_colour, axis, faint_colour, finite, layout, percent_axis

_MOST_TIMES = 3.0
"""Days with few clicks have intervals that would crush the others: the axis shows this many times the narrowest."""


def novelty(report: Mapping[str, Any], colours: Mapping[str, str]) -> Figure | None:
    """Lift by whole days since the unit's exposure and arm, with the interval of each day as a bar."""
    traces: list[dict[str, Any]] = []
    points: list[float] = []
    spans: list[tuple[float, float]] = []
    for arm in (report.get("novelty") or {}).get("arms", ()):
        days = [day for day in arm["days"] if day.get("lift") is not None and finite(day.get("lift_ci"))]
        if not days:
            continue
        bounds = [finite(day["lift_ci"]) or (0.0, 0.0) for day in days]
        lifts = [day["lift"] * 100 for day in days]
        spans += bounds
        points += lifts
        colour = arm_colour(colours[arm["arm"]])
        traces.append({
            "type": "scatter", "mode": "lines+markers" if len(days) > 1 else "markers", "name": arm["arm"],
            "meta": "novelty", "x": [day["day"] for day in days], "y": lifts,
            "error_y": {"type": "data", "symmetric": False, "color": faint_colour(colours[arm["arm"]]),
                        "thickness": 8, "width": 0, "array": [b[1] - y for b, y in zip(bounds, lifts, strict=True)],
                        "arrayminus": [y - b[0] for b, y in zip(bounds, lifts, strict=True)]},
            "line": {"color": colour, "width": 2}, "marker": {"color": colour, "size": 7},
            "text": [f"{fmt.lift(day['lift'])} {fmt.interval(day['lift_ci'])}, {fmt.count(day['units'])} users"
                     for day in days],
            "hovertemplate": f"<b>{arm['arm']}</b> %{{text}}<extra></extra>",
        })  # fmt: skip
    if not traces:
        return None
    width = min(high - low for low, high in spans) * _MOST_TIMES
    low = max(min(0.0, *(b[0] for b in spans)), min(0.0, *points) - width)
    high = min(max(0.0, *(b[1] for b in spans)), max(0.0, *points) + width)
    pad = (high - low) * 0.06 or 1.0
    zero = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0,
            "line": {"color": "var(--rl-muted)", "width": 1.5}, "layer": "below"}  # fmt: skip
    label = {"text": "Days since exposure", "font": {"size": 12, "color": "var(--rl-muted)"}}
    furthest = max(max(trace["x"]) for trace in traces)
    frame = layout(
        320, shapes=[zero], hovermode="x unified",
        xaxis=axis(title=label, showgrid=False, range=[-0.5, furthest + 0.5], tickformat="d",
                   **({"dtick": 1} if furthest <= 10 else {"nticks": 8})),
        yaxis=percent_axis("", range=[round(low - pad, 2), round(high + pad, 2)], nticks=7),
    )  # fmt: skip
    return {"data": traces, "layout": frame}
