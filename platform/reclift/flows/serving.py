"""Keeps what each process answers from: plan, placements, keys, models and items, as one snapshot that is swapped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from reclift.domain.pseudonym import Pseudonyms
from reclift.domain.rerank import to_diversity
from reclift.flows import experiments, models
from reclift.flows import groups as group_flow
from reclift.flows.errors import FlowError
from reclift.flows.placements import chain
from reclift.flows.serving_catalogue import Items, load_items
from reclift.flows.snapshot import Key, Served, ServedPlacement, Serving
from reclift.storage.artifacts import Artifacts
from reclift.storage.database import Database
from reclift.storage.tables import Alias, ApiKey, Configuration, ExperimentRow, ModelRow, Placement
from reclift.strategy import Registry, Strategy

__all__ = ["Key", "Live", "Served", "ServedPlacement", "Serving"]

# Drafts too: a preview link shows their arms before the start.
_SERVED = frozenset({"draft", "running", "paused"})

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 30.0
_LOAD_SECONDS = 60.0
"""For the configuration and new models, all together; a database that hangs must not be waited for for ever."""
_NEW_ALIASES = 1_000


class Live:
    """Keeps the current snapshot and looks for newer configuration; without a database the last good one stays."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        artifacts: Artifacts,
        *,
        poll_seconds: float,
        pseudonyms: Pseudonyms | None = None,
        persons_changed: Callable[[Collection[str] | None], None] = lambda _: None,
    ) -> None:
        """Nothing is loaded before `refresh` or `start`. `persons_changed` is told whose ids or events changed
        hands; None: anybody's.
        """
        self._persons_changed = persons_changed
        self._pseudonyms = pseudonyms or Pseudonyms()
        self._database = database
        self._registry = registry
        self._artifacts = artifacts
        self._poll = poll_seconds
        self._serving: Serving | None = None
        self._loaded_models: dict[str, Strategy] = {}
        self._last_alias = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._confirmed = 0.0
        self._loaded = 0.0

    @property
    def current(self) -> Serving:
        """The snapshot to answer from; loaded at first use."""
        serving = self._serving
        if serving is None:
            self.refresh()
            serving = self._serving
        assert serving is not None  # noqa: S101 (for the type checker: refresh sets it or raises)
        return serving

    @property
    def age_seconds(self) -> float | None:
        """How long ago the snapshot was last known to be the newest; None: never loaded."""
        return time.monotonic() - self._confirmed if self._serving is not None else None

    def refresh(self) -> bool:
        """Look for a newer configuration and take it; True when there was one. Database errors are raised."""
        with self._lock, self._database.read(patience=_LOAD_SECONDS) as session:
            row = session.execute(
                select(Configuration.version, Configuration.catalogue_version, Configuration.aliases_version).where(
                    Configuration.id == 1
                )
            ).one_or_none()
            if row is None:
                raise FlowError("the database has not been set up: run `reclift migrate`")
            version, catalogue_version, aliases_version = row
            before = serving = self._serving
            if serving is None or serving.version != version or self._try_again(serving):
                serving = self._load(session, version)
                if before is not None:
                    serving = replace(
                        serving,
                        aliases=before.aliases,
                        new_aliases=before.new_aliases,
                        aliases_version=before.aliases_version,
                    )
            serving = self._with_items(session, serving, before, catalogue_version)
            persons: set[str] | None = set()
            if serving.aliases_version != aliases_version:
                serving, persons = self._with_aliases(session, serving, aliases_version)
            self._serving = serving
            self._confirmed = time.monotonic()
        if persons is None or persons:
            self._persons_changed(persons)
        return serving is not before

    @staticmethod
    def _with_items(session: Session, serving: Serving, before: Serving | None, version: int) -> Serving:
        """The catalogue as it was read before, or read anew where it changed or more of it is needed."""
        needs = serving.describes, serving.explores
        if before is not None and before.catalogue_version == version and (before.describes, before.explores) == needs:
            if serving is before:
                return serving
            return replace(serving, catalogue_version=version, items=before.items)
        items = load_items(session, described=needs[0], exploring=needs[1])
        return replace(serving, catalogue_version=version, items=items)

    def _try_again(self, serving: Serving) -> bool:
        """A model that could not be loaded may have been on its way: a shared folder is not always as quick."""
        return serving.unusable and time.monotonic() - self._loaded >= _RETRY_SECONDS

    def _with_aliases(
        self, session: Session, serving: Serving, aliases_version: int
    ) -> tuple[Serving, set[str] | None]:
        """With the aliases of now, and whose they are that are new; None: something else happened as well."""
        rows = session.execute(
            select(Alias.id, Alias.alias, Alias.unit_id).where(Alias.id > self._last_alias).order_by(Alias.id)
        ).all()
        persons = {name for _, alias, unit in rows for name in (alias, unit)}
        only_new = aliases_version - serving.aliases_version == len(rows)
        everything, fresh = serving.aliases, {**serving.new_aliases, **{alias: unit for _, alias, unit in rows}}
        count = session.scalar(select(func.count()).select_from(Alias)) or 0
        if count != len(everything) + len(fresh):
            # Some were erased.
            rows = session.execute(select(Alias.id, Alias.alias, Alias.unit_id).order_by(Alias.id)).all()
            everything, fresh = {alias: unit for _, alias, unit in rows}, {}
        elif len(fresh) > max(_NEW_ALIASES, len(everything) // 10):
            everything, fresh = {**everything, **fresh}, {}
        if rows:
            self._last_alias = rows[-1].id
        serving = replace(serving, aliases=everything, new_aliases=fresh, aliases_version=aliases_version)
        return serving, persons if only_new else None

    def _load(self, session: Session, version: int) -> Serving:
        active: dict[tuple[str, str], Served] = {}
        by_version: dict[tuple[str, int], Served] = {}
        kept: dict[str, Strategy] = {}
        wanted = models.wanted(session, self._registry)
        rows = session.scalars(select(ModelRow).where(ModelRow.state == "ready")).all()
        experiment_rows = session.scalars(
            select(ExperimentRow).order_by(ExperimentRow.started_at, ExperimentRow.id)
        ).all()
        pinned = {
            (arm.strategy, arm.model)
            for row in experiment_rows
            for arm in row.arms
            if arm.model is not None and row.status in {"running", "paused"}
        }
        unusable = False
        for row in rows:
            used = (row.active and (row.strategy, row.fingerprint) in wanted) or (row.strategy, row.version) in pinned
            if not used:
                continue
            restored = self._restore(row, kept)
            if restored is None:
                unusable = True
                continue
            by_version[row.strategy, row.version] = restored
            if row.active:
                active[row.strategy, row.fingerprint] = restored

        def serve(strategy: str, params: Mapping[str, Any], model: int | None = None) -> Served:
            if model is not None:
                return by_version.get((strategy, model), Served(strategy, None, None))
            try:
                mark = models.fingerprint(models.complete(self._registry, strategy, params))
            except Exception as error:  # noqa: BLE001 (a strategy is foreign code; it may not even load)
                log.warning("strategy_unusable", strategy=strategy, reason=f"{type(error).__name__}: {error}")
                return Served(strategy, None, None)
            return active.get((strategy, mark), Served(strategy, None, None))

        placements = {
            row.key: ServedPlacement(
                row.key,
                row.settings.get("seen", "bought"),
                replace(serve(row.strategy, row.params), diversity=to_diversity(row.settings.get("rerank"))),
                tuple(serve(key, params) for key, params in chain(row.fallback)),
                row.settings.get("explore", 0.0),
            )
            for row in session.scalars(select(Placement))
        }
        arms, described = {}, {}
        for experiment in experiment_rows:
            for arm in experiment.arms:
                described[experiment.key, arm.key] = {"strategy": arm.strategy, "params": arm.params}
                if experiment.status in _SERVED and experiment.source != "imported" and experiment.kind != "holdout":
                    served = serve(arm.strategy, arm.params, arm.model)
                    arms[experiment.key, arm.key] = replace(served, diversity=to_diversity(arm.rerank))
        keys = {
            row.digest: Key(row.name, frozenset(row.scopes))
            for row in session.scalars(select(ApiKey).where(ApiKey.revoked_at.is_(None)))
        }
        phases = {
            row.key: {arm.key: row.phase for arm in row.arms} for row in experiment_rows if row.started_at is not None
        }
        self._loaded_models = kept
        self._loaded = time.monotonic()
        return Serving(
            version=version,
            catalogue_version=0,
            plan=experiments.compile_plan(experiment_rows, group_flow.all_groups(session), version, self._pseudonyms),
            pseudonyms=self._pseudonyms,
            placements=placements,
            arms=arms,
            described=described,
            keys=keys,
            phases=phases,
            items=Items(frozenset()),
            sticky={row.key: row.phase for row in experiment_rows if row.sticky and row.status == "running"},
            changed_at=session.scalar(select(Configuration.changed_at).where(Configuration.id == 1)),
            unusable=unusable,
        )

    def _restore(self, row: ModelRow, kept: dict[str, Strategy]) -> Served | None:
        name = row.artifact or ""
        model = self._loaded_models.get(name)
        if model is None:
            model = models.restore(self._registry, self._artifacts, row)
            if model is None:
                return None
        kept[name] = model
        return Served(row.strategy, models.label(row), model)

    def start(self) -> None:
        """Look for newer configuration every `poll_seconds`, in a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="reclift-live", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def _watch(self) -> None:
        while not self._stop.wait(self._poll):
            try:
                self.refresh()
            except (SQLAlchemyError, FlowError) as error:
                log.warning("configuration_not_read", age_seconds=self.age_seconds, reason=str(error).splitlines()[0])
            except Exception:
                log.exception("configuration_not_loaded")
