"""Writes slides in the format MIRAX, for tests. OpenSlide reads them, and judges what is written.

Source: https://openslide.org/formats/mirax, and what OpenSlide requires.
"""

import io
import struct

import numpy as np
from PIL import Image

TILE = 64
SLIDE_ID = "0123456789abcdef"
HEAD = """[GENERAL]
SLIDE_ID = {id}
IMAGENUMBER_X = {across}
IMAGENUMBER_Y = {down}
OBJECTIVE_MAGNIFICATION = 20

[HIERARCHICAL]
HIER_COUNT = 1
NONHIER_COUNT = 0
INDEXFILE = Index.dat
HIER_0_NAME = Slide zoom level
HIER_0_COUNT = {levels}
{sections}

[DATAFILE]
FILE_COUNT = 1
FILE_0 = Data0000.dat
"""
LEVEL = """
[LEVEL_{level}]
OVERLAP_X = 0
OVERLAP_Y = 0
MICROMETER_PER_PIXEL_X = {mpp}
MICROMETER_PER_PIXEL_Y = {mpp}
IMAGE_FORMAT = PNG
IMAGE_FILL_COLOR_BGR = {fill}
DIGITIZER_WIDTH = {tile}
DIGITIZER_HEIGHT = {tile}
IMAGE_CONCAT_FACTOR = {concat}
"""


def write_mirax(path, values, *, mpp=0.25, scanned=lambda y, x: True, fill=(255, 255, 255), levels=2):
    """Writes ``values`` ``(H, W, 3)``, whose sides are multiples of ``TILE << (levels - 1)``, to ``path``: losslessly,
    with halved levels. Only tiles for which ``scanned(row, column)`` is true are there."""
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(b"The slide is in the folder of this name.")
    down, across = values.shape[0] // TILE, values.shape[1] // TILE
    present = {(y, x) for y in range(down) for x in range(across) if scanned(y, x)}
    data, pages = bytearray(b"data"), []
    for level in range(levels):
        step, entries = 1 << level, []
        for y, x in sorted({(y - y % step, x - x % step) for y, x in present}):
            block = values[y * TILE : (y + step) * TILE, x * TILE : (x + step) * TILE]
            halved = block.reshape(TILE, step, TILE, step, 3).mean((1, 3)).round().astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(halved).save(buffer, "PNG")
            entries.append((y * across + x, len(data), buffer.tell(), 0))
            data += buffer.getvalue()
        pages.append(entries)
    (folder / "Data0000.dat").write_bytes(data)

    head = b"01.02" + SLIDE_ID.encode()
    lists, at = b"", len(head) + 8 + 4 * levels
    pointers = []
    for entries in pages:  # a list of pages: one is empty, the next has all tiles
        pointers.append(at + len(lists))
        page = pointers[-1] + 8
        lists += struct.pack("<4i", 0, page, len(entries), 0) + b"".join(struct.pack("<4i", *each) for each in entries)
    tables = struct.pack(f"<2i{levels}i", len(head) + 8, 0, *pointers)
    (folder / "Index.dat").write_bytes(head + tables + lists)

    sections = "\n".join(f"HIER_0_VAL_{level}_SECTION = LEVEL_{level}" for level in range(levels))
    text = HEAD.format(id=SLIDE_ID, across=across, down=down, levels=levels, sections=sections)
    colour = fill[0] | fill[1] << 8 | fill[2] << 16
    for level in range(levels):
        text += LEVEL.format(level=level, mpp=mpp * 2**level, fill=colour, tile=TILE, concat=min(level, 1))
    (folder / "Slidedat.ini").write_text(text)
    return path
