"""Models on disk: data only, complete or not there, never outside their folder."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import orjson
import pytest

from reclift.storage.artifacts import ArtifactError, FolderArtifacts
from reclift.strategy import State


@pytest.fixture
def artifacts(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "models")


STATE = State(
    arrays={
        "ids": np.array(["a", "bü", ""], dtype=np.str_),
        "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        "every_other": np.arange(10)[::2],
        "empty": np.zeros((0, 4), dtype=np.int32),
        "scalar": np.array(2.5),
        "flags": np.array([True, False]),
    },
    meta={"k": 200, "names": ["x", "ü"], "nothing": None, "nested": {"a": [1, 2]}},
)


def test_a_state_comes_back_the_same(artifacts: FolderArtifacts) -> None:
    size = artifacts.save("item_cf-1", STATE)
    loaded = artifacts.load("item_cf-1")
    assert set(loaded.arrays) == set(STATE.arrays)
    for key, array in STATE.arrays.items():
        assert loaded.arrays[key].dtype == array.dtype
        assert loaded.arrays[key].shape == array.shape
        np.testing.assert_array_equal(loaded.arrays[key], array)
    assert loaded.meta == STATE.meta
    assert size > sum(array.nbytes for array in STATE.arrays.values())


def test_arrays_are_mapped_and_read_only(artifacts: FolderArtifacts) -> None:
    artifacts.save("m", STATE)
    matrix = artifacts.load("m").arrays["matrix"]
    assert isinstance(matrix, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1


def test_a_model_in_use_survives_its_removal(artifacts: FolderArtifacts) -> None:
    artifacts.save("m", STATE)
    loaded = artifacts.load("m")
    artifacts.remove("m")
    np.testing.assert_array_equal(loaded.arrays["matrix"], STATE.arrays["matrix"])
    with pytest.raises(ArtifactError, match="m is missing or broken"):
        artifacts.load("m")
    artifacts.remove("m")  # no error


def test_python_objects_are_refused_and_nothing_is_left(artifacts: FolderArtifacts, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="'bad' of m holds Python objects"):
        artifacts.save("m", State(arrays={"good": np.zeros(2), "bad": np.array([object()])}))
    assert list((tmp_path / "models").iterdir()) == []


def test_nothing_is_ever_unpickled(artifacts: FolderArtifacts, tmp_path: Path) -> None:
    artifacts.save("m", STATE)
    with (tmp_path / "models" / "m" / "matrix.npy").open("wb") as file:
        np.lib.format.write_array(file, np.array([object()]), allow_pickle=True)
    with pytest.raises(ArtifactError, match="broken"):
        artifacts.load("m")
    (tmp_path / "models" / "m" / "matrix.npy").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ArtifactError, match="broken"):
        artifacts.load("m")


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"format": 1}',
        b'{"format": 1, "arrays": [], "meta": {}}',
        b'{"format": 1, "arrays": {}}',
        b'{"format": 1, "arrays": {}, "meta": 3}',
        b'{"format": 2, "arrays": {}, "meta": {}}',
        b'{"format": 1, "arrays": {"missing": {"shape": [1], "dtype": "<f4"}}, "meta": {}}',
        b'{"format": 1, "arrays": {"matrix": {"shape": [3, 2], "dtype": "<f4"}}, "meta": {}}',
        b'{"format": 1, "arrays": {"matrix": {"shape": [2, 3], "dtype": "<f8"}}, "meta": {}}',
        b'{"format": 1, "arrays": {"matrix": 7}, "meta": {}}',
        b'{"format": 1, "arrays": {"../m/matrix": {"shape": [2, 3], "dtype": "<f4"}}, "meta": {}}',
    ],
)
def test_a_broken_manifest_is_an_error_that_names_the_model(
    artifacts: FolderArtifacts, tmp_path: Path, manifest: bytes
) -> None:
    artifacts.save("m", STATE)
    (tmp_path / "models" / "m" / "state.json").write_bytes(manifest)
    with pytest.raises(ArtifactError, match=r"\bm\b"):
        artifacts.load("m")


@pytest.mark.parametrize("size", [0, 1, 40, 130])
def test_a_cut_off_array_is_an_error(artifacts: FolderArtifacts, tmp_path: Path, size: int) -> None:
    artifacts.save("m", STATE)
    path = tmp_path / "models" / "m" / "matrix.npy"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match="m is missing or broken"):
        artifacts.load("m")


@pytest.mark.parametrize("name", ["../outside", "/outside", ".", "", "a/../..", "a/../../models-2/b"])
def test_a_name_cannot_lead_outside(artifacts: FolderArtifacts, name: str) -> None:
    for action in (lambda: artifacts.save(name, STATE), lambda: artifacts.load(name), lambda: artifacts.remove(name)):
        with pytest.raises(ArtifactError, match="outside"):
            action()


@pytest.mark.parametrize("key", ["../x", "a/b", ".hidden", "", "-", "x" * 101, "nul\x00"])
def test_an_array_cannot_lead_outside(artifacts: FolderArtifacts, tmp_path: Path, key: str) -> None:
    with pytest.raises(ArtifactError, match="becomes a file's name"):
        artifacts.save("m", State(arrays={key: np.zeros(1)}))
    assert list(tmp_path.rglob("*.npy")) == []


def test_meta_that_is_no_json_is_refused(artifacts: FolderArtifacts, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        artifacts.save("m", State(meta={"bad": object()}))
    assert list((tmp_path / "models").iterdir()) == []
    artifacts.save("m", State(meta={"numbers": np.arange(3), "one": np.float32(0.5)}))
    assert orjson.loads((tmp_path / "models" / "m" / "state.json").read_bytes())["meta"] == {
        "numbers": [0, 1, 2],
        "one": 0.5,
    }
