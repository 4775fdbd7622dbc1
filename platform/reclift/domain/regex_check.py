r"""Reads a pattern in the dialect that JavaScript, Python and RE2 share, and refuses what backtracks without end.

The dialect: literals, `.`, classes, `\d \w \s \b` and their opposites, `^ $`, groups `(…)` and `(?:…)`, `|`, and
the quantifiers `* + ? {n} {n,} {n,m}`, each lazy or not. Lookaround, back-references, named groups and inline flags are
not in it: RE2 cannot promise linear time for the former, and the three dialects write the latter differently.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_REPEAT = 100
MAX_OVERLAPPING = 3
"""How many unbounded repetitions may be able to take the same character: the degree of the polynomial, at worst."""
MAX_OPTIONS = 10
"""How many narrow ones may: at worst each doubles the time."""
MAX_GROUP_DEPTH = 20

_WIDE = 10

_OTHER = 1 << 128  # stands for every character that is not ASCII
_ALL = (1 << 129) - 1


def _mask(characters: str) -> int:
    mask = 0
    for character in characters:
        mask |= 1 << ord(character) if ord(character) < 128 else _OTHER
    return mask


def _fold(mask: int) -> int:
    """Both cases of every letter, since a pattern may be matched without regard to case."""
    return mask | (mask & _UPPER) << 32 | (mask & _LOWER) >> 32


_UPPER = _mask("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = _UPPER << 32
_DIGIT = _mask("0123456789")
_WORD = _mask("0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SPACE = _mask(" \t\n\r\f\v") | _OTHER
# The opposites keep the characters beyond ASCII: whether they belong differs between dialects, so they count as both.
_CLASSES = {
    "d": _DIGIT, "D": _ALL & ~_DIGIT,
    "w": _WORD, "W": _ALL & ~_WORD,
    "s": _SPACE, "S": _ALL & ~_SPACE | _OTHER,
}  # fmt: skip
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_PUNCTUATION = frozenset("\\^$.|?*+()[]{}/-\"'`~!@#%&=:;,<> _")


class RegexError(ValueError):
    """A pattern that is not allowed; the message is the reason."""


@dataclass(frozen=True, slots=True)
class _Part:
    r"""What a piece of a pattern can do.

    Attributes:
        first: the characters that it can begin with.
        nullable: whether it can match nothing at all.
        varies: whether there are several ways to match: it holds a repetition of varying length, or branches that
            can begin alike.
        loops: for each unbounded (or wide) repetition inside, the characters that it can take.
        options: likewise for narrow repetitions of varying length, such as `?`.
        anchor: whether it is a position (`^`, `$`, `\b`) and not text.
    """

    first: int = 0
    nullable: bool = False
    varies: bool = False
    loops: tuple[int, ...] = ()
    options: tuple[int, ...] = ()
    anchor: bool = False


def check(pattern: str) -> None:
    """Nothing if the pattern is allowed, else `RegexError` with the reason."""
    part = _Reader(pattern).read()
    for what, masks, limit in (
        ("unbounded or wide repetitions (*, +, {n,}, {n,m})", part.loops, MAX_OVERLAPPING),
        ("optional pieces (?, {n,m})", part.options, MAX_OPTIONS),
    ):
        if any(sum(mask >> bit & 1 for mask in masks) > limit for bit in range(129)):
            raise RegexError(f"has more than {limit} {what} that can take the same character: slow on long texts")


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0

    def read(self) -> _Part:
        part = self.branches()
        if self.at < len(self.pattern):
            raise RegexError(f"has a ')' too many at character {self.at + 1}")
        return part

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def branches(self) -> _Part:
        found = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            found.append(self.sequence())
        if len(found) == 1:
            return found[0]
        first, alike = 0, sum(part.nullable for part in found) > 1
        for part in found:
            alike = alike or bool(first & part.first)
            first |= part.first
        return _Part(
            first=first,
            nullable=any(part.nullable for part in found),
            varies=alike or any(part.varies or part.nullable for part in found),
            loops=tuple(loop for part in found for loop in part.loops),
            options=tuple(option for part in found for option in part.options),
        )

    def sequence(self) -> _Part:
        first, nullable, varies = 0, True, False
        loops: tuple[int, ...] = ()
        options: tuple[int, ...] = ()
        while (character := self.peek()) and character not in "|)":
            part = self.quantified()
            if nullable:
                first |= part.first
            nullable = nullable and (part.nullable or part.anchor)
            varies = varies or part.varies
            loops += part.loops
            options += part.options
        return _Part(first=first, nullable=nullable, varies=varies, loops=loops, options=options)

    def quantified(self) -> _Part:
        part = self.atom()
        bounds = self.quantifier()
        if bounds is None:
            return part
        if part.anchor:
            raise RegexError(f"repeats a position (^, $ or \\b) at character {self.at}")
        least, most = bounds
        many = most is None or most > 1
        if many and (part.varies or part.nullable):
            raise RegexError(
                "repeats a group that can match the same text in several ways (a repetition inside a repetition, or "
                "branches that begin alike): that can take for ever"
            )
        loops, options = part.loops, part.options
        if most is None or most - least >= _WIDE:
            loops += (part.first or _ALL,)
        elif most > least:
            options += (part.first or _ALL,)
        return _Part(
            first=part.first,
            nullable=part.nullable or least == 0,
            varies=part.varies or least != most,
            loops=loops,
            options=options,
        )

    def quantifier(self) -> tuple[int, int | None] | None:
        """The bounds of the quantifier at hand, if there is one."""
        character = self.peek()
        bounds: tuple[int, int | None]
        if character == "*":
            bounds = (0, None)
        elif character == "+":
            bounds = (1, None)
        elif character == "?":
            bounds = (0, 1)
        elif character == "{":
            end = self.pattern.find("}", self.at)
            least, comma, most = self.pattern[self.at + 1 : max(end, self.at)].partition(",")
            if not _is_count(least) or (most and not _is_count(most)):
                raise RegexError(f"has a '{{' at character {self.at + 1} that begins no {{n}} or {{n,m}}; write \\{{")
            bounds = (int(least), int(most) if most else None if comma else int(least))
            self.at = end
        else:
            return None
        self.at += 1
        least_count, most_count = bounds
        if max(least_count, most_count or 0) > MAX_REPEAT:
            raise RegexError(f"repeats more than {MAX_REPEAT} times")
        if most_count is not None and least_count > most_count:
            raise RegexError(f"repeats at least {least_count} and at most {most_count} times")
        if self.peek() == "?":  # lazy: the same texts match
            self.at += 1
        if self.peek() and self.peek() in "*+?{":
            raise RegexError(f"has two quantifiers in a row at character {self.at + 1}")
        return bounds

    def atom(self) -> _Part:
        character = self.peek()
        self.at += 1
        if character == "(":
            return self.group()
        if character in "^$" or (character == "\\" and self.peek() in ("b", "B")):
            self.at += character == "\\"
            return _Part(anchor=True)
        if character == "[":
            taken = self.character_class()
        elif character == "\\":
            taken = self.escape()
        elif character in "*+?{}":
            raise RegexError(f"has a {character!r} at character {self.at} with nothing to repeat; write \\{character}")
        else:
            taken = _ALL if character == "." else _mask(character)
        return _Part(first=_fold(taken))

    def group(self) -> _Part:
        self.depth += 1
        if self.depth > MAX_GROUP_DEPTH:
            raise RegexError(f"nests groups more than {MAX_GROUP_DEPTH} deep")
        if self.peek() == "?":
            if self.pattern[self.at : self.at + 2] != "?:":
                raise RegexError("has a group '(?…' other than '(?:': lookaround, names and flags are not supported")
            self.at += 2
        part = self.branches()
        if self.peek() != ")":
            raise RegexError("has a '(' without its ')'")
        self.at += 1
        self.depth -= 1
        return part

    def escape(self) -> int:
        """The characters that an escape stands for; `at` is after the backslash."""
        character = self.peek()
        self.at += 1
        if character in _CLASSES:
            return _CLASSES[character]
        if character in _CONTROLS:
            return _mask(_CONTROLS[character])
        if character == "x":
            digits = self.pattern[self.at : self.at + 2]
            if len(digits) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in digits):
                self.at += 2
                return _mask(chr(int(digits, 16)))
        if character and character in _PUNCTUATION:
            return _mask(character)
        raise RegexError(f"has an escape \\{character} that JavaScript, Python and RE2 do not share")

    def character_class(self) -> int:
        """The characters of `[…]`; `at` is after the bracket."""
        negated = self.peek() == "^"
        self.at += negated
        if self.peek() == "]":
            raise RegexError("has an empty class [] or [^]; write \\] for the bracket")
        mask = 0
        while self.peek() != "]":
            mask |= self.class_item()
        self.at += 1
        # A character beyond ASCII may be in a class and in its opposite: there are many of them.
        return (_ALL & ~mask) | _OTHER if negated else mask

    def class_item(self) -> int:
        low = self.class_character()
        if self.peek() != "-" or self.pattern[self.at + 1 : self.at + 2] in ("]", ""):
            return low if isinstance(low, int) else _mask(low)
        self.at += 1
        high = self.class_character()
        if isinstance(low, int) or isinstance(high, int) or low > high:
            raise RegexError(f"has a range in a class that does not go from one character up to another at {self.at}")
        mask = 0
        for code in range(ord(low), min(ord(high), 127) + 1):
            mask |= 1 << code
        return mask | (_OTHER if ord(high) > 127 else 0)

    def class_character(self) -> str | int:
        r"""One character, or the set that an escape like \d stands for."""
        character = self.peek()
        self.at += 1
        if not character:
            raise RegexError("has a '[' without its ']'")
        if character == "[" and self.peek() in (":", ".", "="):
            raise RegexError("has a POSIX class like [:alpha:], which JavaScript does not know")
        if character != "\\":
            return character
        escaped = self.peek()
        start = self.at
        mask = self.escape()
        if escaped in _CLASSES:
            return mask
        if escaped in _CONTROLS:
            return _CONTROLS[escaped]
        return chr(int(self.pattern[start + 1 : self.at], 16)) if escaped == "x" else escaped


def _is_count(text: str) -> bool:
    return 0 < len(text) <= 6 and text.isascii() and text.isdigit()
