"""Who is calling: an API key (looked up in memory by its hash), or a signed-in person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from flask import current_app, g, request, session
from flask_login import current_user
from flask_wtf.csrf import validate_csrf
from wtforms import ValidationError

from reclift.flows.accounts import digest, find_key
from reclift.flows.serving import Key
from reclift.storage.database import QUICK_SECONDS
from reclift.web.pages.backend import Pages
from reclift.web.pages.frame import actor as signed_in
from reclift.web.problems import NotAllowed, Refused
from reclift.wiring import Runtime

Args = ParamSpec("Args")
Answer = TypeVar("Answer")

_ROLE_SCOPES = {"manager": frozenset({"read", "manage"}), "viewer": frozenset({"read"})}
_IMPLIED = {"read": frozenset({"read", "manage"})}
_KEY = "reclift.key"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Extension:
    """What hangs in `app.extensions["reclift"]`: the runtime, and the pages' door to it."""

    runtime: Runtime
    pages: Pages


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a view: keys with one of `scopes`, and signed-in people where `people`. /openapi.json shows it."""

    scopes: tuple[str, ...]
    people: bool


def runtime() -> Runtime:
    """What this process works with."""
    return cast("Extension", current_app.extensions["reclift"]).runtime


def bearer() -> Key | None:
    """The API key that was sent, if any; 401 when it is not a valid one."""
    header: str = request.environ.get("HTTP_AUTHORIZATION", "")
    if header:
        kind, _, secret = header.partition(" ")
        if kind.lower() != "bearer" or not secret:
            raise NotAllowed(401, "the Authorization header must be `Bearer KEY`", ', error="invalid_request"')
    else:
        secret = request.environ.get("HTTP_X_API_KEY", "")  # how some SDKs send it
        if not secret:
            return None
    sought, here = digest(secret.strip()), runtime()
    key = here.live.current.keys.get(sought)
    if key is None:
        # Made a moment ago, perhaps by another process: the snapshot has not heard of it yet.
        with here.database.read(patience=QUICK_SECONDS) as session:
            key = find_key(session, sought)
    if key is None:
        raise NotAllowed(401, "this API key is unknown or revoked", ', error="invalid_token"')
    return key


def scoped(*scopes: str, people: bool = False) -> Callable[[Callable[Args, Answer]], Callable[Args, Answer]]:
    """Let a view be called only with a key that has one of `scopes`; with `people`, by signed-in persons too.

    A person's changing request needs the CSRF token in `X-CSRFToken`, since the browser sends the cookie by itself.
    """
    accepted = frozenset(scopes).union(*(_IMPLIED.get(scope, frozenset()) for scope in scopes))

    def wrap(view: Callable[Args, Answer]) -> Callable[Args, Answer]:
        @wraps(view)
        def guarded(*args: Args.args, **kwargs: Args.kwargs) -> Answer:
            key = bearer()
            if key is not None:
                if accepted.isdisjoint(key.scopes):
                    raise NotAllowed(
                        403,
                        f"this needs a key with scope {' or '.join(scopes)}; yours has {', '.join(sorted(key.scopes))}",
                        f', error="insufficient_scope", scope="{" ".join(scopes)}"',
                    )
                request.environ[_KEY] = key
            elif people and session.get("_user_id") is not None and current_user.is_authenticated:
                _check_person(accepted, scopes)
            else:
                raise NotAllowed(401, "send an API key: `Authorization: Bearer KEY`")
            if any("\x00" in value for value in kwargs.values() if isinstance(value, str)):
                raise Refused(400, "Malformed request", "the address holds a NUL character, which no id has")
            return view(*args, **kwargs)

        guarded.__dict__["access"] = Access(scopes, people=people)
        return guarded

    return wrap


def _check_person(accepted: frozenset[str], scopes: tuple[str, ...]) -> None:
    person = signed_in()
    if accepted.isdisjoint(_ROLE_SCOPES.get(person.role, frozenset())):
        raise NotAllowed(403, f"a {person.role} may not do this; it needs scope {' or '.join(scopes)}")
    if request.method not in _SAFE:
        try:
            validate_csrf(request.headers.get("X-CSRFToken", ""))
        except ValidationError as error:
            raise NotAllowed(403, f"X-CSRFToken: {error}") from None
    g.actor = person.email


def actor() -> str:
    """Who is on record for a change."""
    key = request.environ.get(_KEY)
    return f"key:{key.name}" if key is not None else cast(str, g.get("actor", ""))
