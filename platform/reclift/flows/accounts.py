"""People and keys: who may do what."""

from __future__ import annotations

import hashlib
import re
import secrets
from functools import cache
from typing import Any

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.flows.clock import now, rfc3339
from reclift.flows.configuration import bump, record
from reclift.flows.errors import Conflict, Invalid, NotFound
from reclift.flows.snapshot import Key
from reclift.storage.tables import Account, ApiKey

ROLES = ("manager", "viewer")
SCOPES: dict[str, str] = {
    "shop": "call /assign, /recommend, /events, /items, /users and OpenFeature from a server",
    "replay": "date impressions into the past, to replay real histories",
    "client": "read the GrowthBook payload; may be public",
    "read": "read experiments, reports, models and settings",
    "manage": "read and change all of these",
}
MIN_PASSWORD = 10

_hasher = PasswordHash((Argon2Hasher(),))


@cache
def _decoy() -> str:
    """Checked when there is no such account, so that the answer takes as long as for a wrong password.

    Made at a process's first sign-in, whoever it is: commands and workers have none, and it takes as long as one.
    """
    return _hasher.hash(secrets.token_hex(16))


def digest(key: str) -> str:
    """What is kept of an API key: SHA-256, in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def create_key(session: Session, name: str, scopes: list[str], actor: str) -> tuple[ApiKey, str]:
    """Make a key; returns its row and the secret, which is nowhere else."""
    name = name.strip()
    if not 1 <= len(name) <= 200:
        raise Invalid.of("name", name, "must have 1 to 200 characters")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise Invalid.of("scopes", unknown or scopes, f"must be one or more of {', '.join(SCOPES)}")
    secret = f"rl_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        name=name,
        prefix=secret[:9],
        digest=digest(secret),
        scopes=sorted(set(scopes)),
        created_at=now(),
        created_by=actor,
    )
    session.add(row)
    session.flush()
    bump(session)
    record(session, actor, "create", "key", str(row.id), None, {"name": name, "scopes": row.scopes})
    return row, secret


def find_key(session: Session, sought: str) -> Key | None:
    """What the key of this digest may do; None: there is none, or it was revoked."""
    row = session.scalar(select(ApiKey).where(ApiKey.digest == sought, ApiKey.revoked_at.is_(None)))
    return Key(row.name, frozenset(row.scopes)) if row is not None else None


def revoke_key(session: Session, key_id: int, actor: str) -> None:
    """Switch a key off, for good."""
    row = session.get(ApiKey, key_id)
    if row is None:
        raise NotFound("key", key_id)
    if row.revoked_at is None:
        row.revoked_at = now()
        bump(session)
        record(session, actor, "revoke", "key", str(row.id), None, {"name": row.name})


def keys(session: Session) -> list[dict[str, Any]]:
    """All keys, newest first, without what is secret."""
    return [
        {
            "id": row.id,
            "name": row.name,
            "prefix": row.prefix,
            "scopes": row.scopes,
            "created_at": rfc3339(row.created_at),
            "created_by": row.created_by,
            "revoked_at": rfc3339(row.revoked_at),
        }
        for row in session.scalars(select(ApiKey).order_by(ApiKey.id.desc()))
    ]


def create_account(
    session: Session, email: str, role: str, password: str | None, name: str, actor: str
) -> tuple[Account, str]:
    """Make an account; without a password one is made up. Returns the row and the password."""
    email = email.strip().lower()
    if not re.fullmatch(r"[^@\s]{1,64}@[^@\s]{1,185}", email):
        raise Invalid.of("email", email, "must be an e-mail address")
    if role not in ROLES:
        raise Invalid.of("role", role, f"must be one of {', '.join(ROLES)}")
    if password is None:
        password = secrets.token_urlsafe(12)
    if not MIN_PASSWORD <= len(password) <= 200:
        raise Invalid.of("password", "…", f"must have {MIN_PASSWORD} to 200 characters")
    if session.scalar(select(Account).where(Account.email == email)) is not None:
        raise Conflict(f"there is already an account {email!r}")
    row = Account(email=email, name=name.strip(), role=role, password_hash=_hasher.hash(password), created_at=now())
    session.add(row)
    session.flush()
    record(session, actor, "create", "account", email, None, {"role": role})
    return row, password


def authenticate(session: Session, email: str, password: str) -> Account | None:
    """The account of this e-mail address and password, or None."""
    decoy = _decoy()
    row = session.scalar(select(Account).where(Account.email == email.strip().lower()))
    if row is None or row.disabled_at is not None:
        _hasher.verify(password, decoy)
        return None
    valid, renewed = _hasher.verify_and_update(password, row.password_hash)
    if renewed is not None:
        row.password_hash = renewed
    return row if valid else None


def account(session: Session, account_id: int) -> Account | None:
    """An account that may sign in."""
    row = session.get(Account, account_id)
    return row if row is not None and row.disabled_at is None else None


def accounts(session: Session) -> list[dict[str, Any]]:
    """All people."""
    return [account_view(row) for row in session.scalars(select(Account).order_by(Account.email))]


def account_view(row: Account) -> dict[str, Any]:
    """A person as pages show them."""
    return {
        "id": row.id,
        "email": row.email,
        "name": row.name,
        "role": row.role,
        "created_at": rfc3339(row.created_at),
        "disabled_at": rfc3339(row.disabled_at),
    }
