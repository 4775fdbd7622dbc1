"""The Open Bandit log as published (Saito et al. 2020, small edition): rows, clicks, and the policies' own chances."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from reclift.flows.public_open_bandit import POLICIES, BanditLog, read_log
from tests.shared_data import shared_path


def read(policy: str, campaign: str) -> BanditLog:
    with gzip.open(shared_path("data", "open-bandit", policy, campaign, f"{campaign}.csv.gz")) as stream:
        return read_log(stream, campaign, policy)


@pytest.mark.parametrize(("campaign", "random", "bts"), [("all", 38, 42), ("men", 46, 69), ("women", 46, 46)])
def test_clicks_of_ten_thousand_rows(campaign: str, random: int, bts: int) -> None:
    logs = {policy: read(policy, campaign) for policy in POLICIES}
    assert {policy: len(log) for policy, log in logs.items()} == {"random": 10_000, "bts": 10_000}
    assert {policy: int(log.clicks.sum()) for policy, log in logs.items()} == {"random": random, "bts": bts}
    for log in logs.values():
        assert (np.diff(log.times) >= 0).all()
        assert set(np.unique(log.positions)) == {1, 2, 3}


@pytest.mark.parametrize(("campaign", "items"), [("all", 80), ("men", 34), ("women", 46)])
def test_the_random_policy_is_uniform_over_the_campaigns_items(campaign: str, items: int) -> None:
    log = read("random", campaign)
    assert len(np.unique(log.item_ids)) == items
    np.testing.assert_allclose(log.propensities, 1 / items, rtol=1e-6)
