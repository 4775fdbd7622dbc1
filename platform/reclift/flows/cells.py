"""Cells of tables that people bring, as what they mean. Errors name the column, the value and the rule."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

from reclift.domain.events import MICROS, EventError, checked_id
from reclift.flows.tables_in import Broken


def text(value: object) -> str:
    """An id or a name as text; a whole number loses its `.0`. Empty where there is nothing."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return str(int(value))
    return str(value) if value is not None else ""


def identifier(name: str, value: object) -> str:
    """An id as text; a list, a mapping or bytes that are no text are none."""
    if isinstance(value, Broken):
        raise EventError(f"{name}={value.content!r}: must be UTF-8 text")
    if isinstance(value, list | dict | bytes):
        raise EventError(f"{name}={value!r}: must be text or a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise EventError(f"{name}={value!r}: must not be empty")
    return checked_id(name, text(value))


def number(value: object, name: str) -> float:
    """A finite number; `name` says in errors whose it is."""
    if isinstance(value, bool):
        raise EventError(f"{name}={value!r}: must be a number")
    try:
        found = float(value)  # type: ignore[arg-type]  # whatever it is, it becomes a number or an error
    except (TypeError, ValueError):
        raise EventError(f"{name}={value!r}: must be a number") from None
    if not math.isfinite(found):
        raise EventError(f"{name}={value!r}: must be a finite number")
    return found


def time(value: object) -> int:
    """Seconds, milliseconds or microseconds since 1970, or ISO 8601 (UTC where it names no zone)."""
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * MICROS)
    try:
        count = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]  # text of a CSV, or a number
    except (TypeError, ValueError):
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            raise EventError(f"timestamp={value!r}: must be ISO 8601 or a number since 1970") from None
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * MICROS)
    if not math.isfinite(count) or count < 0:
        raise EventError(f"timestamp={value!r}: must be a number of at least 0")
    for limit, factor in ((1e11, MICROS), (1e14, 1_000)):
        if count < limit:
            return round(count * factor)
    return round(count)


def reason(error: EventError) -> str:
    """The rule without the value, so that equal reasons count together."""
    words = str(error)
    name, _, rest = words.partition("=")
    return f"{name}: {rest.split(': ', 1)[-1]}" if rest else words
