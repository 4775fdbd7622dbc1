"""How reports look in a terminal."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def print_metrics(metrics: Sequence[Mapping[str, Any]]) -> None:
    """A line for each metric and arm; what could not be computed says why."""
    out = Console(highlight=False, width=max(120, shutil.get_terminal_size().columns))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("metric", "arm"):
        table.add_column(name, overflow="fold")
    for name in ("users", "mean ± se", "lift", "95 % interval", "p", "p adj.", "p any time", "to win"):
        table.add_column(name, justify="right", no_wrap=True)
    notes = []
    for metric in metrics:
        notes += [f"{metric['name']}: {reason['text']}" for reason in (metric.get("reasons") or {}).values()]
        compared = {entry["arm"]: entry for entry in metric["comparisons"]}
        for arm in metric["arms"]:
            entry = compared.get(arm["arm"])
            table.add_row(metric["name"], arm["arm"], f"{arm['units']:,}", _mean(arm), *_cells(entry))
            for name, reason in ((entry or {}).get("reasons") or {}).items():
                notes.append(f"{metric['name']}, {arm['arm']}, {name}: {reason['text']}")
            notes += [f"{metric['name']}, {arm['arm']}: {warning}" for warning in (entry or {}).get("warnings", ())]
    out.print(table)
    for note in dict.fromkeys(notes):
        out.print(f"  {note}")


def _mean(arm: Mapping[str, Any]) -> str:
    if arm["mean"] is None:
        return "see below"
    return f"{arm['mean']:.5g}" + (f" ± {arm['std_error']:.2g}" if arm["std_error"] is not None else "")


def _cells(entry: Mapping[str, Any] | None) -> list[str]:
    if entry is None:
        return [""] * 6
    interval = entry["lift_ci"]
    chance = (entry["bayesian"] or {}).get("chance_to_win")
    return [
        _lift(entry["lift"]),
        f"[{_lift(interval[0])}, {_lift(interval[1])}]" if interval else "see below",
        _p(entry["p_value"]),
        _p(entry["p_value_adjusted"]),
        _p((entry["sequential"] or {}).get("p_value")),
        "see below" if chance is None else f"{chance:.1%}",
    ]


def _lift(value: float | None) -> str:
    return "see below" if value is None else f"{value:+.1%}"


def _p(value: float | None) -> str:
    if value is None:
        return "see below"
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") or "0"
