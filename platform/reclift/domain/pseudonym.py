"""User ids behind a keyed hash: whoever has the tables but not the key cannot tell whose rows they are."""

from __future__ import annotations

import hashlib

MIN_KEY = 16


class Pseudonyms:
    """Maps ids to pseudonyms, always the same under one key (BLAKE2b with a key, 128 bits). Without a key: as they are.

    128 bits: among a billion people the chance that any two share a pseudonym is below 1e-20.
    """

    def __init__(self, key: str = "") -> None:
        """`key`: at least 16 characters, or none. `ValueError` for a shorter one: it could be guessed."""
        if key and len(key) < MIN_KEY:
            raise ValueError(f"the pseudonym key has {len(key)} characters: at least {MIN_KEY} are needed")
        self._key = hashlib.sha256(key.encode()).digest() if key else None

    def __bool__(self) -> bool:
        """Whether ids are hidden at all."""
        return self._key is not None

    def __call__(self, user_id: str) -> str:
        """The id under which everything of this user is kept."""
        if self._key is None:
            return user_id
        return "p-" + hashlib.blake2b(user_id.encode(), key=self._key, digest_size=16).hexdigest()
