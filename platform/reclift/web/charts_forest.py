"""The forest plot: lift by metric and arm, in three readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from reclift.web import format as fmt

from .charts_base import Figure, arm_colour, axis, finite, layout, percent_axis, shown_interval

Row = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A metric and one of its comparisons."""
Reading = Literal["fixed", "sequential", "bayesian"]


def _rows(report: Mapping[str, Any]) -> list[Row]:
    """(metric, comparison) of everything that can be drawn, in the report's order."""
    return [
        (metric, comparison)
        for metric in report.get("metrics", [])
        for comparison in metric.get("comparisons", [])
        if comparison.get("lift") is not None and finite(shown_interval(comparison)) is not None
    ]


def _sequential(comparison: Mapping[str, Any]) -> tuple[float, float] | None:
    return finite((comparison.get("sequential") or {}).get("lift_ci"))


def _range(bounds: Sequence[tuple[float, float]], wide: Sequence[tuple[float, float]]) -> list[float]:
    """An axis that holds every thick interval and zero, and as much of the thin ones as does not crush those."""
    low = min(0.0, *(b[0] for b in bounds))
    high = max(0.0, *(b[1] for b in bounds))
    room = (high - low) * 0.5 or 1.0
    low = max(low - room, min([low, *(w[0] for w in wide)]))
    high = min(high + room, max([high, *(w[1] for w in wide)]))
    pad = (high - low) * 0.05
    return [round(low - pad, 2), round(high + pad, 2)]


def _deciding(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows that the axis is made for: guardrails often move by far more than what an experiment is about."""
    return [row for row in rows if row[0].get("role") != "guardrail"] or rows


def _forest_layout(rows: Sequence[Row], x_axis: dict[str, Any]) -> Figure:
    """Rows from top to bottom, a metric's name at its first arm; a hairline between metrics."""
    labels, lines = [], []
    previous = None
    for n, (metric, comparison) in enumerate(rows):
        first = metric["metric"] != previous
        labels.append(f"<b>{_name(metric)}</b>  {comparison['arm']}" if first else str(comparison["arm"]))
        if first and n:
            lines.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": n - 0.5, "y1": n - 0.5,
                          "line": {"color": "var(--rl-grid)", "width": 1}, "layer": "below"})  # fmt: skip
        previous = metric["metric"]
    y_axis = axis(
        tickvals=list(range(len(rows))), ticktext=labels, range=[len(rows) - 0.5, -0.5], showgrid=False,
        tickfont={"color": "var(--rl-text)", "size": 13}, ticklabelstandoff=8,
    )  # fmt: skip
    return layout(max(200, 64 + 44 * len(rows)), xaxis=x_axis, yaxis=y_axis, shapes=lines)


def forest(report: Mapping[str, Any], colours: Mapping[str, str], reading: Reading = "fixed") -> Figure | None:
    """Lift by metric and arm: a point, its 95 % interval (thick) and the always-valid one (thin), and a zero line.

    `sequential` makes the always-valid interval the thick one; `bayesian` shows the chance to win instead.
    """
    rows = _rows(report)
    if reading == "sequential":
        rows = [row for row in rows if _sequential(row[1]) is not None]
    if reading == "bayesian":
        rows = [row for row in rows if (row[1].get("bayesian") or {}).get("chance_to_win") is not None]
        return _chances(rows, colours) if rows else None
    if not rows:
        return None
    thick = [_thick(comparison, reading) for _, comparison in rows]
    deciding = [comparison for _, comparison in _deciding(rows)]
    reach = _range([_thick(c, reading) for c in deciding], [b for c in deciding if (b := _sequential(c))])
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for n, (metric, comparison) in enumerate(rows):
        colour = arm_colour(colours[comparison["arm"]])
        thin = _sequential(comparison) if reading == "fixed" else None
        traces += [
            {"type": "scatter", "mode": "lines", "x": list(span), "y": [n, n], "hoverinfo": "skip", "meta": name,
             "line": {"color": colour, "width": width}, "opacity": 0.55 if name == "thin" else 0.9}
            for span, width, name in ((thin, 1.5, "thin"), (thick[n], 6, "thick")) if span is not None
        ]  # fmt: skip
        lift = comparison["lift"] * 100
        beyond = not reach[0] <= lift <= reach[1]
        shape = ("triangle-right" if lift > 0 else "triangle-left") if beyond else "circle"
        traces.append({
            "type": "scatter", "mode": "markers", "x": [min(max(lift, reach[0]), reach[1])], "y": [n], "meta": "point",
            "marker": {"color": colour if beyond else "var(--rl-surface)", "size": 11, "symbol": shape,
                       "line": {"color": colour, "width": 0 if beyond else 3}},
            "cliponaxis": False, "hovertemplate": _hover(metric, comparison) + "<extra></extra>",
        })  # fmt: skip
        if beyond:  # off the axis: the mark stands at its edge and the number beside it
            notes.append({
                "x": reach[1] if lift > 0 else reach[0], "y": n, "text": fmt.lift(comparison["lift"]),
                "showarrow": False,
                "xanchor": "right" if lift > 0 else "left", "xshift": -10 if lift > 0 else 10,
                "font": {"size": 12, "color": "var(--rl-muted)"}, "bgcolor": "var(--rl-surface)",
            })  # fmt: skip
    frame = _forest_layout(rows, percent_axis("Lift over the control", range=reach, nticks=8))
    frame["annotations"] = notes
    frame["shapes"] += [
        _undetectable(n, comparison) for n, (_, comparison) in enumerate(rows) if _detectable(comparison)
    ]
    frame["shapes"].append({"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
                             "line": {"color": "var(--rl-muted)", "width": 1.5}, "layer": "below"})  # fmt: skip
    return {"data": traces, "layout": frame}


def _detectable(comparison: Mapping[str, Any]) -> float:
    """The lift that this much data would find with 80 % probability, in percent; 0 where the report does not say."""
    return float(comparison.get("detectable_lift") or 0) * 100


def _undetectable(row: int, comparison: Mapping[str, Any]) -> dict[str, Any]:
    """A pale band of the lifts that are too small to be found with this much data."""
    reach = _detectable(comparison)
    return {
        "type": "rect", "x0": -reach, "x1": reach, "y0": row - 0.36, "y1": row + 0.36, "layer": "below",
        "fillcolor": "var(--rl-band)", "line": {"width": 0},
    }  # fmt: skip


def _thick(comparison: Mapping[str, Any], reading: Reading) -> tuple[float, float]:
    """The interval that is drawn thick; `_rows` and `forest` leave out what has none."""
    span = _sequential(comparison) if reading == "sequential" else finite(shown_interval(comparison))
    if span is None:
        raise ValueError(f"comparison of {comparison.get('arm')!r} has no {reading} interval to draw")
    return span


def _name(metric: Mapping[str, Any]) -> str:
    return str(metric.get("name") or metric["metric"])


def _hover(metric: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    bounds = fmt.interval(shown_interval(comparison) or ())
    lines = [
        f"<b>{_name(metric)} · {comparison['arm']}</b>",
        f"{fmt.lift(comparison['lift'])} {bounds}, {_level(comparison)} interval",
    ]
    always = (comparison.get("sequential") or {}).get("lift_ci")
    if always:
        lines.append(f"always valid: {fmt.interval(always)}")
    if comparison.get("p_value") is not None:
        lines.append(fmt.p_equals(comparison["p_value"]))
    return "<br>".join(lines)


def _level(comparison: Mapping[str, Any]) -> str:
    return fmt.percent(comparison.get("ci_level") or 0.95, 0)


def _chances(rows: Sequence[Row], colours: Mapping[str, str]) -> Figure:
    """Chance to win by metric and arm, as bars from 0 to 100 %, with a line at even odds."""
    chances = [comparison["bayesian"]["chance_to_win"] for _, comparison in rows]
    places = list(range(len(rows)))
    bars = {
        "type": "bar", "orientation": "h", "x": [c * 100 for c in chances], "y": places, "width": 0.42,
        "meta": "chance",
        "marker": {"color": [arm_colour(colours[c["arm"]]) for _, c in rows]}, "hoverinfo": "skip",
    }  # fmt: skip
    numbers = {
        "type": "scatter", "mode": "text", "x": bars["x"], "y": places, "text": [fmt.percent(c, 1) for c in chances],
        "textposition": "middle right", "hoverinfo": "skip", "cliponaxis": False, "meta": "number",
    }  # fmt: skip
    chance = percent_axis("Chance to win", range=[0, 112], tickvals=[0, 25, 50, 75, 100])
    frame = _forest_layout(rows, chance)
    even = {"color": "var(--rl-muted)", "width": 1, "dash": "dot"}
    frame["shapes"].append({"type": "line", "x0": 50, "x1": 50, "yref": "paper", "y0": 0, "y1": 1, "line": even})
    return {"data": [bars, numbers], "layout": frame}
