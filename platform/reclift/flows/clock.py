"""The time, in the two forms that are stored."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from reclift.domain.events import MICROS

DAY_MICROS = 86_400 * MICROS


def now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def now_micros() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1_000


def to_datetime(micros: int) -> datetime:
    """Microseconds since 1970 -> datetime."""
    return datetime.fromtimestamp(micros / MICROS, UTC)


def rfc3339(at: datetime | int | None) -> str | None:
    """As the API writes times."""
    if at is None:
        return None
    if isinstance(at, int):
        at = to_datetime(at)
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
