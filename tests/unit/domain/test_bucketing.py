import pytest
from growthbook.core import fnv1a32 as sdk_fnv1a32
from growthbook.core import gbhash

from reclift.domain.bucketing import (
    BUCKETS,
    BucketTable,
    HashBank,
    SeededHash,
    _code_units_portably,
    bucket_of,
    bucket_ranges,
    code_units,
    first_bucket,
    fnv1a32,
    hash_v1,
    hash_v2,
    hash_value,
    normalised,
)

TEXTS = ["", "a", "user-1", "é", "日本語", "😀", "a😀b", "\ud800", "\x00", "𝒳" * 40, "12345678901234567890"]


@pytest.mark.parametrize("text", TEXTS)
def test_the_hash_is_the_sdks_for_every_kind_of_text(text):
    assert fnv1a32(text) == sdk_fnv1a32(text)
    assert hash_v1("seed-é", text) == gbhash("seed-é", text, 1)
    assert hash_v2("seed-é", text) == gbhash("seed-é", text, 2)


def test_published_values_of_fnv1a():
    # http://www.isthe.com/chongo/src/fnv/test_fnv.c
    assert fnv1a32("") == 0x811C9DC5
    assert fnv1a32("a") == 0xE40C292C
    assert fnv1a32("foobar") == 0xBF9CF968


@pytest.mark.parametrize("text", TEXTS)
def test_precomputed_hashes_equal_the_plain_ones(text):
    assert SeededHash("home-recs")(text) == hash_v2("home-recs", text)
    seeds = ["home-recs", "", "layer:日本", *(f"exp-{i}" for i in range(50))]
    expected = [round(hash_v2(seed, text) * BUCKETS) for seed in seeds]
    assert [SeededHash(seed).bucket(code_units(text)) for seed in seeds] == expected
    assert HashBank(seeds).buckets(code_units(text)) == expected


@pytest.mark.parametrize("first", [0, 7, 42, 999, 1234, 9_999, 10_000, 99_999, 123_456, 999_999_999, 4_294_967_295])
def test_the_second_hash_is_right_for_numbers_of_every_length(first):
    expected = fnv1a32(str(first)) % BUCKETS
    assert bucket_of(first) == expected
    one, many = SeededHash(""), HashBank(["", "x"])
    one.state = first  # hashing an empty value leaves the state as it is
    many._states[:] = first
    assert one.bucket(b"") == expected
    assert many.buckets(b"") == [expected, expected]


@pytest.mark.parametrize("text", TEXTS)
def test_code_units_on_a_big_endian_machine(text):
    assert list(_code_units_portably(text)) == list(code_units(text))


def test_a_version_that_does_not_exist_has_no_hash():
    assert hash_value("s", "v", 3) is None


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([1, 1], [0.5, 0.5]), ([3, 1], [0.75, 0.25]), ([1e300, 1e300], [0.5, 0.5]), ([1e-300, 3e-300], [0.25, 0.75])],
)
def test_weights_are_normalised_however_large(weights, expected):
    assert normalised(weights) == pytest.approx(expected)


@pytest.mark.parametrize("bound", [0.0, 0.1, 0.30000000000000004, 1 / 3, 0.9999, 0.99990000001, 1.0, 1.5, -0.2, 1e-9])
def test_a_bound_becomes_the_first_bucket_that_is_not_below_it(bound):
    k = first_bucket(bound)
    assert all((bucket / BUCKETS >= bound) == (bucket >= k) for bucket in range(BUCKETS))


@pytest.mark.parametrize("coverage", [0.0, 0.001, 0.37, 1.0])
@pytest.mark.parametrize("weights", [[0.5, 0.5], [1 / 3] * 3, [0.1, 0.2, 0.3, 0.4], [0.001, 0.999]])
def test_the_table_holds_what_the_ranges_say(coverage, weights):
    ranges = bucket_ranges(len(weights), coverage, weights)
    table = BucketTable(ranges, list(range(len(weights))), -1)
    for bucket in range(BUCKETS):
        n = bucket / BUCKETS
        assert table[bucket] == next((i for i, (start, end) in enumerate(ranges) if start <= n < end), -1)
