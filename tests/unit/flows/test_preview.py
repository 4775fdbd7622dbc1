"""Tokens of preview links: ours, untouched, and not too old."""

from __future__ import annotations

import time

import pytest

from reclift.flows.errors import Invalid
from reclift.flows.preview import DAYS, Preview, Previews


def test_a_token_says_what_it_shows():
    previews = Previews("a secret")
    shown = Preview("home-recs", "item-cf")
    assert previews.read(previews.token(shown)) == shown


def test_a_token_of_another_installation_is_refused():
    token = Previews("another secret").token(Preview("home-recs", "item-cf"))
    with pytest.raises(Invalid, match="not a preview token of this installation"):
        Previews("a secret").read(token)


@pytest.mark.parametrize("content", ["home-recs", ["home-recs"], ["a", "b", "c"], 7, None])
def test_a_signed_token_of_another_shape_is_refused(content):
    previews = Previews("a secret")
    with pytest.raises(Invalid, match="not a preview token"):
        previews.read(previews._signer.dumps(content))


def test_a_token_ends(monkeypatch):
    previews = Previews("a secret")
    token = previews.token(Preview("home-recs", "item-cf"))
    issued = time.time()
    monkeypatch.setattr(time, "time", lambda: issued + DAYS * 86_400 - 60)
    assert previews.read(token)
    monkeypatch.setattr(time, "time", lambda: issued + DAYS * 86_400 + 60)
    with pytest.raises(Invalid, match=f"older than {DAYS} days"):
        previews.read(token)
