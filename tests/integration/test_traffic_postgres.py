"""The same on PostgreSQL, where locks, savepoints and upserts are its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reclift.wiring import Runtime
from tests.integration.test_identity import (
    test_a_person_met_in_two_arms_is_counted_and_left_out,
    test_what_a_guest_met_is_kept_for_the_person_in_a_sticky_experiment,
    test_what_a_process_logs_before_it_knows_the_alias_is_merged_later,
)
from tests.integration.test_sticky import test_the_sample_ratio_is_tested_against_the_mixture_of_weights
from tests.integration.test_traffic_holdouts import test_a_holdout_is_measured_like_an_experiment
from tests.integration.test_traffic_layers import test_the_data_of_two_phases_never_mix
from tests.integration.test_traffic_ramps import (
    test_a_ramp_that_a_neighbour_blocks_says_so_and_changes_nothing,
    test_an_alarm_stops_the_ramp_and_pauses,
    test_one_blocked_ramp_does_not_hold_up_the_others,
)
from tests.platform_fixtures import build_runtime
from tests.services import PostgresServer

__all__ = [
    "test_a_holdout_is_measured_like_an_experiment",
    "test_a_person_met_in_two_arms_is_counted_and_left_out",
    "test_a_ramp_that_a_neighbour_blocks_says_so_and_changes_nothing",
    "test_an_alarm_stops_the_ramp_and_pauses",
    "test_one_blocked_ramp_does_not_hold_up_the_others",
    "test_the_data_of_two_phases_never_mix",
    "test_the_sample_ratio_is_tested_against_the_mixture_of_weights",
    "test_what_a_guest_met_is_kept_for_the_person_in_a_sticky_experiment",
    "test_what_a_process_logs_before_it_knows_the_alias_is_merged_later",
]


@pytest.fixture
def runtime(postgres_server: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """In place of the one on SQLite."""
    name = f"traffic_{abs(hash(request.node.name)) % 10**12}"
    here = build_runtime(tmp_path / "var", database_url=postgres_server.create_database(name))
    here.set_up()
    yield here
    here.close()
    postgres_server.drop_database(name)
