"""Writes TIFF with tifffile: any type and number of bands, with the metadata of the picture."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from diptych.data.encoding import RGB, eight_bits, sixteen_bits
from diptych.data.formats.cog import write_cog
from diptych.data.formats.tiff_exif import exif_tags, write_directories
from diptych.data.formats.tiff_tags import DESCRIPTION, ICC, XMP, nodata_tag
from diptych.data.image import DecodedImage
from diptych.data.metadata import Metadata

TILE = (256, 256)
UNDEFINED = 7
"""Type of a tag: bytes."""


def write_tiff(path: Path, image: DecodedImage) -> None:
    """Writes ``image`` to ``path``, compressed by deflate; as COG if it was one.

    Raises:
        OSError: it cannot be written.
    """
    values, metadata = image.values, image.metadata
    if image.alpha is not None:
        alpha = eight_bits(image.alpha) if values.dtype == np.uint8 else sixteen_bits(image.alpha)
        values = np.dstack([values, alpha.astype(values.dtype)])
    options = tiff_options(metadata, values.shape[2], has_alpha=image.alpha is not None)
    is_planar = options.get("planarconfig") == "separate"
    stored = values[:, :, 0] if values.shape[2] == 1 else np.moveaxis(values, 2, 0) if is_planar else values
    tifffile.imwrite(path, np.ascontiguousarray(stored), compression="zlib", metadata=None, **options)
    if metadata.exif:
        write_directories(path, metadata.exif)
    if metadata.is_cog:
        write_cog(path)


def tiff_options(metadata: Metadata, samples: int, *, has_alpha: bool = False) -> dict[str, Any]:
    """Arguments of tifffile's writers for a picture of ``samples``, of which the last may be transparency."""
    channels = samples - has_alpha
    is_rgb = channels == RGB and not metadata.is_unnamed
    extra = ["unspecified"] * (0 if is_rgb else channels - 1) + ["unassalpha"] * has_alpha
    options: dict[str, Any] = {"photometric": "rgb" if is_rgb else "minisblack", "software": False}
    if samples > 1:
        options["planarconfig"] = "separate" if metadata.is_planar else "contig"
    if extra:
        options["extrasamples"] = extra
    if metadata.resolution:
        options |= {"resolution": metadata.resolution[:2], "resolutionunit": metadata.resolution.unit}
    if metadata.is_tiled:
        options["tile"] = TILE
    if metadata.is_big:
        options["bigtiff"] = True
    texts = {tag.code: tag for tag in metadata.texts}
    if description := texts.pop(DESCRIPTION, None):
        options["description"] = description.value
    tags = [*texts.values(), *metadata.geo, *(exif_tags(metadata.exif, metadata.texts) if metadata.exif else ())]
    if metadata.nodata is not None:
        tags.append(nodata_tag(metadata.nodata))
    contents = [(ICC, metadata.icc), (XMP, metadata.xmp)]
    options["extratags"] = [(tag.code, tag.dtype, tag.number, tag.value, True) for tag in tags] + [
        (code, UNDEFINED, len(content), content, True) for code, content in contents if content
    ]
    return options
