"""A generator's forward pass over windows of a picture: which pixels each step needs, and the steps themselves."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from diptych.networks.stages import Add, Concatenate, Keep
from diptych.networks.window_layers import Normalisation, WindowStep, window_steps
from diptych.networks.windows import Area, Span, Window, WindowLayer

Windows = tuple[Window, ...]
Areas = tuple[Area, ...]


class Statistics(NamedTuple):
    """Mean and variance of each channel before an instance norm: ``(C,)``, float64."""

    mean: Tensor
    variance: Tensor


class WindowProgram:
    """The forward pass of ``network`` for pictures of ``height`` × ``width`` pixels, which are multiples of its stride.

    Between two steps there is a tuple of windows, as between two ``stages``.

    Raises:
        OptionError: the network cannot be computed by windows.
    """

    def __init__(self, network: nn.Module, in_channels: int, height: int, width: int) -> None:
        self.steps = window_steps(network)
        self.norms = [number for number, step in enumerate(self.steps) if isinstance(step, Normalisation)]
        """The numbers of the steps that need statistics."""
        self._sizes = [_sizes(self.steps, height), _sizes(self.steps, width)]
        self._channels = _channels(self.steps, in_channels)

    def areas(self, core: Area) -> list[Areas]:
        """For each step, and for the end: the areas of its input that the output's ``core`` is computed from.

        Before a norm they also contain ``core_at``.
        """
        needed: list[Areas] = [(core,)]
        for number in reversed(range(len(self.steps))):
            step, ahead = self.steps[number], needed[0]
            match step:
                case Keep():
                    needed.insert(0, (*ahead[:-2], _hull(ahead[-2], ahead[-1])))
                case Add() | Concatenate():
                    needed.insert(0, (*ahead[:-1], ahead[-1], ahead[-1]))
                case _:
                    sizes = [axis[number][-1] for axis in self._sizes]
                    last = Area(*(step.needs(span, size) for span, size in zip(ahead[-1], sizes, strict=True)))
                    last = _hull(last, self.core_at(core, number)) if isinstance(step, Normalisation) else last
                    needed.insert(0, (*ahead[:-1], last))
        return needed

    def core_at(self, core: Area, number: int) -> Area:
        """``core`` as an area of the input of step ``number``. The cores of all tiles cover that input once."""
        sizes = [axis[number][-1] for axis in self._sizes]
        return Area(
            *(
                Span(span.start * size // span.size, span.stop * size // span.size, size)
                for span, size in zip(core, sizes, strict=True)
            )
        )

    def num_values(self, areas: Areas, number: int) -> int:
        """How many numbers the windows of ``areas`` before step ``number`` hold."""
        channels = self._channels[number]
        return sum(each * area.rows.length * area.columns.length for each, area in zip(channels, areas, strict=True))

    def run(
        self, windows: Windows, first: int, last: int, areas: Sequence[Areas], statistics: Sequence[Statistics]
    ) -> Windows:
        """Runs the steps ``first`` to ``last`` − 1 on ``windows``; returns the windows, cropped to their ``areas``.

        ``statistics`` are those of the norms, in order.
        """
        for number in range(first, last):
            step = self.steps[number]
            match step:
                case Keep():
                    windows = (*windows, windows[-1])
                case Add() | Concatenate():
                    windows = (*windows[:-2], _joined(windows[-2], windows[-1], step))
                case Normalisation():
                    known = statistics[self.norms.index(number)]
                    windows = (*windows[:-1], step.normalise(windows[-1], *known))
                case _:
                    windows = (*windows[:-1], step(windows[-1]))
        return tuple(window.crop(area) for window, area in zip(windows, areas[last], strict=True))


def receptive_radius(network: nn.Module, stride: int) -> int:
    """Largest distance of an output pixel from an input pixel that it depends on, other than by statistics of norms."""
    centre, size = stride << 12, stride << 13
    program = WindowProgram(network, 1, size, size)
    pixels = [Span(centre + phase, centre + phase + 1, size) for phase in range(stride)]
    inputs = [program.areas(Area(pixel, pixel))[0][0].rows for pixel in pixels]
    return max(max(p.start - i.start, i.stop - p.stop) for p, i in zip(pixels, inputs, strict=True))


def _hull(first: Area, second: Area) -> Area:
    return Area(*(a.hull(b) for a, b in zip(first, second, strict=True)))


def _joined(first: Window, second: Window, step: Add | Concatenate) -> Window:
    common = Area(*(a.common(b) for a, b in zip(first.area, second.area, strict=True)))
    (joined,) = step((first.crop(common).values, second.crop(common).values))
    return Window(joined, common)


def _sizes(steps: Sequence[WindowStep], size: int) -> list[tuple[int, ...]]:
    """The sizes along an axis before each step, and at the end."""
    sizes: list[tuple[int, ...]] = [(size,)]
    for step in steps:
        now = sizes[-1]
        match step:
            case Keep():
                sizes.append((*now, now[-1]))
            case Add() | Concatenate():
                sizes.append(now[:-1])
            case WindowLayer():
                sizes.append((*now[:-1], step.size(now[-1])))
    return sizes


def _channels(steps: Sequence[WindowStep], channels: int) -> list[tuple[int, ...]]:
    """The channels before each step, and at the end."""
    counts: list[tuple[int, ...]] = [(channels,)]
    for step in steps:
        now = counts[-1]
        match step:
            case Keep():
                counts.append((*now, now[-1]))
            case Add():
                counts.append(now[:-1])
            case Concatenate():
                counts.append((*now[:-2], now[-2] + now[-1]))
            case WindowLayer():
                counts.append((*now[:-1], step.channels(now[-1])))
    return counts
