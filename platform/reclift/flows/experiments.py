"""Experiments: made, changed and led through their life, with every rule checked and every change on record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from reclift.domain.analysis import Analysis
from reclift.domain.experiment import Arm, Experiment, LayerSlot, Status, TransitionError, transition
from reclift.domain.groups import Groups
from reclift.domain.plan import Plan
from reclift.domain.problem import Problem
from reclift.domain.pseudonym import Pseudonyms
from reclift.domain.validation import parse_experiment
from reclift.flows import groups as group_flow
from reclift.flows import holdouts, jobs, models, rollup
from reclift.flows.clock import now, rfc3339
from reclift.flows.configuration import bump, record
from reclift.flows.errors import Conflict, Invalid, NotFound
from reclift.flows.experiment_checks import override_problems, reference_problems
from reclift.flows.layers import place_in_layer
from reclift.storage.tables import ArmRow, ExperimentRow
from reclift.strategy import Registry

DEFAULT_METRICS: Mapping[str, Any] = {
    "primary": "ctr",
    "secondary": ["conversion", "revenue_per_user"],
    "guardrails": ["latency", "fallback_rate"],
}
DEFAULT_PLANNED_DAYS = 14

FREE_FIELDS = frozenset({"name", "hypothesis", "traffic", "metrics", "note", "planned_days", "overrides"})
"""What may change while an experiment runs: nothing of this moves a user who is in to another arm."""


def to_domain(row: ExperimentRow) -> Experiment:
    """The experiment as the plan sees it."""
    slot = None
    if row.layer is not None and row.slot_start is not None and row.slot_end is not None:
        slot = LayerSlot(row.layer, row.slot_start, row.slot_end)
    return Experiment(
        key=row.key,
        placement=row.placement or "",
        arms=tuple(
            Arm(arm.key, arm.strategy, arm.params, arm.weight, arm.control, arm.model, arm.rerank) for arm in row.arms
        ),
        traffic=row.traffic,
        audience=row.audience,
        slot=slot,
        status=Status(row.status),
        phase=row.phase,
        kind=row.kind,
        overrides=row.overrides,
        exclude=row.exclude,
        sticky=row.sticky,
        started_at=row.started_at,
    )


def compile_plan(
    rows: Iterable[ExperimentRow], groups: Groups, plan_version: int, pseudonyms: Pseudonyms | None = None
) -> Plan:
    """The plan of all experiments and holdouts, in the order in which they were started.

    Overrides name users as people know them; units are known by their pseudonyms.
    """
    hide = pseudonyms or Pseudonyms()
    rows = list(rows)
    split = [row for row in rows if row.kind != holdouts.KIND]
    return Plan(
        [
            replace(
                to_domain(row),
                overrides={hide(unit): arm for unit, arm in row.overrides.items()},
                status=Status(row.status) if row.source != "imported" else Status.STOPPED,
            )
            for row in split
        ],
        groups=groups.values(),
        holdouts=[holdouts.to_domain(row) for row in rows if row.kind == holdouts.KIND and row.status != Status.DRAFT],
        version=plan_version,
    )


def view(row: ExperimentRow) -> dict[str, Any]:
    """An experiment as the API and pages show it."""
    return {
        "key": row.key,
        "name": row.name,
        "hypothesis": row.hypothesis,
        "kind": row.kind,
        "source": row.source,
        "placement": row.placement,
        "layer": row.layer,
        "layer_range": [row.slot_start, row.slot_end] if row.slot_start is not None else None,
        "traffic": row.traffic,
        "audience": row.audience,
        "exclude": row.exclude,
        "overrides": row.overrides,
        "sticky": row.sticky,
        "arms": [
            {
                "key": arm.key,
                "strategy": arm.strategy,
                "params": arm.params,
                "weight": arm.weight,
                "control": arm.control,
                "model": arm.model,
                "rerank": arm.rerank,
            }
            for arm in row.arms
        ],
        "metrics": row.metrics,
        "note": row.data.get("note", ""),
        "planned_days": row.data.get("planned_days"),
        "analysis": Analysis.from_dict(row.data.get("analysis")).to_dict(),
        "ramp": row.data.get("ramp") or [],
        "ramp_stopped": row.data.get("ramp_stopped"),
        "phases": row.data.get("phases") or [],
        "weight_changes": row.data.get("weight_changes") or [],
        "status": row.status,
        "phase": row.phase,
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "started_at": rfc3339(row.started_at),
        "stopped_at": rfc3339(row.stopped_at),
    }


def find(session: Session, key: str, *, to_change: bool = False) -> ExperimentRow:
    """The row of a key; `NotFound`. `to_change`: whoever else wants to change it waits until this transaction ends."""
    query = select(ExperimentRow).where(ExperimentRow.key == key)
    if to_change:
        query = query.with_for_update(of=ExperimentRow).execution_options(populate_existing=True)
    row = session.scalar(query)
    if row is None:
        raise NotFound("experiment", key)
    return row


def all_experiments(session: Session, status: str | None = None) -> list[dict[str, Any]]:
    """Experiments, the newest first; archived ones only when asked for."""
    query = select(ExperimentRow).order_by(ExperimentRow.created_at.desc(), ExperimentRow.id.desc())
    query = query.where(ExperimentRow.status == status) if status else query.where(ExperimentRow.status != "archived")
    return [view(row) for row in session.scalars(query)]


def create(
    session: Session,
    registry: Registry,
    payload: Mapping[str, Any],
    actor: str,
    *,
    source: str = "live",
    at: datetime | None = None,
) -> ExperimentRow:
    """Make a draft; `Invalid` names everything that is wrong with it.

    `source` is "live", "replay" (real histories played back) or "imported" (a log of another system: it is reported on
    but never served, so its arms may name strategies that are not installed here).
    """
    fields, problems = parse_experiment(payload, groups=group_flow.all_groups(session))
    problems = [*problems, *reference_problems(session, registry if source != "imported" else None, fields)]
    if problems:
        raise Invalid(problems)
    if session.scalar(select(ExperimentRow.id).where(ExperimentRow.key == fields["key"])) is not None:
        raise Conflict(f"there is already an experiment {fields['key']!r}")
    at = at or now()
    row = ExperimentRow(
        key=fields["key"],
        source=source,
        status="draft",
        phase=1,
        version=1,
        data={"planned_days": DEFAULT_PLANNED_DAYS},
        created_at=at,
        updated_at=at,
        metrics=dict(DEFAULT_METRICS),
        traffic=1.0,
        audience={},
        exclude={},
        overrides={},
        sticky=False,
        kind="ab",
        name="",
        hypothesis="",
    )
    _write(row, fields)
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(f"there is already an experiment {fields['key']!r}") from error
    bump(session)  # /assign knows drafts, too: "not_running" is another answer than 404
    record(session, actor, "create", "experiment", row.key, None, view(row))
    return row


def change(session: Session, registry: Registry, key: str, payload: Mapping[str, Any], actor: str) -> ExperimentRow:
    """Change some fields. While it runs only those that leave users where they are; never after its end."""
    row = find(session, key, to_change=True)
    if row.kind == holdouts.KIND and set(payload) - {"name", "note", "metrics"}:
        raise Conflict(f"{key!r} is a holdout: only its name, note and metrics can change")
    if row.status in {Status.STOPPED, Status.ARCHIVED} and set(payload) - {"note", "name", "hypothesis"}:
        raise Conflict(f"experiment {key!r} is {row.status}: only its name, hypothesis and note can still change")
    if payload.get("key", key) != key:
        raise Invalid.of("key", payload["key"], "cannot change: users are hashed with it")
    fields, problems = parse_experiment(payload, partial=True, groups=group_flow.all_groups(session))
    fields.pop("key", None)
    problems = [*problems, *override_problems(row, fields)]
    if row.status != Status.DRAFT:
        before = view(row)
        problems = [
            *problems,
            *(
                Problem(
                    name,
                    value,
                    f"cannot change while the experiment is {row.status}; only {', '.join(sorted(FREE_FIELDS))} can "
                    "(weights: in a new phase, or where assignment is sticky)",
                )
                for name, value in fields.items()
                if name not in FREE_FIELDS and value != before.get(name)
            ),
        ]
    problems = [*problems, *reference_problems(session, registry if row.source != "imported" else None, fields)]
    if problems:
        raise Invalid(problems)
    before = view(row)
    if row.status != Status.DRAFT:
        fields = {name: value for name, value in fields.items() if name in FREE_FIELDS}
    _write(row, fields)
    if row.layer is not None and row.status in {Status.RUNNING, Status.PAUSED} and row.traffic != before["traffic"]:
        place_in_layer(session, row)
    if row.metrics != before["metrics"] or _past_days(view(row)) != _past_days(before):
        rollup.mark_all(session, key)
    row.version += 1
    row.updated_at = now()
    session.flush()
    bump(session)
    record(session, actor, "change", "experiment", key, before, view(row))
    return row


def act(
    session: Session,
    registry: Registry,
    queue: jobs.Queue,
    key: str,
    action: str,
    actor: str,
    *,
    at: datetime | None = None,
) -> ExperimentRow:
    """Start, pause, resume, stop or archive. `Conflict` when its state does not allow that."""
    row = find(session, key, to_change=True)
    try:
        leads_to = transition(Status(row.status), action)
    except TransitionError as error:
        raise Conflict(f"{key}: {error}") from None
    before = view(row)
    at = at or now()
    if action == "start":
        served = row.source != "imported" and row.kind != holdouts.KIND
        problems = reference_problems(session, registry if served else None, view(row))
        if len(row.arms) < 2:
            problems.append(Problem("arms", len(row.arms), "must be at least 2 before an experiment can start"))
        if problems:
            raise Invalid(problems)
        if row.layer is not None:
            place_in_layer(session, row)
        row.started_at = at
        row.data = {**row.data, "chosen": chosen_plan(row)}
    if action == "stop":
        row.stopped_at = at
    row.status = leads_to
    row.version += 1
    row.updated_at = now()
    session.flush()
    bump(session)
    record(session, actor, action, "experiment", key, before, view(row))
    if leads_to is Status.RUNNING and row.source != "imported":
        for strategy, params in models.missing(session, registry):
            jobs.request(session, queue, "train", {"strategy": strategy, "params": params}, actor)
    if action in {"stop", "pause"}:
        jobs.request(session, queue, "report", {"experiment": key}, actor)
    return row


def _past_days(shown: Mapping[str, Any]) -> int | None:
    days: int | None = shown["analysis"]["cuped_days"]
    return days


def chosen_plan(row: ExperimentRow) -> dict[str, Any]:
    """What reports hold an experiment to, as it stands when units begin to come in: its length and primary metric."""
    return {"planned_days": row.data.get("planned_days"), "primary": row.metrics.get("primary")}


def warnings(session: Session, row: ExperimentRow) -> list[str]:
    """What people should know before they start it, though it is allowed."""
    if row.kind == holdouts.KIND:
        return []
    others = session.scalars(
        select(ExperimentRow.key).where(
            ExperimentRow.placement == row.placement,
            ExperimentRow.status == "running",
            ExperimentRow.key != row.key,
            ExperimentRow.source != "imported",
            ExperimentRow.kind != holdouts.KIND,
            (ExperimentRow.layer != row.layer) | (ExperimentRow.layer.is_(None)),
        )
    ).all()
    if not others:
        return []
    run, several = ("also runs", "both") if len(others) == 1 else ("also run", "several of them")
    return [
        (
            f"{', '.join(others)} {run} on {row.placement}: a user in {several} gets the list of the one that started "
            "first and counts only there. Put them into one layer to share the users out."
        )
    ]


def _write(row: ExperimentRow, fields: Mapping[str, Any]) -> None:
    for name in (
        "name",
        "hypothesis",
        "kind",
        "placement",
        "layer",
        "traffic",
        "audience",
        "exclude",
        "overrides",
        "sticky",
    ):
        if name in fields:
            setattr(row, name, fields[name])
    chosen = fields.get("metrics")
    if chosen is not None and chosen.get("primary") is not None:
        row.metrics = {"secondary": [], "guardrails": [], **chosen}
    extras = {name: fields[name] for name in ("note", "planned_days", "analysis") if name in fields}
    if extras:
        row.data = {**row.data, **extras}
    if "arms" in fields:
        # A key keeps its row: a new row beside the old one would not be unique.
        known = {arm.key: arm for arm in row.arms}
        row.arms = [_arm(known.get(arm["key"]), arm, position) for position, arm in enumerate(fields["arms"])]


def _arm(row: ArmRow | None, arm: Mapping[str, Any], position: int) -> ArmRow:
    row = row or ArmRow(key=arm["key"])
    row.position = position
    row.strategy, row.params = arm["strategy"], arm.get("params") or {}
    row.weight, row.control, row.model = arm.get("weight", 1.0), arm.get("control", False), arm.get("model")
    row.rerank = arm.get("rerank")
    return row
