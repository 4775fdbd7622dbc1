"""What the pages need from the platform before an experiment starts: sizes from the past, and looks at its lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .backend_types import JSON


class Planning(Protocol):
    """A part of `backend.Pages`."""

    def power(self, question: Mapping[str, Any]) -> JSON:
        """What `GET /api/v1/power` answers: units and days that an experiment needs, from its placement's past.

        `question` has `placement`, `metric`, `arms`, `effect`, `traffic`, `level`, `regime` ("fixed" or "sequential"),
        `days` (or `None`), for which `by_days` then has an entry, and may have `tuning`, `corrected` (whether arms are
        corrected for being several), `weights` (the control's first), `audience` and `exclude` (conditions of who is
        let in), `cuped` and `cuped_days` (as an analysis chooses them). `NotFound` for what is not there.
        """
        ...

    def preview(self, key: str, arm: str) -> JSON:
        """A token that shows this arm to whoever brings it: `{"arm", "token", "valid_days"}`. It changes nothing."""
        ...

    def people_lately(self) -> list[str]:
        """User ids of the newest events, each once, a few: to look as somebody; none where ids are kept hashed."""
        ...

    def look_as(self, experiment: Mapping[str, Any], viewer: Mapping[str, Any]) -> JSON:
        """What each arm would show one person now; nothing is logged.

        `experiment` is its JSON, stored or not; `viewer` has `user_id` or `session_id`, `attributes` and `item_id` (or
        `None`). `{"placement", "signals", "history": [item], "titles": {item: title},
        "decision": {"arm", "in_experiment", "reason", "now"},
        "shown": {"experiment", "arm"} or None, "arms": [{"arm", "control", "strategy", "model", "fallback",
        "problem", "items": [as /recommend answers, with "title" and "category"]}]}`. `decision` is what it would be
        if the experiment ran (`now`: it does); `shown` is which experiment decides on the placement today.
        """
        ...
