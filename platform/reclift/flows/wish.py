"""What the shop asks for when it asks for a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reclift.flows.preview import Preview


@dataclass(slots=True)  # not frozen: that would make making one, which each call does, four times as long
class Wish:
    """What the shop asks for, checked. Not to be changed.

    Attributes:
        unit: canonical id of the user, or the guest's session id.
        user_id, session_id: as sent; one of them is None.
        categories: if given, only items of these.
        attributes: as sent; they decide about the arm, and go before what is stored of the user in what strategies see.
        request_id: if given, a retry with it gives the same answer and is one impression (see storage/repeats.py).
        preview: the arm that a signed preview link forces.
        at: microseconds; when it was, if this is a replay of the past. None: now.
    """

    unit: str
    placement: str
    k: int = 10
    user_id: str | None = None
    session_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    context_items: Sequence[str] = ()
    exclude: frozenset[str] = frozenset()
    candidates: frozenset[str] | None = None
    categories: frozenset[str] | None = None
    request_id: str | None = None
    at: int | None = None
    preview: Preview | None = None
