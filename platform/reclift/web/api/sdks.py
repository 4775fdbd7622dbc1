"""The plan for those who decide themselves: GrowthBook's SDKs (public, by client key), and `reclift.client`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import orjson
from flask import Blueprint, Response, request

from reclift.domain.growthbook import features_payload
from reclift.domain.plan import Plan
from reclift.domain.plan_json import to_json
from reclift.flows.accounts import digest
from reclift.flows.clock import rfc3339
from reclift.flows.serving import Serving
from reclift.web.auth import runtime, scoped
from reclift.web.problems import Refused

sdks = Blueprint("sdks", __name__)

_MAX_AGE = 10


class _Payload:
    """A JSON text of the newest plan, made once for each."""

    def __init__(self, make: Callable[[Serving], dict[str, Any]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._plan: Plan | None = None
        self._body = b""
        self._tag = ""

    def of(self, serving: Serving) -> tuple[bytes, str]:
        """Body and ETag. A snapshot with other items or aliases has the same plan, and so the same payload."""
        with self._lock:
            if self._plan is not serving.plan:
                self._body = orjson.dumps(self._make(serving))
                self._tag = hashlib.sha256(self._body).hexdigest()[:32]
                self._plan = serving.plan
            return self._body, self._tag


_features = _Payload(lambda here: features_payload(here.plan, updated=rfc3339(here.changed_at) or ""))
_plan = _Payload(lambda here: to_json(here.plan))


@sdks.get("/api/features/<client_key>")
def features(client_key: str) -> Response:
    """The running experiments for GrowthBook's SDKs; public to whoever has the client key, and free of secrets."""
    serving = runtime().live.current
    key = serving.keys.get(digest(client_key))
    if key is None or "client" not in key.scopes:
        raise Refused(
            404, "Not found", "there is no client key like this; make one: reclift create-key NAME --scope client"
        )
    _refuse_pseudonyms(serving)
    response = _answer(_features, serving)
    # Shared caches may keep it for a moment and show the old one while they fetch the new.
    response.headers["Cache-Control"] = f"public, max-age={_MAX_AGE}, stale-while-revalidate=60"
    response.make_conditional(request)
    return response


@sdks.get("/api/v1/plan")
@scoped("shop")
def plan() -> Response:
    """All that it takes to decide as this server does; for servers, since testers and saved groups are in clear."""
    serving = runtime().live.current
    _refuse_pseudonyms(serving)
    response = _answer(_plan, serving)
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def _refuse_pseudonyms(serving: Serving) -> None:
    if serving.pseudonyms:
        raise Refused(
            409,
            "Not possible with pseudonyms",
            "units are bucketed by pseudonyms, which an SDK cannot compute without the key; "
            "ask /assign or OFREP, which answer the same arm for every user",
        )


def _answer(payload: _Payload, serving: Serving) -> Response:
    body, tag = payload.of(serving)
    response = Response(body, mimetype="application/json")
    response.set_etag(tag)
    return response


@sdks.after_request
def _for_other_sites(response: Response) -> Response:
    """A browser lets a page of the shop read the answer, refusals included; no cookie is ever looked at here."""
    if request.endpoint != "sdks.features":
        return response
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = "ETag"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "GET"
        response.headers["Access-Control-Allow-Headers"] = "Cache-Control, If-None-Match"
    return response
