"""Before the start, behind the pages' door: sizes from the placement's past, preview links, and looks at lists."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import select

from reclift.domain.experiment import Arm, Experiment, LayerSlot, Status
from reclift.domain.validation import parse_experiment
from reclift.flows import experiments, groups, power, power_past
from reclift.flows.errors import Invalid as FlowInvalid
from reclift.flows.experiment_checks import reference_problems
from reclift.flows.power_audience import Who
from reclift.flows.preview import DAYS, Preview
from reclift.flows.preview_lists import Eyes, PreviewModels, Viewer, look
from reclift.storage.tables import EventRow, ExperimentRow
from reclift.web.backing_base import Backed
from reclift.web.pages.backend import JSON, Invalid, Problem
from reclift.wiring import Runtime

PEOPLE = 4
_PAST_SECONDS = 60.0
"""How long a placement's past is good for: while one types, only the question changes."""
_MOST_PASTS = 32
_OF_THE_PAST = frozenset({"placement", "metric", "audience", "exclude", "cuped_days"})


class PlanPages(Backed):
    """What helps to plan an experiment."""

    def __init__(self, runtime: Runtime) -> None:
        """`runtime` lives as long as the process."""
        super().__init__(runtime)
        self._models = PreviewModels(runtime.registry, runtime.artifacts)
        self._pasts: dict[bytes, tuple[float, power_past.Past]] = {}

    def power(self, question: Mapping[str, Any]) -> JSON:
        """Units and days, from the placement's past."""
        asked = {name: value for name, value in question.items() if name not in _OF_THE_PAST}
        subject = (str(question["placement"]), str(question["metric"]))
        who = Who(question.get("audience") or {}, question.get("exclude") or {})
        days = question.get("cuped_days")
        place = orjson.dumps([*subject, who.audience, who.exclude, days])
        kept = self._pasts.get(place)
        if kept is None or time.monotonic() - kept[0] > _PAST_SECONDS:
            with self._read() as session:
                kept = (time.monotonic(), power_past.past(session, *subject, who, days))
            while len(self._pasts) >= _MOST_PASTS:
                self._pasts.pop(next(iter(self._pasts)), None)  # another thread may have been faster
            self._pasts[place] = kept
        asked["weights"] = tuple(asked.get("weights") or ())
        return power.answer(kept[1], *subject, power.Question(**asked))

    def preview(self, key: str, arm: str) -> JSON:
        """A token that shows an arm to one person and enters nothing into the data."""
        with self._read() as session:
            keys = [row.key for row in experiments.find(session, key).arms]
        if arm not in keys:
            raise Invalid([Problem(field="arm", value=arm, rule=f"must be one of {', '.join(keys)}")])
        return {"arm": arm, "token": self._here.previews.token(Preview(key, arm)), "valid_days": DAYS}

    def people_lately(self) -> list[str]:
        """Users of the newest events; a pseudonym is no id that one could look as."""
        if self._here.pseudonyms:
            return []
        with self._read() as session:
            newest = session.scalars(select(EventRow.unit_id).order_by(EventRow.at.desc()).limit(200))
            return list(dict.fromkeys(newest))[:PEOPLE]

    def look_as(self, experiment: Mapping[str, Any], viewer: Mapping[str, Any]) -> JSON:
        """The arms' lists for one person."""
        here = self._here
        with self._read() as session:
            row = session.scalar(select(ExperimentRow).where(ExperimentRow.key == experiment["key"]))
            if row is not None and row.status in {"running", "paused"}:
                seen = experiments.to_domain(row)
                seen = replace(seen, overrides={here.pseudonyms(unit): arm for unit, arm in seen.overrides.items()})
            else:
                fields, problems = parse_experiment(experiment, groups=groups.all_groups(session))
                problems = [*problems, *reference_problems(session, here.registry, fields)]
                if problems:
                    raise FlowInvalid(problems)
                seen = self._draft(fields)
            eyes = Eyes(here.live.current, here.recommender, here.histories, here.sticky, self._models)
            return look(session, eyes, seen, Viewer(**viewer))

    def _draft(self, fields: Mapping[str, Any]) -> Experiment:
        """As if it ran. Which part of a layer it will hold is not known yet: its whole traffic is assumed to fit."""
        layer = fields["layer"]
        return Experiment(
            key=fields["key"],
            placement=fields["placement"],
            arms=tuple(
                Arm(arm["key"], arm["strategy"], arm["params"], arm["weight"], arm["control"], arm["model"],
                    arm["rerank"])
                for arm in fields["arms"]
            ),
            # Inside its part of a layer, an experiment has everybody.
            traffic=1.0 if layer else fields["traffic"],
            slot=LayerSlot(layer, 0.0, 1.0) if layer else None,
            audience=fields["audience"] or {},
            exclude=fields["exclude"] or {},
            overrides={self._here.pseudonyms(unit): arm for unit, arm in fields["overrides"].items()},
            status=Status.DRAFT,
        )  # fmt: skip
