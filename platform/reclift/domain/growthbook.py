"""The plan as GrowthBook's SDKs read it: whoever evaluates this payload gets the same arm as `Plan.decide`.

One feature per running experiment, whose value is the arm's key and whose default is the control's. An experiment's
rules, in the order in which an SDK tries them:

1. for people who test: their arm, forced;
2. the experiment: the same hash (version 2), seed and ranges; the audience and the excluded as a condition; holdouts
   and the layer as filters.

Lists of user ids (testers, saved groups of people, ids in audiences) are not in it in clear. A list becomes filters:
for each of several seeds, the hash buckets of its members. A member passes all of them; somebody else passes by
chance once in `1 / CHANCE` or less. So a list of up to `MAX_HASHED` ids can be used, and guessing at an id can be
tried, but ids cannot be read. An experiment that would need more is left out, and `left_out` says why.

Not in it: sticky assignments that live in our database (an SDK with its own sticky buckets keeps its own), drafts and
everything else that does not run, and names and hypotheses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reclift.domain.bucketing import BUCKETS, SeededHash, bucket_ranges, code_units, layer_seed, normalised
from reclift.domain.experiment import Experiment, Holdout, Status
from reclift.domain.groups import UNIT_ATTRIBUTE
from reclift.domain.plan import Plan
from reclift.domain.portable import EVERYONE, NOBODY, Members, NotPortableError, all_of, memberships, none_of, portable

Rule = dict[str, Any]
Filter = dict[str, Any]

HASH_VERSION = 2
CHANCE = 1e-10
"""How likely somebody who is not on a hashed list may be to pass as if he were."""
MAX_HASHED = 1_000
MAX_LISTS = 3
"""Different lists of ids in one experiment's conditions: rules are needed for each combination of them."""


def features_payload(plan: Plan, *, updated: str) -> dict[str, Any]:
    """The payload of `/api/features/{client_key}`; `updated` is when the plan last changed, RFC 3339."""
    features: dict[str, Any] = {}
    for experiment in plan.running:
        try:
            rules = _rules(experiment, plan)
        except NotPortableError:
            continue
        features[experiment.key] = {"defaultValue": experiment.control.key, "rules": rules}
    return {"status": 200, "features": features, "dateUpdated": updated}


def left_out(plan: Plan, *, only: str | None = None) -> dict[str, str]:
    """The running experiments that the payload does not have, each with the reason. `only`: look at this one."""
    reasons: dict[str, str] = {}
    for experiment in plan.running:
        if only not in (None, experiment.key):
            continue
        try:
            _rules(experiment, plan)
        except NotPortableError as error:
            reasons[experiment.key] = str(error)
    return reasons


def _rules(experiment: Experiment, plan: Plan) -> list[Rule]:
    if experiment.key in plan.problems:
        return []  # nobody is let in
    rules = []
    for arm in experiment.ordered_arms:
        testers = frozenset(unit for unit, forced in experiment.overrides.items() if forced == arm.key and unit)
        if testers:
            rules.append({"force": arm.key, "filters": _members(experiment, testers)})
    lists = memberships({"$and": [experiment.audience, experiment.exclude]}, plan.groups)
    if len(lists) > MAX_LISTS:
        raise NotPortableError(f"{len(lists)} different lists of ids; at most {MAX_LISTS} can be hashed")
    return rules + _by_membership(experiment, plan, lists, {})


def _by_membership(
    experiment: Experiment, plan: Plan, lists: Sequence[Members], answers: dict[Members, bool]
) -> list[Rule]:
    """The experiment's rule for each combination of memberships: members first, then a stop for them, then the rest."""
    if not lists:
        return _main_rule(experiment, plan, answers)
    members, rest = lists[0], lists[1:]
    inside = _by_membership(experiment, plan, rest, {**answers, members: True})
    outside = _by_membership(experiment, plan, rest, {**answers, members: False})
    if inside == outside:
        return outside
    filters = _members(experiment, members)
    for_members = [{**rule, "filters": [*filters, *rule.get("filters", ())]} for rule in inside]
    stop = [{"force": experiment.control.key, "filters": filters}] if outside else []
    return [*for_members, *stop, *outside]


def _main_rule(experiment: Experiment, plan: Plan, answers: Mapping[Members, bool]) -> list[Rule]:
    audience = portable(experiment.audience, plan.groups, answers)
    excluded = portable(experiment.exclude, plan.groups, answers) if experiment.exclude else NOBODY
    condition = all_of([audience, none_of([excluded])])
    if condition == NOBODY:
        return []
    arms = experiment.ordered_arms
    weights = normalised([arm.weight for arm in arms])
    rule: Rule = {
        "key": experiment.key,
        "seed": experiment.seed,
        "hashAttribute": UNIT_ATTRIBUTE,
        "hashVersion": HASH_VERSION,
        "variations": [arm.key for arm in arms],
        "meta": [{"key": arm.key} for arm in arms],
        "coverage": experiment.coverage,
        "weights": weights,
        "ranges": [list(range_) for range_ in bucket_ranges(len(arms), experiment.coverage, weights)],
        "phase": str(experiment.phase),
        "bucketVersion": experiment.phase,
        "disableStickyBucketing": not experiment.sticky,
    }
    if condition != EVERYONE:
        rule["condition"] = condition
    filters = [_outside(holdout) for holdout in plan.holdouts.values() if _concerns(holdout, experiment)]
    if experiment.slot is not None:
        bounds = [[experiment.slot.start, experiment.slot.end]]
        filters.append(_filter(layer_seed(experiment.slot.layer), bounds))
    if filters:
        rule["filters"] = filters
    return [rule]


def _concerns(holdout: Holdout, experiment: Experiment) -> bool:
    return holdout.status == Status.RUNNING and holdout.placement in (None, experiment.placement)


def _outside(holdout: Holdout) -> Filter:
    return _filter(holdout.seed, [[holdout.share, 1.0]])


def _filter(seed: str, ranges: list[list[float]]) -> Filter:
    return {"seed": seed, "attribute": UNIT_ATTRIBUTE, "hashVersion": HASH_VERSION, "ranges": ranges}


def _members(experiment: Experiment, members: Members) -> list[Filter]:
    """Filters that only members pass (but for `CHANCE`): their buckets under one seed after another."""
    if len(members) > MAX_HASHED:
        raise NotPortableError(f"a list of {len(members)} ids; at most {MAX_HASHED} can be hashed")
    units = [code_units(member) for member in sorted(members)]
    filters: list[Filter] = []
    chance = 1.0
    while chance > CHANCE:
        seed = f"{experiment.seed}:ids:{len(filters)}"
        hashed = SeededHash(seed)
        buckets = sorted({hashed.bucket(unit) for unit in units})
        chance *= len(buckets) / BUCKETS
        filters.append(_filter(seed, _runs(buckets)))
    return filters


def _runs(buckets: Sequence[int]) -> list[list[float]]:
    """Ascending buckets as ranges, neighbours joined."""
    runs: list[list[int]] = []
    for bucket in buckets:
        if runs and runs[-1][1] == bucket:
            runs[-1][1] = bucket + 1
        else:
            runs.append([bucket, bucket + 1])
    return [[start / BUCKETS, end / BUCKETS] for start, end in runs]
