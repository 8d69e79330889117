"""Grids of pictures with captions."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from diptych.data.encoding import Array
from diptych.data.image import displayed, to_pillow

MIN_TILE, MAX_TILE = 96, 256
GAP, MARGIN = 6, 12
INK, QUIET, PAPER = "#1c1c1c", "#6b6b6b", "#ffffff"


@dataclass(frozen=True)
class Row:
    """A caption and the pictures beside it, each ``(H, W, C)`` uint8, of which ``displayed`` channels are shown."""

    caption: str
    pictures: Sequence[Array]


@dataclass(frozen=True)
class Block:
    """Rows under one heading."""

    heading: str
    rows: list[Row]


def draw_grid(blocks: Sequence[Block], *, footer: str = "") -> Image.Image:
    """Draws ``blocks`` below each other on white.

    All pictures get one size: that of the largest, enlarged by a whole factor if it is small, or shrunk.
    """
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    tile = _tile_size([picture for block in blocks for row in block.rows for picture in row.pictures])
    captions = [row.caption for block in blocks for row in block.rows]
    left = MARGIN + max((round(small.getlength(caption)) for caption in captions), default=0) + 2 * GAP
    columns = max((len(row.pictures) for block in blocks for row in block.rows), default=0)
    texts = max([font.getlength(block.heading) for block in blocks] + [small.getlength(footer)])
    width = max(left + columns * (tile + GAP), round(texts) + MARGIN) + MARGIN
    height = sum(28 + len(block.rows) * (tile + GAP) + MARGIN for block in blocks) + MARGIN + (24 if footer else 0)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for block in blocks:
        draw.text((MARGIN, y), block.heading, INK, font)
        y += 28
        for row in block.rows:
            draw.text((MARGIN, y + tile // 2), row.caption, QUIET, small, anchor="lm")
            for column, picture in enumerate(row.pictures):
                _paste(sheet, picture, left + column * (tile + GAP), y, tile)
            y += tile + GAP
        y += MARGIN
    if footer:
        draw.text((MARGIN, y), footer, INK, small)
    return sheet


def _tile_size(pictures: Sequence[Array]) -> int:
    largest = max((max(picture.shape[:2]) for picture in pictures), default=MIN_TILE)
    return min(MAX_TILE, largest * max(1, -(-MIN_TILE // largest)))


def _paste(sheet: Image.Image, picture: Array, x: int, y: int, tile: int) -> None:
    image = to_pillow(displayed(picture)).convert("RGB")
    factor = tile / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    image = image.resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS)
    place = (x + (tile - image.width) // 2, y + (tile - image.height) // 2)
    sheet.paste(image, place)
    ImageDraw.Draw(sheet).rectangle(
        (place[0] - 1, place[1] - 1, place[0] + image.width, place[1] + image.height), outline="#d8d8d8"
    )
