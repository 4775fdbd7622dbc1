"""Fields and values as people say them, where a problem or a parameter is shown."""

from __future__ import annotations

import json
import re
from typing import Any


def field_name(field: str) -> str:
    """The path of a problem as people say it: `arms.0.params.k` is `arm 1, k`, `params.max_items` is `max items`."""
    said: list[str] = []
    for part in field.split("."):
        if part.isdigit() and said:
            said[-1] = f"{_ONE_OF.get(said[-1], said[-1])} {int(part) + 1}"
        elif part not in _UNSAID:
            said.append(part.replace("_", " "))
    return ", ".join(said) or field


def anchor(field: str, own: str = "") -> str:
    """The id of the input that a problem is about; a fault within a parameter is mended at the parameter's own."""
    within = re.match(r"fallback\.\d+\.params|.*?\bparams\.[^.]+", field)
    return f"f-{own}" + (within[0] if within else field).replace(".", "-")


_UNSAID = {"params", "viewer", "rerank", "analysis"}
_ONE_OF = {"arms": "arm", "components": "component", "overrides": "person who tests", "ramp": "step"}


def value_said(value: Any) -> str:
    """A parameter's value as people write it: `true`, `none`, `7`, JSON for lists and objects."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
