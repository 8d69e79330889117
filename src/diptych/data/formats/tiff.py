"""TIFF: the header says what the samples are. Pillow decodes what it reads correctly, tifffile decodes the rest."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image
from tifffile import TIFF, TiffFile, TiffPage

from diptych.config import ValueType
from diptych.data.archive import readable
from diptych.data.encoding import GREY, RGB, TYPES, Array, Encoding
from diptych.data.formats import CUT
from diptych.data.formats.pillow import MAX_PIXELS, PillowFile, stored_samples
from diptych.data.formats.tiff_tags import ORIENTATION, read_metadata
from diptych.data.image import SIDEWAYS, DecodedImage, frames_note, with_alpha
from diptych.errors import PictureError

WHITE_IS_ZERO, BLACK_IS_ZERO, COLOUR, PALETTE, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8
NUM_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, COLOUR: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, CIELAB: 3}
"""The number of samples of each photometric interpretation, without extra samples."""
NAMES = {COLOUR: "RGB", PALETTE: "a palette", CMYK: "CMYK", YCBCR: "YCbCr", CIELAB: "CIELAB", 32803: "raw data"}
MODES = {PALETTE: "P", CMYK: "CMYK", CIELAB: "LAB"}
UNSIGNED = 1
SAMPLE_FORMATS = {UNSIGNED: "uint", 2: "int", 3: "float", 5: "complex int", 6: "complex"}
ASSOCIATED, UNASSOCIATED = (1,), (2,)
"""Extra samples that are transparency. All others are bands."""
OPAQUE_FRACTION = 0.5
"""Where a sample is transparency, at least this fraction of the pixels that are visible at all is fully opaque."""
MOST_LEVELS = 32
"""A file with more pages is not a pyramid, in which each page halves the size."""
INK_SET = 332
USABLE = "save it as grey, RGB or bands of " + ", ".join(TYPES)

BY_PILLOW = {
    *((photometric, bits, ()) for photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE) for bits in (1, 2, 4, 8)),
    *((COLOUR, bits, extra) for bits in (8, 16) for extra in ((), ASSOCIATED, UNASSOCIATED)),
    *((photometric, 8, ()) for photometric in (CMYK, YCBCR, CIELAB)),
    (BLACK_IS_ZERO, 16, ()), (BLACK_IS_ZERO, 8, UNASSOCIATED), (PALETTE, 8, UNASSOCIATED),
}  # fmt: skip
"""What Pillow reads correctly: photometric interpretation, bits and extra samples of unsigned integers."""
PLANAR_BY_PILLOW = {(COLOUR, 8, ()), (COLOUR, 8, UNASSOCIATED), (CMYK, 8, ())}
COMPRESSIONS_BY_PILLOW = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000})
JPEG_COMPRESSIONS = (6, 7)

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # otherwise its warnings go to standard error


@contextmanager
def open_tiff(path: Path) -> Iterator["TiffPicture"]:
    """Opens ``path``. Raises what ``TiffPicture`` raises, and errors of tifffile; ``open_picture`` converts them."""
    with TiffFile(readable(path)) as file:
        page = file.pages[0]
        assert isinstance(page, TiffPage)
        yield TiffPicture(path, file, page)


class TiffPicture:
    """The first page of an open TIFF file. Its header is read; its pixels are not decoded yet.

    Raises:
        PictureError: samples that diptych cannot use, by name; or a compression that needs another package.
    """

    can_be_reduced = False

    def __init__(self, path: Path, file: TiffFile, page: TiffPage) -> None:
        self.path, self.file, self.page = path, file, page
        self.photometric, self.bits, self.samples = int(page.photometric), page.bitspersample, page.samplesperpixel
        self.extra = tuple(map(int, page.extrasamples))
        is_unsigned = page.sampleformat == UNSIGNED and self.bits <= 16
        self.has_alpha = is_unsigned and self.extra in (ASSOCIATED, UNASSOCIATED) and self.photometric != WHITE_IS_ZERO
        """Whether the file says that its only extra sample is transparency."""
        self.is_raw = self.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, COLOUR)
        """Whether the samples are the values."""
        colours = GREY if NUM_COLOURS.get(self.photometric) == 1 else RGB
        self.num_colours = self.samples - self.has_alpha if self.is_raw else colours
        """Channels. Three bands without a name are read as red, green and blue."""
        self.orientation = int(page.tags.valueof(ORIENTATION, default=1))
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise PictureError(f"{path} claims more than {MAX_PIXELS / 1e6:.0f} million pixels", cure=CUT)
        if page.is_reduced:
            problem = f"{path} begins with a thumbnail, as raw files of cameras do"
            raise PictureError(problem, cure="save the picture itself as TIFF or PNG")
        self.has_other_inks = self.photometric == CMYK and page.tags.valueof(INK_SET, default=1) != 1
        self.is_by_pillow = self._is_by_pillow()
        if not self.is_by_pillow:
            self._refuse_unusable()

    def _is_by_pillow(self) -> bool:
        """Whether Pillow reads it correctly."""
        page, key = self.page, (self.photometric, self.bits, self.extra)
        is_planar = page.planarconfig != 1 and self.samples > 1
        return (
            page.sampleformat == UNSIGNED
            and page.imagedepth == 1
            and not (self.file.is_bigtiff and self.file.byteorder == ">")
            and self.samples == NUM_COLOURS.get(self.photometric, 0) + len(self.extra)
            and key in (PLANAR_BY_PILLOW if is_planar else BY_PILLOW)
            and page.compression in COMPRESSIONS_BY_PILLOW
            and (page.fillorder == 1 or (self.samples == 1 and self.bits <= 8))
            and (self.photometric != YCBCR or page.compression in JPEG_COMPRESSIONS)
            and not self.has_other_inks
        )

    def _refuse_unusable(self) -> None:
        """Refuses what tifffile may read, but diptych cannot use."""
        page = self.page
        is_inverted = self.photometric == WHITE_IS_ZERO and (self.samples > 1 or page.sampleformat != UNSIGNED)
        if not self.is_raw or self.dtype not in TYPES or page.imagedepth > 1 or is_inverted:
            raise PictureError(f"{self.path} holds {self.kind}, which diptych cannot use", cure=USABLE)
        if page.compression not in TIFF.DECOMPRESSORS or page.predictor not in TIFF.UNPREDICTORS:
            problem = f"{self.path} is compressed by {getattr(page.compression, 'name', page.compression)}"
            if find_spec("imagecodecs"):
                raise PictureError(f"{problem}, which diptych does not read", cure="save it with another compression")
            raise PictureError(f"{problem}, which needs", cure="pip install 'diptych[images]'")

    @property
    def kind(self) -> str:
        """What the samples are, such as ``int16``, ``RGB of float32`` or ``5 bands of uint8``."""
        kind = f"{SAMPLE_FORMATS.get(self.page.sampleformat or 0, 'samples of bits ')}{self.bits}"
        if self.page.imagedepth > 1:
            return f"a volume of {kind}"
        if self.photometric == WHITE_IS_ZERO:
            return f"{f'{self.samples} bands of ' if self.samples > 1 else ''}{kind} with white as zero"
        if self.has_other_inks or self.samples != NUM_COLOURS.get(self.photometric, self.samples):
            return f"{self.samples} bands of {kind}"
        if self.photometric == BLACK_IS_ZERO:
            return kind
        return f"{NAMES.get(self.photometric, f'photometric interpretation {self.photometric}')} of {kind}"

    @property
    def dtype(self) -> ValueType:
        """The type of the values."""
        name = f"{SAMPLE_FORMATS.get(self.page.sampleformat or 0)}{self.bits}" if self.is_raw else "uint8"
        return cast(ValueType, "uint8" if self.is_by_pillow and self.bits < 8 else name)

    @property
    def mode(self) -> str:
        """The nearest of Pillow's modes."""
        return MODES.get(self.photometric, f"{'L' if self.num_colours == GREY else 'RGB'}{'A' * self.has_alpha}")

    @property
    def channels(self) -> int:
        """The number of channels without transparency; of a palette, as many as its colours need."""
        if self.photometric != PALETTE:
            return self.num_colours
        with Image.open(readable(self.path), formats=["TIFF"]) as image:
            return PillowFile(self.path, image).channels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height after EXIF orientation."""
        width, height = self.page.imagewidth, self.page.imagelength
        return (height, width) if self.orientation in SIDEWAYS else (width, height)

    @property
    def num_frames(self) -> int:
        """How many pages there are, or slices of ImageJ. Other resolutions and masks do not count."""
        slices, pages = (self.file.imagej_metadata or {}).get("images", 1), self.file.pages
        number = len(pages)
        if self.page.is_geotiff or number <= MOST_LEVELS:
            number = sum(1 for page in pages if isinstance(page, TiffPage) and not (page.is_reduced or page.is_mask))
        return max(number, slices if isinstance(slices, int) else 1)

    def decode(
        self, target: tuple[int, int] | None = None, *, columns: int = 1, bands: int | None = None
    ) -> DecodedImage:
        """The first page, upright; ``target`` and ``columns`` do nothing. Transparency is a band if that makes
        ``bands``.

        Raises:
            PictureError: a sample that is called transparency, but is not like it.
        """
        del target, columns
        metadata = read_metadata(self.file, self.page, self.orientation)
        if self.is_raw:
            samples = stored_samples(self.path) if self.is_by_pillow else self._by_tifffile()
            if self.has_alpha and bands != self.samples:
                values, alpha = samples[:, :, :-1], samples[:, :, -1]
                self._refuse_band(values, alpha, is_associated=self.extra == ASSOCIATED)
                decoded = with_alpha(values, alpha, associated=self.extra == ASSOCIATED)
            else:
                decoded = DecodedImage(samples).with_missing(metadata.nodata)
            decoded = decoded if self.is_by_pillow else decoded.upright(self.orientation)  # Pillow has turned it
        else:
            with Image.open(readable(self.path), formats=["TIFF"]) as image:
                decoded = PillowFile(self.path, image).decode()
            if decoded.alpha is not None:
                self._refuse_band(decoded.values, decoded.alpha, is_associated=False)
        unnamed = f"{self.path} has 3 bands without a name: they are read as red, green and blue"
        note = unnamed if self.num_colours == RGB and self.photometric == BLACK_IS_ZERO else None
        note = frames_note(self.num_frames, self.path) or note
        return decoded._replace(note=note, metadata=metadata.for_channels(decoded.values.shape[2]))

    def _by_tifffile(self) -> Array:
        """``(H, W, C)``: the samples as they are stored, grey with white as the highest value."""
        page = self.page
        self._refuse_missing_data()
        planes = page.asarray(squeeze=False, maxworkers=1)  # (C, 1, H, W, 1) or (1, 1, H, W, C)
        samples = planes[:, 0].transpose(1, 2, 0, 3).reshape(page.imagelength, page.imagewidth, self.samples)
        if self.photometric == WHITE_IS_ZERO:
            samples[:, :, 0] = Encoding.of(samples).peak - samples[:, :, 0]
        return samples

    def _refuse_missing_data(self) -> None:
        """Refuses a file without some of its strips or tiles: tifffile would fill them with zeros."""
        page = self.page
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        stored = sum(1 for offset, size in segments if 0 < offset <= offset + size - 1 < self.file.filehandle.size)
        expected = math.prod(page.chunked)
        if stored < expected:
            raise ValueError(f"{stored} of {expected} strips or tiles are complete")

    def _refuse_band(self, values: Array, alpha: Array, *, is_associated: bool) -> None:
        if not behaves_as_alpha(values, alpha, is_associated=is_associated):
            raise PictureError(
                f"{self.path} holds {self.kind}: the last is called transparency, but few of its pixels are opaque",
                cure=f"train with --channels-a {self.samples} (or -b) to use it as a band, or save it without the "
                "last band; as PNG, if it is transparency",
            )


def behaves_as_alpha(values: Array, alpha: Array, *, is_associated: bool) -> bool:
    """Whether ``alpha``, of ``(H, W)``, is like the transparency of ``values``, of ``(H, W, C)``.

    Transparency has a fully opaque part: at least half of the pixels that are visible at all. Infrared and other
    measurements have few pixels of the highest value. ``is_associated`` values are multiplied by their transparency,
    so they are not above it.
    """
    peak = Encoding.of(values).peak
    num_opaque, num_visible = np.count_nonzero(alpha == peak), np.count_nonzero(alpha)
    is_above = is_associated and (values > alpha[:, :, None]).any()
    return bool(num_visible > 0 and num_opaque >= OPAQUE_FRACTION * num_visible and not is_above)
