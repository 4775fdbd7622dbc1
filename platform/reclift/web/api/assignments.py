"""Decisions as JSON, written once: a plan makes each decision that it can come to when it is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from reclift.domain.decision import Decision
from reclift.flows.serving import Serving

_UNDESCRIBED: Mapping[str, Any] = {"strategy": None, "params": {}}
_MOST = 100_000


class Written:
    """Keeps the JSON of the newest snapshot's decisions."""

    def __init__(self) -> None:
        self._of: tuple[Serving | None, dict[int, tuple[Decision, orjson.Fragment]]] = (None, {})

    def all(self, serving: Serving, decisions: Iterable[Decision]) -> list[orjson.Fragment]:
        """Each decision as /assign answers it."""
        kept_for, kept = self._of
        if kept_for is not serving:
            # Both change at once, for other threads, too.
            kept = {}
            self._of = (serving, kept)
        result = []
        for decision in decisions:
            # By identity, since hashing a decision takes as long as writing it. The decision is kept along with its
            # JSON, so that no other one can come to have the same identity.
            known = kept.get(id(decision))
            if known is None:
                known = (decision, orjson.Fragment(orjson.dumps(view(serving, decision))))
                if len(kept) < _MOST:  # previews make decisions of their own
                    kept[id(decision)] = known
            result.append(known[1])
        return result


def view(serving: Serving, decision: Decision) -> dict[str, Any]:
    """One decision as /assign answers it."""
    return {
        "experiment": decision.experiment,
        "arm": decision.arm,
        "in_experiment": decision.in_experiment,
        "reason": decision.reason,
        **serving.described.get((decision.experiment, decision.arm), _UNDESCRIBED),
    }
