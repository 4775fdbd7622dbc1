"""Regular expressions from people: only those that mean the same everywhere and cannot hang anyone.

Evaluated by RE2, whose time is linear in the text. What RE2 would take but a client's backtracking SDK would choke on
is refused when it is saved; see docs/decisions/0002-regex.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

from reclift.domain.regex_check import RegexError, check

MAX_PATTERN = 500
MAX_MEMORY = 1 << 20


def regex_test(pattern: str, *, ignore_case: bool = False) -> Callable[[Any], bool]:
    """A test for "some part of the text matches"; values that are not text never match.

    Raises `RegexError` with the reason when the pattern is not allowed or not a pattern.
    """
    search = _compile(pattern, ignore_case).search

    def test(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        if not value.isascii():
            # RE2 reads UTF-8, which has no lone surrogates: they become a character that no pattern can name.
            value = value.encode("utf-8", "replace").decode()
        return search(value) is not None

    return test


@lru_cache(maxsize=1024)
def _compile(pattern: str, ignore_case: bool) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise RegexError(f"a pattern has at most {MAX_PATTERN} characters, this one has {len(pattern)}")
    check(pattern)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    options.case_sensitive = not ignore_case
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        raise RegexError(f"is not a pattern: {error}") from error
