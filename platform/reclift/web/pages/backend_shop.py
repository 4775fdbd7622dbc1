"""The shop's side of the pages' door: strategies, placements, metrics, items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .backend_types import JSON, Page, Person


class ShopSide(Protocol):
    """What the shop has; see `backend.Pages` for the rules of all its parts."""

    # strategies and models ------------------------------------------------------------------------------------------
    def strategies(self) -> list[JSON]:
        """`{"key", "title", "summary", "needs_training", "schema"}`; `schema` is the parameters' JSON schema."""
        ...

    def models(self) -> list[JSON]:
        """Trained versions, newest first.

        `{"id", "strategy", "version", "params", "active", "status" ("training"|"ready"|"failed"), "created_at",
        "data_until", "seconds", "size_bytes", "metrics": {"ndcg@10": 0.43}, "error", "uses"}`; `uses` says whom it
        answers for, as in `flows.model_uses`.
        """
        ...

    def train(self, strategy: str, params: Mapping[str, Any], actor: Person) -> None:
        """Ask the worker for a new model version; returns at once."""
        ...

    def offline(self, number: int | None = None) -> JSON | None:
        """The newest offline results, or those of a number, beside online lifts, as in `GET /api/v1/evaluations`.

        `None`: there are none yet, or none of this number (any more).
        """
        ...

    def evaluations(self) -> list[JSON]:
        """`{"id", "computed_at", "split", "strategies", "fallback"}` of those that are kept, newest first."""
        ...

    def usual_fallback(self) -> str | None:
        """The strategy that fills short lists on most placements."""
        ...

    def evaluate(self, wanted: Mapping[str, Any], actor: Person) -> None:
        """Ask the worker to evaluate `{"strategies", "split", "fallback"}` as in the API; returns at once."""
        ...

    def activate(self, model_id: str, actor: Person) -> JSON:
        """Serve this version from now on (a rollback, when it is an older one); returns the model."""
        ...

    # the shop -------------------------------------------------------------------------------------------------------
    def placements(self) -> list[JSON]:
        """`{"key", "name", "strategy", "fallback": [strategy], "seen", "model", "experiments": [key]}`.

        `seen` says what a user is not shown again; `explore` and `rerank` are as the API has them.
        `model` serves the default strategy now, like `item_cf@7`.
        """
        ...

    def save_placement(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        """Create or change a placement: `name`, `strategy`, `fallback`, `seen`."""
        ...

    def metrics(self) -> list[JSON]:
        """`{"key", "name", "kind", "description", "format", "direction" ("up"|"down"), "window_days", "event",
        "sentence", "definition"}`; `definition` is as in `POST /api/v1/metrics`, `sentence` says it in words.
        """
        ...

    def metric_uses(self) -> dict[str, list[JSON]]:
        """By metric, the experiments that read it: `{"experiment", "name", "status", "role"}`, newest first."""
        ...

    def create_metric(self, payload: Mapping[str, Any], actor: Person) -> JSON:
        """A new metric from a definition; it never changes afterwards. Returned as in `metrics`."""
        ...

    def items(self, query: str, page: int) -> Page:
        """Items of the catalogue, as in `PUT /items`, whose title, category or id match `query` (all when empty)."""
        ...
