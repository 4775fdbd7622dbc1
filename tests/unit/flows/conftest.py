"""A whole runtime over a fresh SQLite file, with toy strategies and a queue that only remembers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reclift import wiring
from reclift.flows import catalogue, experiments, train
from reclift.settings import Settings
from reclift.strategy import Registry
from tests.unit.flows.toys import Other, Toy


class MemoryQueue:
    """Remembers what was sent; can be told to fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str]] = []
        self.down = False

    def send(self, job_id: int, task: str) -> None:
        if self.down:
            raise ConnectionError("the broker is away")
        self.sent.append((job_id, task))


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


@pytest.fixture(scope="session")
def _set_up_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set-up")
    runtime = wiring.build(_settings(folder), registry=Registry({"toy": Toy}), queue=MemoryQueue())
    runtime.set_up()
    runtime.close()
    return folder / "reclift.db"


def _settings(folder: Path) -> Settings:
    return Settings(
        data_dir=folder,
        database_url="",
        redis_url="",
        default_strategy="toy",
        strategy_timeout_ms=2_000,
        plan_poll_seconds=0.05,
        keep_models=2,
    )


@pytest.fixture
def here(_set_up_file: Path, tmp_path: Path, queue: MemoryQueue) -> Iterator[wiring.Runtime]:
    """Set up, with three placements, built-in metrics, and nothing else."""
    shutil.copyfile(_set_up_file, tmp_path / "reclift.db")
    runtime = wiring.build(_settings(tmp_path), registry=Registry({"toy": Toy, "other": Other}), queue=queue)
    yield runtime
    runtime.close()


@pytest.fixture(scope="session")
def _shop_folder(_set_up_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shutil.copyfile(_set_up_file, folder / "reclift.db")
    here = wiring.build(_settings(folder), registry=Registry({"toy": Toy, "other": Other}), queue=MemoryQueue())
    items = [catalogue.parse_item({"item_id": f"i{number}", "title": f"Item {number}"}) for number in range(10)]
    with here.database.write() as session:
        catalogue.put_items(session, items)
    for strategy in ("toy", "other"):
        train_one(here, strategy)
    start(here)
    here.close()
    return folder


@pytest.fixture
def shop(_shop_folder: Path, tmp_path: Path, queue: MemoryQueue) -> Iterator[wiring.Runtime]:
    """With ten items, trained strategies, and a running experiment `exp` on `home`."""
    shutil.copytree(_shop_folder, tmp_path / "shop")
    here = wiring.build(_settings(tmp_path / "shop"), registry=Registry({"toy": Toy, "other": Other}), queue=queue)
    here.live.refresh()
    yield here
    here.close()


def train_one(here: wiring.Runtime, strategy: str = "toy", **params: object) -> dict[str, object]:
    return train.train(
        here.database,
        here.registry,
        here.artifacts,
        strategy,
        params,
        weights=here.settings.event_weights,
        progress=lambda share, what: None,
        keep=here.settings.keep_models,
    )


def start(here: wiring.Runtime, key: str = "exp", **more: object) -> None:
    from tests.unit.flows.toys import draft

    with here.database.write() as session:
        experiments.create(session, here.registry, draft(key, **more), "tester")
        experiments.act(session, here.registry, here.queue, key, "start", "tester")
