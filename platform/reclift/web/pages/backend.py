"""What the pages need from the platform: one object, reached as `current_app.extensions["reclift"].pages`.

Everything that comes in or goes out is plain data, shaped as the JSON of the HTTP API (experiments, reports, models,
placements …). The pages decide nothing about experiments or statistics; they show what this object says and hand it
what people typed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from flask import current_app

from .backend_operations import OperationsSide
from .backend_plan import Planning
from .backend_shop import ShopSide
from .backend_types import JSON, Invalid, NotFound, Page, Person, Problem, Refused, Role

__all__ = ["JSON", "Invalid", "NotFound", "Page", "Pages", "Person", "Problem", "Refused", "Role", "backend"]


class Pages(Planning, ShopSide, OperationsSide, Protocol):
    """The platform as the pages see it.

    Timestamps are RFC 3339 strings with a zone. Methods that name one thing raise `NotFound`; methods that take a
    payload raise `Invalid`; methods that a state can forbid raise `Refused`. `actor` is who did it, for the audit.
    """

    def about(self) -> JSON:
        """Asked for on every page, so cheap.

        `{"version", "environment", "facts": [{"name", "text"}]}`; `environment` is short ("Demo", "Production").
        """
        ...

    def home(self) -> JSON:
        """What the home page shows.

        `{"running": [entry], "ended": [entry], "drafts": int, "placements": [placement],
        "health": [{"name", "ok": bool, "text"}]}` with entries as in `experiments`; `ended` is the latest few.
        """
        ...

    # experiments ----------------------------------------------------------------------------------------------------
    def experiments(self, status: str | None = None) -> list[JSON]:
        """Experiments, newest first, each with one more key `report`: its stored report, or `None` before the first."""
        ...

    def experiment(self, key: str) -> JSON:
        """The experiment JSON plus `status`, `phase`, `created_at`, `started_at`, `stopped_at`, `version`, `source`
        ("live", "imported" or "replay"), `kind` ("ab" or "holdout"), `note` and `planned_days` (whole days, or `None`).

        How it is split: `layer` and `layer_range` (`[start, end]` or `None`), `sticky`, `exclude`, `overrides`, `ramp`
        (steps as in `plan_ramp`), `ramp_stopped` (`{"at", "reason"}` or `None`), earlier `phases` and
        `weight_changes` as the API has them.
        """
        ...

    def create_experiment(self, payload: Mapping[str, Any], actor: Person) -> JSON:
        """A new draft from the experiment JSON with `planned_days`, `note` and `ramp`; returned as stored."""
        ...

    def change_experiment(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        """Change the fields that are in the payload. `version`, if given, must be the stored one, else `Refused`."""
        ...

    def act(self, key: str, action: str, actor: Person) -> JSON:
        """Do `start`, `pause`, `resume`, `stop` or `archive`."""
        ...

    # reports --------------------------------------------------------------------------------------------------------
    def report(self, key: str) -> JSON | None:
        """The stored report, or `None` when none was computed yet."""
        ...

    def segments(self, key: str, attribute: str) -> JSON:
        """The primary metric by value of an attribute that the shop sends, the most frequent values first.

        `values`: `{"attribute", "value", "units", "metrics": [as in the report]}`; `test`: whether the lift differs
        between values, as `segment_test` of the report. `Invalid` for what cannot be an attribute.
        """
        ...

    def report_csv(self, key: str) -> str:
        """The stored report as CSV with a header, a row per metric and arm. `NotFound` when there is none."""
        ...

    def refresh_report(self, key: str, actor: Person) -> None:
        """Ask the worker to compute the report now; returns at once."""
        ...

    def report_state(self, key: str) -> JSON:
        """`{"computed_at": of the stored report or None, "job": status of its newest job or None, "error"}`."""
        ...

    # how traffic is split -------------------------------------------------------------------------------------------
    def layers(self) -> list[JSON]:
        """Layers that open experiments name.

        `{"layer", "slots": [{"experiment", "start", "end"}], "free": [[start, end]], "free_share"}`, all 0 to 1.
        """
        ...

    def groups(self) -> list[JSON]:
        """Saved groups: `{"key", "name", "values", "attribute", "condition", "size", "created_at", "updated_at"}`.

        Either `values` (of `attribute`, the user's id when it is `None`) or `condition` is there, the other is `None`.
        """
        ...

    def save_group(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        """Make or replace a saved group: `name`, and `values` with `attribute`, or `condition`."""
        ...

    def remove_group(self, key: str, actor: Person) -> None:
        """Delete a saved group; `Refused` names what uses it."""
        ...

    def create_holdout(self, payload: Mapping[str, Any], actor: Person) -> JSON:
        """A holdout as a draft: `{"key", "name", "placement" or None for everywhere, "share", "metrics", "note"}`.

        It is an experiment of kind "holdout" with the arms `held-out` (the control) and `open`, both without a
        strategy; it is started, stopped and reported like any other.
        """
        ...

    def start_phase(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        """Begin a new phase: `{"weights": {arm: weight}, "traffic", "note"}`. Users are hashed anew."""
        ...

    def change_weights(self, key: str, weights: Mapping[str, float], actor: Person) -> JSON:
        """Other weights for who is yet to come; `Refused` where assignment is not sticky."""
        ...

    def plan_ramp(self, key: str, steps: Sequence[Mapping[str, float]], actor: Person) -> JSON:
        """Traffic on a schedule: `{"traffic": 0 to 1, "after_hours"}` by step; none takes the ramp away."""
        ...

    # people and keys ------------------------------------------------------------------------------------------------
    def scopes(self) -> list[JSON]:
        """What an API key can be allowed: `{"key", "text"}` with a sentence for people."""
        ...

    def keys(self) -> list[JSON]:
        """`{"id", "name", "prefix", "scopes", "created_at", "created_by", "revoked_at"}`; no secret."""
        ...

    def create_key(self, name: str, scopes: Sequence[str], actor: Person) -> str:
        """A new API key; returns the secret, which is never shown again."""
        ...

    def revoke_key(self, key_id: str, actor: Person) -> None:
        """The key stops working at once."""
        ...

    def people(self) -> list[JSON]:
        """`{"id", "email", "name", "role", "created_at"}`."""
        ...

    def create_person(self, email: str, password: str, role: str, name: str, actor: Person) -> JSON:
        """Somebody new who can sign in."""
        ...

    def authenticate(self, email: str, password: str) -> Person | None:
        """Who this is, or `None` when e-mail and password do not belong together."""
        ...

    def person(self, person_id: str) -> Person | None:
        """Who is signed in under this id; `None` when they are gone."""
        ...

    def audit(self, subject: str) -> list[JSON]:
        """Who did what to a subject (`experiment:home-recs`), latest first: `{"at", "actor", "action", "detail"}`."""
        ...


def backend() -> Pages:
    """The platform behind the running application."""
    return cast("Pages", current_app.extensions["reclift"].pages)
