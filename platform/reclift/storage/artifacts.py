"""Trained models on disk: arrays as `.npy`, the rest as JSON. Never pickle."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import orjson

from reclift.strategy import State

_FORMAT = 1
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_KEY_RULE = "its name must be 1-100 of letters, digits, _, . and -, not beginning with . or -: it becomes a file's name"


class ArtifactError(Exception):
    """An artifact is missing or broken; the message says which and how."""


class Artifacts(Protocol):
    """Where fitted strategies are kept."""

    def save(self, name: str, state: State) -> int:
        """Keep a state under a new name; returns its size in bytes."""
        ...

    def load(self, name: str) -> State:
        """Bring it back, arrays memory-mapped and read-only. `ArtifactError` when it is missing or broken."""
        ...

    def has(self, name: str) -> bool:
        """Whether it is there; whether it is whole only `load` tells."""
        ...

    def remove(self, name: str) -> None:
        """Forget it; a name that is not there is no error."""
        ...


class FolderArtifacts:
    """A folder (local or shared), one sub-folder a model, complete or not there at all."""

    def __init__(self, folder: Path) -> None:
        """The folder is made when first needed."""
        self._folder = folder

    def _path(self, name: str) -> Path:
        path = (self._folder / name).resolve()
        if self._folder.resolve() not in path.parents:
            raise ArtifactError(f"artifact {name!r} would lie outside {self._folder}")
        return path

    def save(self, name: str, state: State) -> int:
        """Write to a temporary folder, then rename: readers never see half a model."""
        target = self._path(name)
        building = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
        building.mkdir(parents=True)
        try:
            shapes: dict[str, Any] = {}
            for key, array in state.arrays.items():
                if not _KEY.fullmatch(key):
                    raise ArtifactError(f"array {key!r} of {name}: {_KEY_RULE}")
                if array.dtype.hasobject:
                    raise ArtifactError(f"array {key!r} of {name} holds Python objects; use plain data types")
                np.save(building / f"{key}.npy", np.asarray(array, order="C"), allow_pickle=False)
                shapes[key] = {"shape": list(array.shape), "dtype": array.dtype.str}
            manifest = {"format": _FORMAT, "arrays": shapes, "meta": dict(state.meta)}
            (building / "state.json").write_bytes(orjson.dumps(manifest, option=orjson.OPT_SERIALIZE_NUMPY))
            size = sum(path.stat().st_size for path in building.iterdir())
            building.rename(target)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        return size

    def load(self, name: str) -> State:
        """Memory-map the arrays and compare them with the manifest."""
        folder = self._path(name)
        try:
            manifest = orjson.loads((folder / "state.json").read_bytes())
            if manifest["format"] != _FORMAT:
                raise ArtifactError(f"artifact {name} has format {manifest['format']!r}; this version reads {_FORMAT}")
            meta, arrays = dict(manifest["meta"]), {}
            for key, expected in manifest["arrays"].items():
                if not _KEY.fullmatch(key):
                    raise ArtifactError(f"array {key!r} of {name}: {_KEY_RULE}")
                path = folder / f"{key}.npy"
                # An empty array cannot be mapped.
                mode: Literal["r"] | None = None if 0 in expected["shape"] else "r"
                array = np.load(path, mmap_mode=mode, allow_pickle=False)
                if list(array.shape) != expected["shape"] or array.dtype.str != expected["dtype"]:
                    raise ArtifactError(
                        f"artifact {name}: {key}.npy is {array.dtype.str}{list(array.shape)}, not {expected}"
                    )
                arrays[key] = array
        except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError) as error:
            raise ArtifactError(f"artifact {name} is missing or broken: {type(error).__name__}: {error}") from error
        return State(arrays=arrays, meta=meta)

    def has(self, name: str) -> bool:
        """Whether there is a manifest."""
        return (self._path(name) / "state.json").exists()

    def remove(self, name: str) -> None:
        """Delete the folder. Processes that have it mapped keep reading until they let go."""
        shutil.rmtree(self._path(name), ignore_errors=True)
