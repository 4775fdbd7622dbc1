"""`reclift new-strategy`: a commented file to start from, and its test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import click

from reclift.flows.errors import Conflict, Invalid
from reclift.strategy import Registry

_STRATEGY = '''"""{title}: say here what it does, when to choose it, and where the idea comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from reclift.strategy import Dataset, Parameters, Progress, Query, Scored, State


class {name}Parameters(Parameters):
    """What people can set. Descriptions and bounds become the form in the web UI."""

    smoothing: float = Field(1.0, ge=0, description="Added to every item's count, so that rare items are not at zero.")


class {name}:
    """Begins as a plain count of interactions: replace it with your idea, method by method."""

    title: ClassVar[str] = "{title}"
    summary: ClassVar[str] = "One sentence for product managers: when to choose it."
    Parameters: ClassVar[type[Parameters]] = {name}Parameters
    needs_training: ClassVar[bool] = True

    def __init__(self, item_ids: NDArray[np.str_], scores: NDArray[np.float64]) -> None:
        """Best items first; both of shape (items,)."""
        self._items: list[str] = item_ids.tolist()
        self._scores: list[float] = scores.tolist()
        self._arrays = {{"item_ids": item_ids, "scores": scores}}

    @classmethod
    def fit(cls, data: Dataset, params: {name}Parameters, progress: Progress) -> Self:
        """Learn, in a worker. `data.matrix` is users by items; heavy libraries are imported here, not at the top."""
        scores = np.asarray(data.matrix.sum(axis=0)).ravel() + params.smoothing
        progress(0.9, "sorting")
        order = np.argsort(-scores, kind="stable")
        return cls(data.item_ids[order], scores[order].astype(np.float64))

    def recommend(self, query: Query) -> Sequence[Scored]:
        """Answer, in every web process, many times a second: no IO, nothing kept of the query.

        `query.history` is what the user did until now; `query.seed` is where all randomness comes from.
        """
        allowed = ((item, score) for item, score in zip(self._items, self._scores, strict=True) if query.allows(item))
        return [Scored(item, score) for (item, score), _ in zip(allowed, range(query.k), strict=False)]

    def state(self) -> State:
        """What is saved: arrays (memory-mapped when they come back) and anything JSON can hold."""
        return State(arrays=self._arrays)

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:  # noqa: ARG003 (the contract's signature)
        """The inverse of `state`."""
        return cls(state.arrays["item_ids"], state.arrays["scores"])
'''

_TEST = '''"""{title}: the platform's promises, and what makes this strategy special."""

from __future__ import annotations

from {module} import {name}
from reclift.strategy import Dataset, Query
from reclift.testing import StrategyContract


class Test{name}(StrategyContract):
    """What every strategy is held to: right answers, hard rules, saving and loading, odd data."""

    key = "{module}"
    cls = {name}
    personal = False  # it gives everybody the same list: drop this line when your idea looks at `query.history`


def test_the_best_comes_first():
    rows = [("ann", "a", 1.0, 1.0), ("ann", "b", 1.0, 2.0), ("bob", "a", 1.0, 3.0), ("cem", "c", 1.0, 4.0)]
    fitted = {name}.fit(Dataset.from_rows(rows), {name}.Parameters(), lambda share, what: None)
    answer = fitted.recommend(Query(k=3))
    assert [scored.item_id for scored in answer] == ["a", "b", "c"]
    assert answer[0].score > answer[1].score
'''


@click.command("new-strategy")
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where the files go.")
def new_strategy(name: str, folder: Path) -> None:
    """Write a commented strategy to start from, and its test: NAME.py and test_NAME.py."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) or keyword.iskeyword(name):
        raise Invalid.of("name", name, "must be a Python module's name: a-z, 0-9 and _, beginning with a letter")
    if name in Registry.installed():
        raise Invalid.of("name", name, "is installed already: another name tells the two apart")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    words = {"name": class_name, "title": name.replace("_", " ").capitalize(), "module": name}
    files = {folder / f"{name}.py": _STRATEGY, folder / f"test_{name}.py": _TEST}
    for path in files:
        if path.exists():
            raise Conflict(f"{path} is there already: nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text.format(**words), encoding="utf-8")
        click.echo(f"wrote {path}")
    click.echo("Make it known in your package's pyproject.toml:\n")
    click.echo(f'[project.entry-points."reclift.strategies"]\n{name} = "{name}:{class_name}"')
