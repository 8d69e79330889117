"""What every test gets: one thread (the networks are tiny), and pictures made on the spot."""

import contextlib
import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from diptych.run import Run

SIZE = 32
ORANGE, BLUE = (240, 140, 20), (30, 80, 230)


def square(index: int, colour: tuple[int, int, int]) -> Image.Image:
    """A square of ``colour`` on dark grey, its place and size a function of ``index``."""
    rng = np.random.default_rng(index)
    values = np.full((SIZE, SIZE, 3), 50, np.uint8)
    side, (top, left) = rng.integers(10, 18), rng.integers(2, 12, 2)
    values[top : top + side, left : left + side] = colour
    return Image.fromarray(values)


def make_squares(root: Path, *, train: int, test: int = 4) -> Path:
    """trainA with orange squares, trainB with blue ones at other places; testA and testB with true pairs."""
    for part, colour, start, number in (
        ("trainA", ORANGE, 0, train), ("trainB", BLUE, 1000, train), ("testA", ORANGE, 2000, test), ("testB", BLUE, 2000, test),
    ):  # fmt: skip
        (root / part).mkdir(parents=True)
        for index in range(start, start + number):
            square(index, colour).save(root / part / f"{index}.png")
    return root


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set in the layout of the CycleGAN data sets; not to be changed."""
    return make_squares(tmp_path_factory.mktemp("squares"), train=24)


@pytest.fixture(scope="session")
def learnt(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A run that has learnt to turn orange squares into blue ones and back; not to be changed."""
    from diptych.config import LengthConfig, OptimiserConfig, SourceConfig
    from diptych.training.loop import train
    from test_training import TINY

    config = replace(
        TINY,
        source=SourceConfig(root=squares),
        generator=replace(TINY.generator, width=8, upsampling="nearest"),
        discriminator=replace(TINY.discriminator, width=16),
        optimiser=OptimiserConfig(batch_size=4, learning_rate=2e-3, ema=0.9),
        length=LengthConfig(pictures=1600),
    )
    return train(config, tmp_path_factory.mktemp("learning") / "run")


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user of the machine can look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """While this lasts, the rights of somebody who is not root. What is needed must have been imported before."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@contextlib.contextmanager
def cores(number: int) -> Iterator[None]:
    """While entered, torch computes with so many threads, however many cores there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def two_cores() -> Iterator[None]:
    """With one, directions are computed one after the other."""
    with cores(2):
        yield
