"""Layers and ramps, put so that a template only has to print them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reclift.web import format as fmt

JSON = dict[str, Any]


def largest_piece(layer: Mapping[str, Any]) -> float:
    """The largest share of a layer that is free in one piece: more than that no new experiment can have."""
    return round(max((end - start for start, end in layer["free"]), default=0.0), 6)


def reserved(experiment: Mapping[str, Any]) -> float:
    """What an experiment takes of its layer: its traffic, or the most that its ramp will ask for."""
    steps = experiment.get("ramp") or ()
    return float(max([experiment["traffic"], *(step["traffic"] for step in steps)]))


def ramp_steps(experiment: Mapping[str, Any], now: datetime) -> list[JSON]:
    """A ramp's steps: `traffic`, `state` (done, now or next) and, in words, when each is or was due."""
    started = experiment.get("started_at")
    hours = (now - fmt.moment(started)).total_seconds() / 3600 if started else None
    taken = [step for step in experiment["ramp"] if hours is not None and step["traffic"] <= experiment["traffic"]]
    shown: list[JSON] = []
    for place, step in enumerate(experiment["ramp"]):
        after = step["after_hours"]
        state = "next" if place >= len(taken) else "now" if place == len(taken) - 1 else "done"
        text = "at the start" if after == 0 else f"after {_duration(after)}"
        if state == "now":
            text = "stopped here" if experiment.get("ramp_stopped") and experiment["status"] == "paused" else "now"
        elif state == "next" and hours is not None and experiment["status"] == "running":
            text = f"in {_duration(after - hours)}" if after > hours else "is due"
        shown.append({"traffic": step["traffic"], "state": state, "text": text})
    return shown


def _duration(hours: float) -> str:
    if hours < 48:
        return f"{max(1, round(hours))} h"
    return f"{hours / 24:.1f}".removesuffix(".0") + " days"
