import re

import pytest

from reclift.domain.regex import regex_test
from reclift.domain.regex_check import RegexError


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("(Mobile|Tablet)", "Android Mobile", True),
        (r"^\d{1,3}\.\d+$", "12.7", True),
        (r"^\d+$", "12\n", False),  # as in JavaScript; Python's $ would match before the line's end
        (r"[\w.-]+@[\w-]+\.com", "jo.e@shop.com", True),
        (r"https?:\/\/[^/]+/cart", "https://shop.com/cart", True),
        (r"(?:ab){2}", "xababx", True),
        (r"\x41\t?B", "AB", True),
        (r"[^\s]é", "aé", True),
        (r"\bcat\b", "a cat!", True),
        ("a{2,}?", "caab", True),
        ("", "anything", True),
    ],
)
def test_patterns_match_where_they_should(pattern, text, expected):
    assert regex_test(pattern)(text) is expected
    if not text.endswith("\n"):
        assert bool(re.search(pattern, text)) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "(a*)*", "(a|a)*$", "(a|aa)+$", "(.*a){20}", "(x+x+)+y", "a*a*a*a*b", "([a-zA-Z]+)*",
        "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*?,){11}P", "a?" * 25 + "a" * 25, ".{0,100}" * 5, "(?:a?b?)*", "(|a)+",
        "(?:A|a)*", "(é|ü)*",
    ],
)  # fmt: skip
def test_catastrophic_patterns_are_refused(pattern):
    with pytest.raises(RegexError, match=r"several ways|can take the same character"):
        regex_test(pattern)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("/???***[)", "two quantifiers in a row at character 4"),
        ("(?=a)", "lookaround, names and flags"),
        ("(?i)a", "lookaround, names and flags"),
        ("(?P<n>a)", "lookaround, names and flags"),
        (r"(a)\1", r"escape \\1"),
        (r"\pL", r"escape \\p"),
        ("\\", "escape"),
        ("a++", "two quantifiers"),
        ("[[:alpha:]]", "POSIX"),
        ("[]a]", "empty class"),
        ("[z-a]", "range in a class"),
        (r"[\w-z]", "range in a class"),
        ("[a", "']'"),
        ("(a", r"'\('"),
        ("a)", r"'\)' too many"),
        ("a{,3}", r"'\{' at character 2"),
        ("{", "nothing to repeat"),
        ("*a", "nothing to repeat"),
        ("a{3,2}", "at least 3 and at most 2"),
        ("a{1,2000}", "more than 100 times"),
        ("^*", "repeats a position"),
        ("(" * 30 + ")" * 30, "more than 20 deep"),
        ("a" * 501, "at most 500 characters"),
        ("\ud800", "not a pattern"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(pattern, reason):
    with pytest.raises(RegexError, match=reason):
        regex_test(pattern)


def test_case_can_be_left_out():
    assert regex_test("(mobile|tablet)", ignore_case=True)("MOBILE") is True
    assert regex_test("(mobile|tablet)")("MOBILE") is False


@pytest.mark.parametrize("value", [None, 5, True, ["Mobile"], {"a": "Mobile"}])
def test_only_texts_match(value):
    assert regex_test("")(value) is False
