"""Decides here, from the server's plan in memory: no network per decision."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reclift.client.answers import Assignment
from reclift.client.errors import ApiError, NotReady, RecliftError
from reclift.client.fork import renew_after_fork
from reclift.client.http import Transport

if TYPE_CHECKING:
    from reclift.domain.plan import Plan

log = logging.getLogger("reclift.client")


class LocalPlan:
    """Keeps the newest plan; when the server is away, the last good one."""

    def __init__(self, transport: Transport, *, every: float) -> None:
        """Nothing is fetched before `start`; then every `every` seconds, by ETag."""
        self._transport = transport
        self._every = every
        self._plan: Plan | None = None
        self._tag: str | None = None
        self._confirmed = 0.0
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """No thread: at the start, and in a forked child, which keeps the plan."""
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._loaded = threading.Event()
        if self._plan is not None:
            self._loaded.set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Fetch and keep fetching, in a thread of its own; again after a fork."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._ending.is_set():
                self._thread = threading.Thread(target=self._run, name="reclift-plan", daemon=True)
                self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Until there is a plan; False when there is none within `timeout` seconds."""
        self.start()
        return self._loaded.wait(timeout)

    @property
    def age_seconds(self) -> float | None:
        """How long ago the plan was known to be the newest; None: there is none."""
        return time.monotonic() - self._confirmed if self._plan is not None else None

    def decide(self, user_id: str, experiment: str, attributes: Mapping[str, Any] | None) -> Assignment:
        """One decision. `NotReady` before the first plan; `ApiError` 404 for an experiment that does not exist."""
        self.start()
        plan = self._plan
        if plan is None:
            raise NotReady("the plan has not been loaded yet: wait_until_ready() waits for it")
        known = plan.experiments.get(experiment)
        if known is None:
            raise ApiError(404, "Not found", f"experiment {experiment!r} does not exist")
        decision = plan.decide(experiment, user_id, attributes)
        arm = plan.arm(decision)
        return Assignment(
            experiment,
            decision.arm,
            decision.in_experiment,
            decision.reason.value,
            arm.strategy,
            arm.params,
            known.phase,
        )

    def running(self) -> list[str]:
        """The running experiments, by start."""
        plan = self._plan
        return [one.key for one in plan.running] if plan is not None else []

    def refresh(self) -> bool:
        """Fetch now; True when there was a newer plan. Raises what a call raises."""
        from reclift.domain.plan_json import PlanFormatError, from_json

        headers = {"If-None-Match": self._tag} if self._tag is not None else None
        answer = self._transport.call("GET", "/api/v1/plan", safe=True, headers=headers)
        if answer.status != 304:
            try:
                self._plan = from_json(answer.body)
            except PlanFormatError as error:
                raise RecliftError(str(error)) from error
            self._tag = answer.headers.get("ETag")
        self._confirmed = time.monotonic()
        self._loaded.set()
        return answer.status != 304

    def _run(self) -> None:
        while True:
            try:
                self.refresh()
            except RecliftError as error:
                log.warning("the plan was not refreshed: %s", error)
            except Exception:
                # The last resort: the thread must live on, or the plan is never renewed.
                log.exception("the plan was not refreshed")
            if self._ending.wait(self._every):
                return

    def close(self) -> None:
        """End the thread; the plan stays."""
        self._ending.set()
