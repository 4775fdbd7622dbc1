"""Flask with a short way for the calls that each visit of a shop makes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response
from flask.globals import request_ctx
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin

from reclift.web.lanes import Lanes, headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_NOT_GIVEN: Any = inspect.signature(Flask.do_teardown_request).parameters["exc"].default
"""Flask's mark for "the exception that is being handled, if any"."""


class PeopleSessions(SecureCookieSessionInterface):
    """Opens a session only where a person may be: a request with a key has none, and pays for none."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Empty where there is a key."""
        if "HTTP_AUTHORIZATION" in request.environ:
            return self.session_class()
        return super().open_session(app, request)

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        """Only a changed session is sent."""
        return bool(session.modified) and super().should_set_cookie(app, session)


class Application(Flask):
    """Flask, in which the views of some blueprints are called without the application's hooks.

    Those hooks are the pages' (sign-in, forms, limits on sign-in): for a request that carries a key they do nothing,
    and cost more than the answer itself. Errors are handled as everywhere.

    Attributes:
        direct: names of the blueprints. They may have no hooks of their own; the first request checks that.
        lanes: what is answered before Flask comes into it; None: nothing.
    """

    direct: frozenset[str] = frozenset()
    lanes: Lanes | None = None

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The answer of a lane, or else Flask's. What a lane raises is handled as if a view had raised it."""
        if self.lanes is None:
            return super().wsgi_app(environ, start_response)
        try:
            answer = self.lanes.answer(environ)
        except Exception as error:  # noqa: BLE001 (handed to the registered handlers, as Flask does)
            with self.request_context(environ):
                response = self.make_response(self.handle_user_exception(error))
                return response(environ, start_response)
        if answer is None:
            return super().wsgi_app(environ, start_response)
        start_response(*headers(answer))
        return [answer.body]

    @cached_property
    def _direct_endpoints(self) -> frozenset[str]:
        for name in self.direct:
            if self.before_request_funcs.get(name) or self.after_request_funcs.get(name):
                raise RuntimeError(f"blueprint {name!r} has hooks, so its views cannot be called without")
        return frozenset(
            rule.endpoint for rule in self.url_map.iter_rules() if _blueprint(rule.endpoint) in self.direct
        )

    def _is_direct(self) -> bool:
        rule = request_ctx.request.url_rule
        return rule is not None and rule.endpoint in self._direct_endpoints

    def do_teardown_request(self, exc: BaseException | None = _NOT_GIVEN) -> None:
        """The hooks at the request's end; none for direct views."""
        if not self._is_direct():
            super().do_teardown_request(exc)

    def full_dispatch_request(self) -> Response:
        """The view's answer, or what its error is turned into."""
        request = request_ctx.request
        rule = request.url_rule
        if rule is None or rule.endpoint not in self._direct_endpoints or request.method == "OPTIONS":
            return super().full_dispatch_request()
        answer: Any
        try:
            answer = self.view_functions[rule.endpoint](**(request.view_args or {}))
        except Exception as error:  # noqa: BLE001 (handed to the registered handlers, as Flask does)
            answer = self.handle_user_exception(error)
        return answer if isinstance(answer, Response) else self.make_response(answer)


def _blueprint(endpoint: str) -> str:
    return endpoint.rpartition(".")[0]
