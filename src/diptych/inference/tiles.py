"""Translates a picture by tiles, with the instance-norm statistics of the whole picture.

Tiles go through the network together, from norm to norm. The core of a tile is the part of the output that it computes;
each tile reads a margin around it. Each norm takes its statistics over the cores of all tiles, so the result is that of
the whole picture. Where the activations of all tiles are too large to keep, the statistics are those of a sample of
tiles, spread over the picture.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.inference.forward import TorchForward
from diptych.inference.tile_store import Stored, TileStore
from diptych.networks.window_program import Areas, Statistics, WindowProgram
from diptych.networks.windows import Area, Span, Window

Read = Callable[[Area], Tensor]
"""Returns an area of the picture: ``(1, C, h, w)`` float32 in [-1, 1]."""
PLASTIC = 1.324717957244746
"""The real root of x³ = x + 1."""
NUM_COMPARED = 3
"""Tiles that the error of sampled statistics is measured on."""


class Moments:
    """Mean and variance of each channel over several tensors.

    Source: Chan, Golub, LeVeque 1979, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 2.1.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros(0, dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Adds ``(1, C, h, w)``."""
        variance, mean = (each.double().cpu() for each in torch.var_mean(values.float(), (0, 2, 3), correction=0))
        count = values.shape[2] * values.shape[3]
        if not self.count:
            self.count, self.mean, self.squares = count, mean, variance * count
            return
        total, difference = self.count + count, mean - self.mean
        self.squares = self.squares + variance * count + difference**2 * (self.count * count / total)
        self.mean = self.mean + difference * (count / total)
        self.count = total

    def statistics(self) -> Statistics:
        """Over all tensors added so far."""
        return Statistics(self.mean, self.squares / self.count)


@dataclass(frozen=True)
class TiledForward:
    """A network on the tiles of one picture."""

    forward: TorchForward
    program: WindowProgram
    read: Read
    check: Callable[[], None] = lambda: None
    """Called before each tile; may raise an error to stop."""

    def measure(
        self, cores: Sequence[Area], store: TileStore, known: Sequence[Statistics] = ()
    ) -> Iterator[Statistics]:
        """Yields the statistics of each norm after the ``known`` ones, over ``cores``. ``store`` gets their windows."""
        statistics = list(known)
        for norm in self.program.norms[len(statistics) :]:
            moments = Moments()
            for core in cores:
                areas = self.program.areas(core)
                stored = self._run(store.get(core), norm, areas, statistics)
                moments.add(stored.windows[-1].crop(self.program.core_at(core, norm)).values)
                store.put(core, stored)
            statistics.append(moments.statistics())
            yield statistics[-1]

    def translate(self, core: Area, statistics: Sequence[Statistics], store: TileStore | None = None) -> Tensor:
        """The output at ``core``: ``(1, C, h, w)`` float32 in [-1, 1]."""
        stored = store.get(core) if store else None
        end = self._run(stored, len(self.program.steps), self.program.areas(core), statistics)
        return end.windows[-1].values.float().cpu()

    def _run(
        self, stored: Stored | None, step: int, areas: Sequence[Areas], statistics: Sequence[Statistics]
    ) -> Stored:
        """Runs the steps before ``step`` on ``stored``, or on the picture if ``stored`` is None."""
        self.check()
        if stored is None:
            stored = Stored(0, (Window(self.read(areas[0][0]), areas[0][0]),))
        with self.forward.computing():
            windows = tuple(Window(self.forward.to_device(window.values), window.area) for window in stored.windows)
            return Stored(step, self.program.run(windows, stored.step, step, areas, statistics))

    def sampling_error(self, sample: Sequence[Area], others: Sequence[Area], store: TileStore) -> float:
        """The expected error of the statistics of ``sample``: root mean square, in [-1, 1].

        Translates some of the ``others`` with the statistics of each half of the sample. The halves differ by twice the
        error of the whole sample, if tiles are independent; drawing without replacement makes it smaller.
        """
        half = len(sample) // 2
        first = list(self.measure(sample[:half], store))
        second = list(self.measure(sample[half:], store))
        store.clear()
        squares = [
            (self.translate(core, first) - self.translate(core, second)).square().mean().item()
            for core in others[:: -(-len(others) // NUM_COMPARED)]
        ]
        left_out = len(others) / (len(sample) + len(others))
        return math.sqrt(sum(squares) / len(squares) * left_out) / 2


def tile_cores(height: int, width: int, side: int) -> list[Area]:
    """The cores of the tiles: ``side`` × ``side`` pixels, less at the bottom and on the right."""
    rows = [Span(start, min(start + side, height), height) for start in range(0, height, side)]
    columns = [Span(start, min(start + side, width), width) for start in range(0, width, side)]
    return [Area(row, column) for row in rows for column in columns]


def spread(cores: Sequence[Area], side: int) -> list[Area]:
    """``cores`` in an order in which the first few, and any that follow each other, are spread over the picture.

    Source: the R2 sequence (Roberts 2018), as a threshold for dithering.
    """

    def position(core: Area) -> float:
        return (core.rows.start // side / PLASTIC + core.columns.start // side / PLASTIC**2) % 1

    return sorted(cores, key=position)
