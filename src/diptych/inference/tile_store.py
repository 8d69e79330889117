"""Where the activations of tiles wait for the statistics of the next norm: in memory, or in a scratch file."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from diptych.errors import disk_errors
from diptych.networks.window_program import Windows
from diptych.networks.windows import Area, Window


class Stored(NamedTuple):
    """The windows of a tile, which are the input of ``step``."""

    step: int
    windows: Windows


class TileStore(Protocol):
    """Keeps the last windows of each tile, by the tile's core."""

    def put(self, core: Area, stored: Stored) -> None:
        """Keeps ``stored`` in place of what was kept for ``core``."""
        ...

    def get(self, core: Area) -> Stored | None:
        """What is kept for ``core``; None if nothing is."""
        ...

    def clear(self) -> None:
        """Forgets everything."""
        ...


class MemoryStore(dict[Area, Stored]):
    """In memory."""

    def put(self, core: Area, stored: Stored) -> None:
        """Keeps copies: a window may be a view of a larger tensor."""
        self[core] = Stored(stored.step, tuple(Window(w.values.clone(), w.area) for w in stored.windows))


class ScratchStore:
    """In a file without a name, which the system removes when the process ends."""

    def __init__(self, file: BufferedRandom, slot_bytes: int) -> None:
        self._file, self._slot_bytes = file, slot_bytes
        self._slots: dict[Area, int] = {}
        self._kept: dict[Area, tuple[int, list[tuple[torch.dtype, torch.Size, Area]]]] = {}

    def put(self, core: Area, stored: Stored) -> None:
        """Writes ``stored`` into the slot of ``core``.

        Raises:
            UserError: the disk is full.
        """
        slot = self._slots.setdefault(core, len(self._slots))
        with disk_errors(Path(tempfile.gettempdir())):
            self._file.seek(slot * self._slot_bytes)
            for values, _ in stored.windows:
                self._file.write(values.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
            self._file.flush()
        assert self._file.tell() <= (slot + 1) * self._slot_bytes
        self._kept[core] = stored.step, [(w.values.dtype, w.values.shape, w.area) for w in stored.windows]

    def get(self, core: Area) -> Stored | None:
        """The windows of ``core``, on the CPU."""
        if core not in self._kept:
            return None
        step, layout = self._kept[core]
        self._file.seek(self._slots[core] * self._slot_bytes)
        return Stored(step, tuple(Window(self._read(dtype, shape), area) for dtype, shape, area in layout))

    def clear(self) -> None:
        """Forgets everything; the slots keep their places."""
        self._kept.clear()

    def _read(self, dtype: torch.dtype, shape: torch.Size) -> Tensor:
        values = torch.empty(shape, dtype=dtype)
        num_bytes = self._file.readinto(values.flatten().view(torch.uint8).numpy().data)
        assert num_bytes == values.nbytes
        return values


@contextmanager
def tile_store(slot_bytes: int, *, in_memory: bool) -> Iterator[TileStore]:
    """A store for tiles of ``slot_bytes`` bytes or less: in memory, or in a scratch file.

    Raises:
        UserError: the folder for temporary files cannot be written to.
    """
    if in_memory:
        yield MemoryStore()
        return
    with disk_errors(folder := Path(tempfile.gettempdir())):
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    with file:
        yield ScratchStore(file, slot_bytes)
