"""Plotly figures as plain data, built from a report's JSON; nothing here imports Plotly.

Colours are written as `var(--rl-…)`: the page's script puts the values of the design tokens in, so that a figure
follows dark and light. Lifts are drawn in percent. A figure that would be empty is `None`: the page says why instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from reclift.web import format as fmt

Figure = dict[str, Any]
Row = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A metric and one of its comparisons."""
Reading = Literal["fixed", "sequential", "bayesian"]

def arm_colour(token: str) -> str:
    """The colour of an arm's token, as in `pages.present.arm_colours`."""
    return f"var(--rl-arm-{token})"


def _faint(token: str) -> str:
    return f"var(--rl-arm-{token}-faint)"


def _axis(**more: Any) -> dict[str, Any]:
    return {
        "gridcolor": "var(--rl-grid)", "linecolor": "var(--rl-border)", "zeroline": False, "automargin": True,
        "tickfont": {"color": "var(--rl-muted)", "size": 12}, "fixedrange": True, **more,
    }  # fmt: skip


def _layout(height: int, **more: Any) -> dict[str, Any]:
    return {
        "height": height, "margin": {"l": 8, "r": 12, "t": 8, "b": 36}, "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "var(--rl-font)", "size": 13, "color": "var(--rl-text)"},
        "hoverlabel": {"bgcolor": "var(--rl-surface)", "bordercolor": "var(--rl-border)",
                       "font": {"color": "var(--rl-text)", "family": "var(--rl-font)"}},
        **more,
    }  # fmt: skip


def _percent_axis(title: str, **more: Any) -> dict[str, Any]:
    label = {"text": title, "font": {"size": 12, "color": "var(--rl-muted)"}}
    return _axis(title=label, ticksuffix=fmt.NBSP + "%", **more)


def _finite(bounds: Sequence[float | None] | None) -> tuple[float, float] | None:
    """Both bounds in percent, or `None` when one is open or missing."""
    if not bounds or bounds[0] is None or bounds[1] is None:
        return None
    return bounds[0] * 100, bounds[1] * 100


def _rows(report: Mapping[str, Any]) -> list[Row]:
    """(metric, comparison) of everything that can be drawn, in the report's order."""
    return [
        (metric, comparison)
        for metric in report.get("metrics", [])
        for comparison in metric.get("comparisons", [])
        if comparison.get("lift") is not None and _finite(comparison.get("lift_ci")) is not None
    ]


def _sequential(comparison: Mapping[str, Any]) -> tuple[float, float] | None:
    return _finite((comparison.get("sequential") or {}).get("lift_ci"))


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
        labels.append(f"<b>{metric['name']}</b>  {comparison['arm']}" if first else str(comparison["arm"]))
        if first and n:
            lines.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": n - 0.5, "y1": n - 0.5,
                          "line": {"color": "var(--rl-grid)", "width": 1}, "layer": "below"})  # fmt: skip
        previous = metric["metric"]
    y_axis = _axis(
        tickvals=list(range(len(rows))), ticktext=labels, range=[len(rows) - 0.5, -0.5], showgrid=False,
        tickfont={"color": "var(--rl-text)", "size": 13}, ticklabelstandoff=8,
    )  # fmt: skip
    return _layout(max(200, 64 + 44 * len(rows)), xaxis=x_axis, yaxis=y_axis, shapes=lines)


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
    axis = _range([_thick(c, reading) for c in deciding], [b for c in deciding if (b := _sequential(c))])
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
        beyond = not axis[0] <= lift <= axis[1]
        shape = ("triangle-right" if lift > 0 else "triangle-left") if beyond else "circle"
        traces.append({
            "type": "scatter", "mode": "markers", "x": [min(max(lift, axis[0]), axis[1])], "y": [n], "meta": "point",
            "marker": {"color": colour if beyond else "var(--rl-surface)", "size": 11, "symbol": shape,
                       "line": {"color": colour, "width": 0 if beyond else 3}},
            "cliponaxis": False, "hovertemplate": _hover(metric, comparison) + "<extra></extra>",
        })  # fmt: skip
        if beyond:  # off the axis: the mark stands at its edge and the number beside it
            notes.append({
                "x": axis[1] if lift > 0 else axis[0], "y": n, "text": fmt.lift(comparison["lift"]), "showarrow": False,
                "xanchor": "right" if lift > 0 else "left", "xshift": -10 if lift > 0 else 10,
                "font": {"size": 12, "color": "var(--rl-muted)"}, "bgcolor": "var(--rl-surface)",
            })  # fmt: skip
    layout = _forest_layout(rows, _percent_axis("Lift over the control", range=axis, nticks=8))
    layout["annotations"] = notes
    layout["shapes"].append({"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
                             "line": {"color": "var(--rl-muted)", "width": 1.5}, "layer": "below"})  # fmt: skip
    return {"data": traces, "layout": layout}


def _thick(comparison: Mapping[str, Any], reading: Reading) -> tuple[float, float]:
    """The interval that is drawn thick; `_rows` and `forest` leave out what has none."""
    span = _sequential(comparison) if reading == "sequential" else _finite(comparison["lift_ci"])
    if span is None:
        raise ValueError(f"comparison of {comparison.get('arm')!r} has no {reading} interval to draw")
    return span


def _hover(metric: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    lines = [
        f"<b>{metric['name']} · {comparison['arm']}</b>",
        f"{fmt.lift(comparison['lift'])} {fmt.interval(comparison['lift_ci'])}, {_level(comparison)} interval",
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
    trace = {
        "type": "bar", "orientation": "h", "x": [c * 100 for c in chances], "y": list(range(len(rows))), "width": 0.42,
        "marker": {"color": [arm_colour(colours[c["arm"]]) for _, c in rows]}, "text": [fmt.percent(c, 1) for c in chances],
        "textposition": "auto", "hovertemplate": "%{text}<extra></extra>", "meta": "chance",
    }  # fmt: skip
    layout = _forest_layout(rows, _percent_axis("Chance to win", range=[0, 100], nticks=6))
    layout["shapes"].append({"type": "line", "x0": 50, "x1": 50, "yref": "paper", "y0": 0, "y1": 1,
                             "line": {"color": "var(--rl-muted)", "width": 1, "dash": "dot"}, "layer": "above"})  # fmt: skip
    return {"data": [trace], "layout": layout}


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
        bands = [(row["day"], b) for row in own if (b := _finite(row.get("sequential_ci") or row.get("lift_ci")))]
        days = [day for day, _ in bands]
        if bands:
            traces.append({
                "type": "scatter", "x": days + days[::-1], "y": [b[1] for _, b in bands] + [b[0] for _, b in bands[::-1]],
                "fill": "toself", "fillcolor": _faint(token), "line": {"width": 0}, "mode": "lines", "hoverinfo": "skip",
                "showlegend": False, "meta": "band",
            })  # fmt: skip
            spans += [b for _, b in bands[len(bands) // 4 :]]
        traces.append({
            "type": "scatter", "mode": "lines+markers", "x": [r["day"] for r in own], "y": [r["lift"] * 100 for r in own],
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
        notes.append({"x": day, "y": 1, "yref": "paper", "text": words, "showarrow": False, "xanchor": "left", "xshift": 4,
                      "font": {"size": 11, "color": "var(--rl-muted)"}})  # fmt: skip
    few = len({row["day"] for row in rows}) <= 7
    ticks = {"dtick": 86_400_000} if few else {"nticks": 8}  # a tick a day, never two on one day
    layout = _layout(
        340, shapes=shapes, annotations=notes, hovermode="x unified",
        xaxis=_axis(type="date", tickformat="%-d %b", showgrid=False, **ticks),
        yaxis=_percent_axis("", range=[round(low - pad, 2), round(high + pad, 2)], nticks=7),
    )  # fmt: skip
    return {"data": traces, "layout": layout}


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
            "line": {"color": arm_colour(colours[arm]), "width": 2.5, "dash": "dot" if colours[arm] == "control" else "solid"},
            "marker": {"color": arm_colour(colours[arm]), "size": 8},
            "text": [f"{fmt.percent(r['ctr'])} of {fmt.count(r['impressions'])} impressions" for r in own],
            "hovertemplate": f"<b>{arm}</b> %{{text}}<extra></extra>",
        })  # fmt: skip
    label = {"text": "Position in the list", "font": {"size": 12, "color": "var(--rl-muted)"}}
    layout = _layout(
        320, hovermode="x unified", xaxis=_axis(dtick=1, title=label, showgrid=False),
        yaxis=_percent_axis("", rangemode="tozero", nticks=6),
    )  # fmt: skip
    return {"data": traces, "layout": layout}


def report_figures(
    report: Mapping[str, Any], colours: Mapping[str, str], marks: Sequence[tuple[str, str]] = ()
) -> dict[str, Figure]:
    """Every figure of a report that has something to show, by name: `forest-fixed`, `time-ctr`, `positions` …"""
    readings: tuple[Reading, ...] = ("fixed", "sequential", "bayesian")
    found: dict[str, Figure | None] = {f"forest-{reading}": forest(report, colours, reading) for reading in readings}
    found |= {f"time-{m['metric']}": cumulative(report, m["metric"], colours, marks) for m in report.get("metrics", [])}
    found["positions"] = positions(report, colours)
    return {name: figure for name, figure in found.items() if figure is not None}
