"""Writes PNG of 16 bits, grey or colour, with or without transparency: Pillow writes only 8 bits of colour.

Source: the PNG specification (third edition), sections 5 (chunks), 9 (filters) and 11.2 (IHDR, IDAT).
"""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from diptych.data.encoding import Array
from diptych.data.formats.exif import save_options
from diptych.data.metadata import Metadata

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""By the number of samples per pixel: grey, grey and alpha, colour, colour and alpha."""
UP = 2
"""The filter that stores each byte as its difference from the one above."""


def deep_png(values: Array, alpha: Array | None, metadata: Metadata) -> bytes:
    """The PNG of ``(H, W, 1 or 3)`` and ``(H, W)``, both uint16."""
    samples = values if alpha is None else np.dstack([values, alpha])
    height, width, number = samples.shape
    rows = np.ascontiguousarray(samples.astype(">u2")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0], filtered[0, 1:] = UP, rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[number], 0, 0, 0)
    chunks = [(b"IHDR", header), *_metadata_chunks(metadata, is_grey=number <= 2)]
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _metadata_chunks(metadata: Metadata, *, is_grey: bool) -> Iterator[tuple[bytes, bytes]]:
    """The chunks that Pillow writes for ``metadata``."""
    file = io.BytesIO()
    Image.new("L" if is_grey else "RGB", (1, 1)).save(file, "PNG", **save_options(metadata, "PNG"))
    content, start = file.getvalue(), len(SIGNATURE)
    while start < len(content):
        size, kind = struct.unpack_from(">I4s", content, start)
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            yield kind, content[start + 8 : start + 8 + size]
        start += size + 12
