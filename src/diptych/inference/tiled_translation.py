"""The translation of one picture by tiles: how large they are, how many are sampled, what is kept where."""

import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import nn

from diptych.data.colour import AS_THEY_ARE, Colours, translation_of
from diptych.data.encoding import Array, Encoding, levels_in
from diptych.data.image import DecodedImage, filled
from diptych.errors import OptionError, PictureError
from diptych.inference.forward import Forward, TorchForward, in_torch, memory_errors
from diptych.inference.padding import Padding
from diptych.inference.tile_store import TileStore, tile_store
from diptych.inference.tiles import TiledForward, spread, tile_cores
from diptych.memory import GIB, MEMORY_MARGIN, predicted_peak, shortage
from diptych.networks.window_layers import window_steps
from diptych.networks.window_program import Statistics, WindowProgram, receptive_radius
from diptych.networks.windows import Area, Span

if TYPE_CHECKING:
    from diptych.inference.translator import Translator

Tile = Literal["auto"] | int
"""Side of a tile's core in pixels; 0: no tiles; auto: tiles where the picture does not fit in memory."""
ReadValues = Callable[[Area], Array]
"""Returns an area of the picture: ``(h, w, C)``, as ``DecodedImage.values``."""
SIDES = (2048, 1024, 512, 256, 128)
"""Sides that ``auto`` chooses from."""
USUAL_SIDE, PROBE_SIDE = 1024, 512
TILE_FRACTION = 1 / 3
"""The fraction of the free memory that a tile may need."""
MIN_SAMPLE, MAX_SAMPLE = 2, 64
"""Smallest and largest number of tiles in a sample."""
FLOAT_BYTES = 4
IN_MEMORY = GIB
"""Bytes of activations that are kept in memory, at most. The system keeps a scratch file in memory while it can."""
SPARE_DISK = GIB
SCRATCH_GIB = 16.0


class TiledTranslation:
    """The translation of one picture of ``height`` × ``width`` pixels by tiles.

    ``read`` returns areas of the picture, and ``encoding`` is that of the picture. Areas for which ``keep`` returns
    False are not translated, and not counted in the statistics. ``check`` is called before each tile; it may raise.

    Raises:
        OptionError: the network cannot be computed by tiles, or the scratch file is too small.
        PictureError: no tile fits in memory.
    """

    def __init__(
        self,
        translator: "Translator",
        height: int,
        width: int,
        read: ReadValues,
        encoding: Encoding,
        *,
        colours: Colours = AS_THEY_ARE,
        keep: Callable[[Area], bool] = lambda _: True,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.translator, self.read, self.colours = translator, read, colours
        self.encoding, engine_forward = translator.output_of(encoding)
        forward = in_torch(engine_forward)
        if not isinstance(forward, TorchForward):
            raise OptionError("only PyTorch networks are computed by tiles", cure="give --tile 0")
        stride = translator.card.generator.stride
        self.padding = Padding.of(height, width, stride)
        padded_height = height + self.padding.top + self.padding.bottom
        padded_width = width + self.padding.left + self.padding.right
        program = WindowProgram(forward.network, translator.channels_in, padded_height, padded_width)
        self.tiled = TiledForward(forward, program, self._read, check)
        self.side = _side(translator, forward, stride)
        cores = tile_cores(padded_height, padded_width, self.side)
        self.cores = [core for core in cores if keep(self.padding.inside(core))]
        kept = set(self.cores)
        self.skipped = [self.padding.inside(core) for core in cores if core not in kept]
        self.slot_values = self._slot_values() if program.norms else 0
        free = translator.free_memory()
        memory = IN_MEMORY if free is None else min(IN_MEMORY, free // 4)
        self.is_in_memory = FLOAT_BYTES * self.slot_values * len(self.cores) <= memory
        self.sample = self._sample(self.slot_values * forward.bytes_per_value)

    @property
    def is_exact(self) -> bool:
        """Whether statistics are those of all tiles."""
        return not self.slot_values or len(self.sample) == len(self.cores)

    @property
    def num_norms(self) -> int:
        """How many norms take statistics."""
        return len(self.tiled.program.norms)

    def run(
        self,
        write: Callable[[Area, Array], None],
        *,
        known: Sequence[Statistics] = (),
        is_done: Callable[[Area], bool] = lambda _: False,
        remember: Callable[[Sequence[Statistics]], None] = lambda _: None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Translates all tiles, and gives each area of the picture with its ``(h, w, C)`` to ``write``.

        An earlier run gave ``known``, statistics of the first norms, and wrote the areas that ``is_done`` names.
        After each norm, ``remember`` gets the statistics of all norms so far.

        Raises:
            PictureError: the device or the CPU is out of memory.
            UserError: the disk of the scratch file is full.
        """
        statistics = list(known)
        problem = f"tiles of {self.side} pixels need more memory than there is"
        with (
            memory_errors(lambda _: PictureError(problem, cure="give a smaller --tile")),
            tile_store(FLOAT_BYTES * self.slot_values, in_memory=self.is_in_memory) as store,
        ):
            if not self.is_exact and not known:
                report(self._sampling_note(store))
            for found in self.tiled.measure(self.sample, store, known):
                statistics.append(found)
                remember(statistics)
            for core in self.cores:
                if not is_done(self.padding.inside(core)):
                    write(*self._translated(core, statistics, store))

    def _read(self, area: Area) -> torch.Tensor:
        rows, columns = self.padding.sources(area)
        height, width = (span.size for span in self.padding.inside(area))
        top, left = int(rows.min()), int(columns.min())
        part = Area(Span(top, int(rows.max()) + 1, height), Span(left, int(columns.max()) + 1, width))
        values = self.read(part)[rows - top][:, columns - left]
        return self.translator.network_input([values], [self.colours])

    def _translated(self, core: Area, statistics: Sequence[Statistics], store: TileStore) -> tuple[Area, Array]:
        output = self.tiled.translate(core, statistics, store)
        area, (top, left) = self.padding.inside(core), (self.padding.top, self.padding.left)
        height, width = area.rows.length, area.columns.length
        top, left = area.rows.start + top - core.rows.start, area.columns.start + left - core.columns.start
        part = output[:, :, top : top + height, left : left + width]
        return area, self.translator.output_values(part, [self.encoding], [self.colours])[0]

    def _slot_values(self) -> int:
        """Numbers that a tile keeps between two norms, at most."""
        program, most = self.tiled.program, 0
        for core in self.cores:
            areas = program.areas(core)
            most = max(most, *(program.num_values(areas[norm], norm) for norm in program.norms))
        return most

    def _sample(self, slot_bytes: int) -> list[Area]:
        """The tiles that statistics are taken of."""
        if not slot_bytes:
            return []
        if self.is_in_memory:
            return self.cores
        scratch_gib = self.translator.scratch_gib
        free = shutil.disk_usage(tempfile.gettempdir()).free - SPARE_DISK
        capacity = int(min(scratch_gib * GIB, free)) // slot_bytes
        if capacity >= len(self.cores):
            return self.cores
        if capacity < MIN_SAMPLE:
            problem = f"a scratch file of {scratch_gib:g} GiB holds {capacity} tiles of {self.side} pixels"
            needed = math.ceil(MIN_SAMPLE * slot_bytes / GIB)
            raise OptionError(problem, cure=f"give --scratch-gib {needed} or more, or a smaller --tile")
        return spread(self.cores, self.side)[: min(MAX_SAMPLE, capacity)]

    def _sampling_note(self, store: TileStore) -> str:
        """The note about statistics of a sample, with their expected error."""
        chosen = set(self.sample)
        others = [core for core in self.cores if core not in chosen]
        error = self.tiled.sampling_error(self.sample, others, store)
        levels, peak = levels_in(error, self.encoding), self.encoding.limits[1]
        decibels = 20 * math.log10(2 / max(error, 1e-12))
        return (
            f"statistics of {len(self.sample)} of {len(self.cores)} tiles are used for all: "
            f"expected error {levels:.2g} of {peak:g} ({decibels:.0f} dB)"
        )


def translate_by_tiles(translator: "Translator", image: DecodedImage) -> DecodedImage:
    """``image`` translated by tiles. The note says if statistics are those of a sample.

    Raises:
        OptionError: the network cannot be computed by tiles, or the scratch file is too small.
        PictureError: no tile fits in memory.
    """
    (height, width, _), notes = image.values.shape, list[str]()
    values = filled(image, translator.encoding_in)
    colours = translator.colours_of(image)
    tiled = TiledTranslation(
        translator, height, width, lambda area: values[area.slices], image.encoding, colours=colours
    )
    output = np.empty((height, width, tiled.encoding.channels), tiled.encoding.dtype)
    tiled.run(lambda area, part: output.__setitem__(area.slices, part), report=notes.append)
    return translation_of(image, DecodedImage(output, note=notes[0] if notes else None), colours)


def check_tile(tile: Tile, network: nn.Module) -> None:
    """Refuses a ``tile`` that is no size, or a size if ``network`` cannot be computed by tiles.

    Raises:
        OptionError: one of these.
    """
    if tile == "auto" or tile == 0:
        return
    if tile < 0:
        raise OptionError(f"tile is {tile}", cure="give auto, 0, or a side in pixels")
    window_steps(network)


def can_be_tiled(forward: Forward) -> bool:
    """Whether ``forward`` is a network that can be computed by tiles."""
    try:
        return isinstance(forward, TorchForward) and bool(window_steps(forward.network))
    except OptionError:
        return False


def _side(translator: "Translator", forward: TorchForward, stride: int) -> int:
    """The side of a tile's core: as given, or as large as fits into a part of the free memory.

    Raises:
        PictureError: none fits.
    """
    if translator.tile not in ("auto", 0):  # 0 is for pictures; slides are always translated by tiles
        return -(-int(translator.tile) // stride) * stride
    free = translator.free_memory()
    if free is None or not forward.is_on_cpu:
        return -(-USUAL_SIDE // stride) * stride
    halo, probe = 2 * receptive_radius(forward.network, stride), -(-PROBE_SIDE // stride) * stride
    peak = predicted_peak(lambda: forward(torch.zeros(1, translator.channels_in, probe, probe))) or 0
    for side in (-(-side // stride) * stride for side in SIDES):
        if (need := MEMORY_MARGIN * peak * ((side + halo) / probe) ** 2) <= free * TILE_FRACTION:
            return side
    lack = shortage(need / TILE_FRACTION, free)
    raise PictureError(f"even tiles of {side} pixels need {lack}", cure="end other programs")
