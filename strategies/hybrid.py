"""Several strategies as one: blended by rank or by score, or one of them by how much is known of the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from reclift.strategy import (
    Dataset,
    Parameters,
    Progress,
    Query,
    Registry,
    Scored,
    State,
    Strategy,
    StrategyError,
    parse_parameters,
)

RANK_OFFSET = 60.0
"""Cormack et al. found reciprocal rank fusion insensitive to this, and so has everyone since."""


class Component(Parameters):
    """One of the strategies that are combined."""

    strategy: str = Field(description="Key of an installed strategy")
    params: dict[str, Any] = Field(default_factory=dict, description="Its parameters; empty: its defaults")
    weight: float = Field(1.0, gt=0, le=1000, description="reciprocal_rank and weighted: its say in the blend")
    min_history: int = Field(
        0, ge=0, le=10_000, description="Used for users with at least so many signals in their history"
    )


class HybridParameters(Parameters):
    """What is combined, and how."""

    method: Literal["reciprocal_rank", "weighted", "switch"] = Field(
        "reciprocal_rank",
        description="reciprocal_rank: blend by rank, robust; weighted: blend by scores scaled to 0..1; switch: the one "
        "component with the largest min_history that the user reaches",
    )
    components: tuple[Component, ...] = Field(
        (
            Component(strategy="matrix_factorization", weight=2.0),
            Component(strategy="user_cf"),
        ),
        min_length=1,
        max_length=8,
        description="The strategies that are combined, each trained by the hybrid itself",
    )
    depth: int = Field(100, ge=1, le=2000, description="So many items of each component are blended")

    @model_validator(mode="after")
    def _no_hybrid_in_it(self) -> Self:
        for component in self.components:
            if component.strategy == "hybrid":
                raise ValueError("components may not be hybrids themselves: name the strategies that they combine")
        return self


class Hybrid:
    """Burke, "Hybrid Recommender Systems: Survey and Experiments" (UMUAI 2002): weighted and switching hybrids.

    `reciprocal_rank`: score = sum of weight / (60 + rank), Cormack, Clarke & Buettcher, "Reciprocal Rank Fusion
    outperforms Condorcet and individual Rank Learning Methods" (SIGIR 2009). `weighted`: scores are scaled to 0..1 over
    each component's list; an item that a component did not list has 0 of it. `switch`: one component answers alone.

    The hybrid trains its components itself, from the same data, and keeps their states within its own: so a version of
    the hybrid is one thing that is activated, pinned and rolled back, and nothing changes under a running experiment
    when another model is trained. Components come through the entry points, also from other packages.
    """

    title: ClassVar[str] = "Hybrid"
    summary: ClassVar[str] = "Blends several strategies, or switches between them by length of history."
    Parameters: ClassVar[type[Parameters]] = HybridParameters
    needs_training: ClassVar[bool] = True

    def __init__(self, components: Sequence[Strategy], params: HybridParameters) -> None:
        """`components` in the order of the parameters' ones."""
        self._components = tuple(components)
        self._params = params

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        """Fit every component.

        Raises:
            StrategyError: a component is not installed, its parameters are wrong, or it cannot be fitted.
        """
        given: HybridParameters = params
        registry = Registry.installed()
        fitted: list[Strategy] = []
        for number, component in enumerate(given.components):

            def told(share: float, what: str, number: int = number, key: str = component.strategy) -> None:
                progress((number + share) / len(given.components), f"{key}: {what}")

            strategy, own = _component(registry, number, component)
            fitted.append(strategy.fit(data, own, told))
        return cls(fitted, given)

    def recommend(self, query: Query) -> list[Scored]:
        """Ask the components that the history is long enough for, and combine."""
        length = len(query.history)
        asked = [
            (model, component)
            for model, component in zip(self._components, self._params.components, strict=True)
            if component.min_history <= length
        ]
        if not asked or query.k < 1:
            return []
        if self._params.method == "switch":
            # the first of equals, as they are listed
            model, _ = max(asked, key=lambda pair: pair[1].min_history)
            return list(model.recommend(query))[: query.k]
        deeper = replace(query, k=max(query.k, self._params.depth))
        scores: dict[str, float] = {}
        reasons: dict[str, tuple[float, str]] = {}
        for model, component in asked:
            answer = model.recommend(deeper)
            for scored, part in zip(answer, self._parts(answer), strict=True):
                share = component.weight * part
                scores[scored.item_id] = scores.get(scored.item_id, 0.0) + share
                if scored.reason and share > reasons.get(scored.item_id, (-1.0, ""))[0]:
                    reasons[scored.item_id] = (share, scored.reason)
        # sorting is stable: equal scores stay as the components listed them
        best = sorted(scores.items(), key=lambda pair: -pair[1])[: query.k]
        return [
            Scored(item_id, score, None, reasons[item_id][1] if item_id in reasons else None) for item_id, score in best
        ]

    def _parts(self, answer: Sequence[Scored]) -> list[float]:
        if self._params.method == "reciprocal_rank":
            return [1 / (RANK_OFFSET + rank) for rank in range(1, len(answer) + 1)]
        if not answer:
            return []
        low, high = answer[-1].score, answer[0].score
        if high <= low:
            return [1.0] * len(answer)
        least = 1 / len(answer)  # the last of a list is still better than what is not on it
        return [least + (1 - least) * (scored.score - low) / (high - low) for scored in answer]

    def state(self) -> State:
        """The components' states; array `a` of component n is called `c{n}_a`. `search`: the least of their recalls."""
        states = [model.state() for model in self._components]
        meta: dict[str, Any] = {"components": [dict(state.meta) for state in states]}
        told = [state.meta["search"] for state in states if "recall@10" in state.meta.get("search", {})]
        if told:
            meta["search"] = {name: min(one[name] for one in told) for name in told[0] if name.startswith("recall@")}
        return State(
            arrays={f"c{n}_{name}": array for n, state in enumerate(states) for name, array in state.arrays.items()},
            meta=meta,
        )

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`."""
        given: HybridParameters = params
        registry = Registry.installed()
        restored: list[Strategy] = []
        for number, (component, meta) in enumerate(zip(given.components, state.meta["components"], strict=True)):
            strategy, own = _component(registry, number, component)
            start = f"c{number}_"
            arrays = {name[len(start) :]: array for name, array in state.arrays.items() if name.startswith(start)}
            restored.append(strategy.restore(State(arrays=arrays, meta=meta), own))
        return cls(restored, given)


def _component(registry: Registry, number: int, component: Component) -> tuple[type[Strategy], Parameters]:
    try:
        strategy = registry.get(component.strategy)
        return strategy, parse_parameters(component.strategy, strategy, component.params)
    except StrategyError as error:
        raise StrategyError(f"hybrid: parameter components.{number}: {error}") from error
