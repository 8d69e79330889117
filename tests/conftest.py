"""Fixtures of all tests: one thread (the networks are tiny), and generated pictures."""

import fcntl
import os
import shutil
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.browser import launched
from helpers.squares import make_squares
from helpers.system import cores

if TYPE_CHECKING:
    from diptych.run import Run

pytest.register_assert_rewrite("helpers.runs")  # so that pytest explains its failed assertions


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m gpu``, imports no other tests: they need packages that a borrowed machine with a GPU lacks."""
    is_other = collection_path.suffix == ".py" and collection_path.name != "test_gpu.py"
    return True if config.option.markexpr == "gpu" and is_other else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, so that no worker still has one to do when the others have ended."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test that needs a GPU where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("torch finds no GPU for CUDA on this machine")


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that ``make`` fills. The workers of pytest-xdist share it: the first one makes it, and any other waits."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            make(folder)
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in the layout of the CycleGAN data sets; read-only."""
    return make_squares(tmp_path_factory.mktemp("squares"), train=24)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Chromium."""
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def learnt(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A run that has learnt to turn orange squares into blue ones and back; read-only.

    In fp32, so that it is about the same on every processor: by default, a processor with bf16 would use it.
    """
    from diptych.config import EngineConfig, LengthConfig, OptimiserConfig, SourceConfig
    from diptych.run import Run
    from diptych.training.loop import train
    from helpers.runs import TINY

    config = replace(
        TINY,
        source=SourceConfig(root=squares),
        generator=replace(TINY.generator, width=8, upsampling="nearest"),
        discriminator=replace(TINY.discriminator, width=16),
        optimiser=OptimiserConfig(batch_size=4, learning_rate=2e-3, ema=0.9),
        length=LengthConfig(pictures=1600),
        engine=EngineConfig(precision="fp32"),
    )
    return Run(made_once(tmp_path_factory, "learning", lambda folder: train(config, folder / "run")) / "run")


@pytest.fixture(scope="session")
def static_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights, model.safetensors, whose A is grey and whose B is in colour, and with the
    page that translates in the browser: site, and page.html; read-only."""
    if not os.environ.get("CI") and not shutil.which("npm"):
        pytest.skip("npm is missing, which downloads ONNX Runtime Web")
    from diptych.page.page import write_page
    from diptych.page.parts import collect_parts
    from helpers.models import save_random_model

    def make(folder: Path) -> None:
        parts = collect_parts(save_random_model(folder / "model.safetensors", channels=(1, 3)), licence="CC0 <1.0>")
        write_page(parts, folder / "site")
        write_page(parts, folder / "page.html")

    return made_once(tmp_path_factory, "static-page", make)


@pytest.fixture(scope="session")
def trained_desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, paintings, and a run on them; read-only."""
    from helpers.cures import make_desk

    folder = tmp_path_factory.mktemp("desk")
    make_desk(folder)
    return folder


@pytest.fixture
def desk(trained_desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``trained_desk``, the working directory of one test."""
    shutil.copytree(trained_desk, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user of the machine can read, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def two_cores() -> Iterator[None]:
    """Two threads: with one, the two directions are computed one after the other."""
    with cores(2):
        yield
