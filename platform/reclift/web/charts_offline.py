"""Figures of an offline evaluation: the primary metric by length of history, and offline against online."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reclift.web import format as fmt

from .charts_base import Figure, arm_colour, axis, layout, percent_axis

_COLOURS = 7


def history_label(bounds: list[int | None]) -> str:
    """How much was known of the users of a band: `1-4` with a dash, `50 and more`."""
    first, last = bounds
    if last is None:
        return f"{first} and more"
    return str(first) if first == last else f"{first}\u2013{last}"


def by_history(evaluation: Mapping[str, Any], label: str) -> Figure | None:
    """The primary metric by how much was known of the user, a line for each strategy with its intervals."""
    traces = []
    for n, result in enumerate(evaluation["results"]):
        bands = [band for band in result.get("by_history") or [] if band["value"] is not None]
        if not bands:
            continue
        colour = arm_colour(str(n % _COLOURS + 1))
        bounds = [band.get("interval") or [band["value"]] * 2 for band in bands]
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": result["name"], "meta": "history",
            "x": [history_label(band["history"]) for band in bands], "y": [band["value"] for band in bands],
            "error_y": {"type": "data", "symmetric": False, "thickness": 1.5, "width": 3, "color": colour,
                        "array": [b[1] - band["value"] for b, band in zip(bounds, bands, strict=True)],
                        "arrayminus": [band["value"] - b[0] for b, band in zip(bounds, bands, strict=True)]},
            "line": {"color": colour, "width": 2, "dash": "solid" if n < _COLOURS else "dash"},
            "marker": {"color": colour, "size": 7},
            "text": [f"{fmt.number(band['value'])}, {fmt.count(band['users'])} users" for band in bands],
            "hovertemplate": f"<b>{result['name']}</b> %{{text}}<extra></extra>",
        })  # fmt: skip
    if not traces:
        return None
    title = {"text": "Signals known of the user", "font": {"size": 12, "color": "var(--rl-muted)"}}
    frame = layout(340, hovermode="x unified", xaxis=axis(title=title, type="category", showgrid=False),
                   yaxis=axis(rangemode="tozero", nticks=6, title={"text": label, "font": {"size": 12}}))  # fmt: skip
    frame |= {"showlegend": True, "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}}
    return {"data": traces, "layout": frame}


def against_online(evaluation: Mapping[str, Any]) -> Figure | None:
    """Each arm that was compared both ways: what offline said across, what happened up, and where they would agree."""
    points = [
        (result["name"], online)
        for result in evaluation["results"]
        for online in result.get("online") or []
        if online.get("offline_lift") is not None and online.get("lift") is not None
    ]
    if not points:
        return None
    across = [online["offline_lift"] * 100 for _, online in points]
    up = [online["lift"] * 100 for _, online in points]
    bounds = [online.get("lift_ci") or [online["lift"]] * 2 for _, online in points]
    bounds = [[low if low is not None else o["lift"], high if high is not None else o["lift"]]
              for (low, high), (_, o) in zip(bounds, points, strict=True)]  # fmt: skip
    low, high = min(0.0, *across, *up), max(0.0, *across, *up)
    pad = (high - low) * 0.15 or 1.0
    reach = [low - pad, high + pad]
    diagonal = {"type": "line", "x0": reach[0], "y0": reach[0], "x1": reach[1], "y1": reach[1], "layer": "below",
                "line": {"color": "var(--rl-border-strong)", "width": 1.5, "dash": "dot"}}  # fmt: skip
    trace = {
        "type": "scatter", "mode": "markers", "meta": "online", "x": across, "y": up,
        "marker": {"color": "var(--rl-accent)", "size": 10},
        "error_y": {"type": "data", "symmetric": False, "color": "var(--rl-muted)", "thickness": 1.5, "width": 3,
                    "array": [b[1] * 100 - y for b, y in zip(bounds, up, strict=True)],
                    "arrayminus": [y - b[0] * 100 for b, y in zip(bounds, up, strict=True)]},
        "text": [f"<b>{name}</b> in {online['experiment']}<br>offline {fmt.lift(online['offline_lift'])}, "
                 f"online {fmt.lift(online['lift'])}" for name, online in points],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    zero = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "layer": "below",
             "line": {"color": "var(--rl-muted)", "width": 1}},
            {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": 0, "x1": 0, "layer": "below",
             "line": {"color": "var(--rl-muted)", "width": 1}}]  # fmt: skip
    frame = layout(340, shapes=[diagonal, *zero], hovermode="closest",
                   xaxis=percent_axis("Offline said", range=reach, nticks=7),
                   yaxis=percent_axis("Online lift", range=reach, nticks=7))  # fmt: skip
    return {"data": [trace], "layout": frame}


def figures(evaluation: Mapping[str, Any], label: str) -> dict[str, Figure]:
    """Every figure that has something to show."""
    found = {"by-history": by_history(evaluation, label), "against-online": against_online(evaluation)}
    return {name: figure for name, figure in found.items() if figure is not None}
