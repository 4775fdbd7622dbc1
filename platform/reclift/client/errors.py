"""What can go wrong when the server is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class RecliftError(Exception):
    """Any failure of a call; a shop that catches this one has caught them all."""


class Unreachable(RecliftError):  # noqa: N818 (a state of the network)
    """No answer in time, after the retries that were allowed."""


class ApiError(RecliftError):
    """The server refuses. `status` is HTTP's, `title` and `detail` say what to mend.

    `errors` names fields as `{field, value, rule}`, where it is about fields.
    """

    def __init__(self, status: int, title: str, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        """As of the problem document."""
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = errors


class NotReady(RecliftError):  # noqa: N818 (a state)
    """No plan has been loaded yet, so nothing can be decided here."""
