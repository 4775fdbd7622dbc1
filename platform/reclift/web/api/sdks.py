"""For existing SDKs: GrowthBook's payload at /api/features/{client_key}."""

from __future__ import annotations

import hashlib
import threading

import orjson
from flask import Blueprint, Response, request

from reclift.domain.growthbook import features_payload
from reclift.domain.plan import Plan
from reclift.flows.accounts import digest
from reclift.flows.clock import rfc3339
from reclift.flows.serving import Serving
from reclift.web.auth import runtime
from reclift.web.problems import Refused

sdks = Blueprint("sdks", __name__)

_MAX_AGE = 10


class _Payload:
    """The payload of the newest plan, made once for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plan: Plan | None = None
        self._body = b""
        self._tag = ""

    def of(self, serving: Serving) -> tuple[bytes, str]:
        """Body and ETag. A snapshot with other items or aliases has the same plan, and so the same payload."""
        with self._lock:
            if self._plan is not serving.plan:
                changed = rfc3339(serving.changed_at) or ""
                self._body = orjson.dumps(features_payload(serving.plan, updated=changed))
                self._tag = hashlib.sha256(self._body).hexdigest()[:32]
                self._plan = serving.plan
            return self._body, self._tag


_payload = _Payload()


@sdks.get("/api/features/<client_key>")
def features(client_key: str) -> Response:
    """The running experiments for GrowthBook's SDKs; public to whoever has the client key, and free of secrets."""
    serving = runtime().live.current
    key = serving.keys.get(digest(client_key))
    if key is None or "client" not in key.scopes:
        raise Refused(
            404, "Not found", "there is no client key like this; make one: reclift create-key NAME --scope client"
        )
    body, tag = _payload.of(serving)
    response = Response(body, mimetype="application/json")
    response.set_etag(tag)
    # Shared caches may keep it for a moment and show the old one while they fetch the new.
    response.headers["Cache-Control"] = f"public, max-age={_MAX_AGE}, stale-while-revalidate=60"
    response.make_conditional(request)
    return response


@sdks.after_request
def _for_other_sites(response: Response) -> Response:
    """A browser lets a page of the shop read the answer, refusals included; no cookie is ever looked at here."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = "ETag"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "GET"
        response.headers["Access-Control-Allow-Headers"] = "Cache-Control, If-None-Match"
    return response
