"""Plotly figures as plain data, built from a report's JSON; nothing here imports Plotly.

Colours are written as `var(--rl-…)`: the page's script puts the values of the design tokens in, so that a figure
follows dark and light. Lifts are drawn in percent. A figure that would be empty is `None`: the page says why instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reclift.web import format as fmt

from .charts_base import Figure, arm_colour, axis, faint_colour, finite, layout, percent_axis
from .charts_forest import Reading, forest
from .charts_novelty import novelty

__all__ = [
    "Figure",
    "Reading",
    "arm_colour",
    "cumulative",
    "forest",
    "novelty",
    "positions",
    "report_figures",
    "segment_forest",
]


def cumulative(
    report: Mapping[str, Any],
    metric: str,
    colours: Mapping[str, str],
    marks: Sequence[tuple[str, str]] = (),
) -> Figure | None:
    """The lift of everything until a day, by day and arm, with its always-valid band (or the fixed one without it).

    `marks` are (day, words) for changes of the configuration.
    """
    rows = [r for r in (report.get("series") or {}).get(metric) or [] if r.get("lift") is not None]
    if not rows:
        return None
    traces: list[dict[str, Any]] = []
    spans: list[tuple[float, float]] = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        token = colours[arm]
        bands = [(row["day"], b) for row in own if (b := finite(row.get("sequential_ci") or row.get("lift_ci")))]
        days = [day for day, _ in bands]
        if bands:
            traces.append({
                "type": "scatter", "x": days + days[::-1], "y": [b[1] for _, b in bands] + [b[0] for _,
                b in bands[::-1]],
                "fill": "toself", "fillcolor": faint_colour(token), "line": {"width": 0}, "mode": "lines",
                "hoverinfo": "skip",
                "showlegend": False, "meta": "band",
            })  # fmt: skip
            spans += [b for _, b in bands[len(bands) // 4 :]]
        traces.append({
            "type": "scatter", "mode": "lines+markers" if len(own) <= 31 else "lines", "x": [r["day"] for r in own],
            "y": [r["lift"] * 100 for r in own],
            "name": arm, "meta": "lift", "line": {"color": arm_colour(token), "width": 2.5},
            "marker": {"color": arm_colour(token), "size": 6},
            "text": [f"{fmt.lift(r['lift'])} {fmt.interval(r['lift_ci']) if r.get('lift_ci') else ''}" for r in own],
            "hovertemplate": f"<b>{arm}</b> %{{text}}<extra></extra>",
        })  # fmt: skip
    lifts = [(r["lift"] * 100, r["lift"] * 100) for r in rows]
    bounds = [*spans, *lifts]
    low, high = min(0.0, *(b[0] for b in bounds)), max(0.0, *(b[1] for b in bounds))
    pad = (high - low) * 0.08 or 1.0
    shapes: list[dict[str, Any]] = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0,
         "line": {"color": "var(--rl-muted)", "width": 1.5}, "layer": "below"},
    ]  # fmt: skip
    notes = []
    for day, words in marks:
        shapes.append({"type": "line", "x0": day, "x1": day, "yref": "paper", "y0": 0, "y1": 1,
                       "line": {"color": "var(--rl-muted)", "width": 1, "dash": "dot"}})  # fmt: skip
        notes.append({"x": day, "y": 1, "yref": "paper", "text": words, "showarrow": False, "xanchor": "left",
                      "xshift": 4,
                      "font": {"size": 11, "color": "var(--rl-muted)"}})  # fmt: skip
    few = len({row["day"] for row in rows}) <= 7
    ticks = {"dtick": 86_400_000} if few else {"nticks": 8}  # a tick a day, never two on one day
    frame = layout(
        340, shapes=shapes, annotations=notes, hovermode="x unified",
        xaxis=axis(type="date", tickformat="%-d %b", tickangle=0, showgrid=False, **ticks),
        yaxis=percent_axis("", range=[round(low - pad, 2), round(high + pad, 2)], nticks=7),
    )  # fmt: skip
    return {"data": traces, "layout": frame}


def positions(report: Mapping[str, Any], colours: Mapping[str, str]) -> Figure | None:
    """Clicks per impression by position in the list and arm."""
    rows = [r for r in report.get("positions") or [] if r.get("ctr") is not None]
    if not rows:
        return None
    traces = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        traces.append({
            "type": "scatter", "mode": "lines+markers", "x": [r["position"] for r in own],
            "y": [r["ctr"] * 100 for r in own], "name": arm, "meta": "position",
            "line": {"color": arm_colour(colours[arm]), "width": 2.5,
            "dash": "dot" if colours[arm] == "control" else "solid"},
            "marker": {"color": arm_colour(colours[arm]), "size": 8},
            "text": [f"{fmt.percent(r['ctr'])} of {fmt.count(r['impressions'])} impressions" for r in own],
            "hovertemplate": f"<b>{arm}</b> %{{text}}<extra></extra>",
        })  # fmt: skip
    label = {"text": "Position in the list", "font": {"size": 12, "color": "var(--rl-muted)"}}
    frame = layout(
        320, hovermode="x unified", xaxis=axis(dtick=1, title=label, showgrid=False),
        yaxis=percent_axis("", rangemode="tozero", nticks=6),
    )  # fmt: skip
    return {"data": traces, "layout": frame}


def segment_forest(segments: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> Figure | None:
    """The lift of a report's first metric by value of an attribute and arm."""
    parts = [
        {**segment["metrics"][0], "metric": str(segment["value"]), "name": str(segment["value"])}
        for segment in segments
        if segment["metrics"]
    ]
    return forest({"metrics": parts}, colours)


def report_figures(
    report: Mapping[str, Any], colours: Mapping[str, str], marks: Sequence[tuple[str, str]] = ()
) -> dict[str, Figure]:
    """Every figure of a report that has something to show, by name: `forest-fixed`, `time-ctr`, `positions`."""
    readings: tuple[Reading, ...] = ("fixed", "sequential", "bayesian")
    found: dict[str, Figure | None] = {f"forest-{reading}": forest(report, colours, reading) for reading in readings}
    found |= {f"time-{m['metric']}": cumulative(report, m["metric"], colours, marks) for m in report.get("metrics", [])}
    found["positions"] = positions(report, colours)
    found["novelty"] = novelty(report, colours)
    return {name: figure for name, figure in found.items() if figure is not None}
