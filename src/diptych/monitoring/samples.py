"""The samples of a run: held-out pictures, their translations, and what comes back."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from diptych.config import DataConfig, Direction
from diptych.data.encoding import Array, from_network, to_network
from diptych.data.files import Domain, by_hash
from diptych.data.loader import Reader
from diptych.data.transforms import CENTRE, crop_and_flip, stack
from diptych.inference.forward import Forward
from diptych.monitoring.grid import Block, Row
from diptych.pair import REVERSE, Pair

MAX_COLUMNS = 8


def sample_pictures(
    domain: Domain, data: DataConfig, *, channels: int, stride: int, number: int = MAX_COLUMNS
) -> list[Array]:
    """A few pictures of ``domain`` at the size of training, each ``(H, W, channels)`` uint8, always the same ones."""
    reader = Reader(domain, data, channels=channels, stride=stride)
    indices = [domain.files.index(file) for file in by_hash(domain.files)[:number]]
    return [crop_and_flip(reader(index), CENTRE, data.crop_size or 0) for index in indices]


def sample_blocks(
    translators: Mapping[Direction, Forward],
    pictures: Pair[list[Array]],
    names: Pair[str],
    device: torch.device,
    *,
    paired: bool = False,
) -> list[Block]:
    """Real, translated, back again and identity, a row each, for every direction that ``translators`` has.

    Of ``paired`` pictures, the true translation as well.
    """
    blocks = [_block(translators, direction, pictures, names, device) for direction in translators]
    if paired:
        for direction, block in zip(translators, blocks, strict=True):
            _, name = names.along(direction)
            _, truth = pictures.along(direction)
            block.rows.append(Row(f"true {name}", truth))
    return blocks


def _block(
    translators: Mapping[Direction, Forward],
    direction: Direction,
    pictures: Pair[list[Array]],
    names: Pair[str],
    device: torch.device,
) -> Block:
    translate, reverse = translators[direction], translators.get(REVERSE[direction])
    (source, target), (real, _) = names.along(direction), pictures.along(direction)
    inputs = [to_network(stack([picture]), device) for picture in real]
    fakes = [translate(x) for x in inputs]
    rows = [Row(source, real), Row(f"as {target}", [_array(fake) for fake in fakes])]
    if reverse is not None:
        rows.append(Row(f"{source} again", [_array(reverse(fake)) for fake in fakes]))
        if all(x.shape == fake.shape for x, fake in zip(inputs, fakes, strict=True)):
            rows.append(Row(f"{source} as {source}", [_array(reverse(x)) for x in inputs]))
    return Block(f"{source} to {target}", rows)


def _array(batch: Tensor) -> Array:
    return np.asarray(from_network(batch)[0])
