"""People and keys behind the pages' door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reclift.flows import accounts
from reclift.web.backing_base import Backed
from reclift.web.pages.backend import JSON, Invalid, NotFound, Person, Problem, Refused


class PeoplePages(Backed):
    """Who may do what."""

    # people and keys
    def scopes(self) -> list[JSON]:
        """What keys can be allowed."""
        return [{"key": key, "text": text} for key, text in accounts.SCOPES.items()]

    def keys(self) -> list[JSON]:
        """API keys, without secrets."""
        with self._read() as session:
            return [{**key, "id": str(key["id"])} for key in accounts.keys(session)]

    def create_key(self, name: str, scopes: Sequence[str], actor: Person) -> str:
        """A new key; its secret."""
        with self._write() as session:
            _, secret = accounts.create_key(session, name, list(scopes), actor.email)
        self._refresh()
        return secret

    def revoke_key(self, key_id: str, actor: Person) -> None:
        """Switch a key off."""
        if not key_id.isdigit():
            raise NotFound(f"There is no key {key_id!r}.")
        with self._write() as session:
            accounts.revoke_key(session, int(key_id), actor.email)
        self._refresh()

    def people(self) -> list[JSON]:
        """Everybody who can sign in."""
        with self._read() as session:
            return [{**person, "id": str(person["id"])} for person in accounts.accounts(session)]

    def create_person(self, email: str, password: str, role: str, name: str, actor: Person) -> JSON:
        """Somebody new."""
        try:
            with self._write() as session:
                row, _ = accounts.create_account(session, email, role, password, name, actor.email)
                return accounts.account_view(row)
        except Refused as error:
            raise Invalid([Problem(field="email", value=email, rule=str(error))]) from error

    def authenticate(self, email: str, password: str) -> Person | None:
        """Who this is."""
        with self._write() as session:
            row = accounts.authenticate(session, email, password)
            return _person(row) if row is not None else None

    def person(self, person_id: str) -> Person | None:
        """Who is signed in."""
        if not person_id.isdigit():
            return None
        with self._read() as session:
            row = accounts.account(session, int(person_id))
            return _person(row) if row is not None else None


def _person(row: Any) -> Person:
    return Person(str(row.id), row.email, row.role, row.name)
