"""Sample pictures of a run, their translations and reconstructions."""

from collections.abc import Mapping
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from diptych.config import Direction, TrainConfig
from diptych.data.encoding import Array, eight_bits, encodings_of, from_network, to_network
from diptych.data.files import Domain, by_hash
from diptych.data.loader import Reader
from diptych.data.survey import USABLE
from diptych.data.transforms import CENTRE, crop_and_flip, stack
from diptych.errors import PictureError
from diptych.inference.forward import Forward
from diptych.monitoring.grid import Block, Row
from diptych.pair import REVERSE, Pair

MAX_COLUMNS = 8


def sample_pictures(domains: Pair[Domain], config: TrainConfig, number: int = MAX_COLUMNS) -> Pair[list[Array]]:
    """At most ``number`` pictures of each domain at training size, ``(H, W, C)`` uint8, the same ones at each call.

    With ``--skip-unreadable``, unreadable pictures are left out; if the method is paired, their partners are too.

    Raises:
        PictureError: a picture cannot be read, or none of a domain can.
    """
    data, stride = config.data, config.generator.stride
    paired = domains if config.method.paired else None
    make = partial(Reader, data=data, stride=stride, paired=paired)
    readers = domains.map(lambda domain, encoding: make(domain, encoding=encoding), encodings_of(data))
    if paired:
        rows = _readable(*readers, number=number)
        return Pair([a for a, _ in rows], [b for _, b in rows])
    return readers.map(lambda reader: [picture for (picture,) in _readable(reader, number=number)])


def _readable(*readers: Reader, number: int) -> list[list[Array]]:
    """The first ``number`` rows that all ``readers`` can read, in the order of the hashes of the file names."""
    domain, crop_size = readers[0].domain, readers[0].data.crop_size or 0
    indices = {file: index for index, file in enumerate(domain.files)}
    rows = ([reader.read(indices[file]) for reader in readers] for file in by_hash(domain.files))
    complete = (
        [eight_bits(crop_and_flip(picture, CENTRE, crop_size)) for picture in row if picture is not None]
        for row in rows
    )
    found = list(islice((row for row in complete if len(row) == len(readers)), number))
    if not found:
        raise PictureError(f"no picture in {domain.folder} can be read", cure=USABLE)
    return found


def sample_blocks(
    generators: Mapping[Direction, Forward],
    pictures: Pair[list[Array]],
    names: Pair[str],
    device: torch.device,
    *,
    paired: bool = False,
) -> list[Block]:
    """Translates ``pictures``: a block for each direction, with rows for real, translated, reconstructed and identity
    pictures, and for the true translations if they are ``paired``."""
    blocks = []
    for direction, translate in generators.items():
        (source, target), (real, truth) = names.along(direction), pictures.along(direction)
        inputs = [to_network(stack([picture]), device) for picture in real]
        fakes = [translate(x) for x in inputs]
        rows = [Row(source, real), Row(f"as {target}", [_array(fake) for fake in fakes])]
        if reverse := generators.get(REVERSE[direction]):
            rows.append(Row(f"{source} reconstructed", [_array(reverse(fake)) for fake in fakes]))
            if all(x.shape == fake.shape for x, fake in zip(inputs, fakes, strict=True)):
                rows.append(Row(f"{source}, identity", [_array(reverse(x)) for x in inputs]))
        if paired:
            rows.append(Row(f"true {target}", truth))
        blocks.append(Block(f"{source} to {target}", rows))
    return blocks


def _array(batch: Tensor) -> Array:
    return np.asarray(from_network(batch)[0])
