"""Writes TIFF with tifffile: any type and number of bands, with the metadata of the picture."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from diptych.data.encoding import RGB, eight_bits, sixteen_bits
from diptych.data.formats.tiff_tags import DESCRIPTION, ICC, XMP, nodata_tag
from diptych.data.image import DecodedImage

UNDEFINED = 7
"""Type of a tag: bytes."""


def write_tiff(path: Path, image: DecodedImage) -> None:
    """Writes ``image`` to ``path``, compressed by deflate.

    Raises:
        OSError: it cannot be written.
    """
    values, metadata = image.values, image.metadata
    channels = values.shape[2]
    is_rgb = channels == RGB and not metadata.is_unnamed
    extra: list[str] = ["unspecified"] * (0 if is_rgb else channels - 1)
    if image.alpha is not None:
        alpha = eight_bits(image.alpha) if values.dtype == np.uint8 else sixteen_bits(image.alpha)
        values, extra = np.dstack([values, alpha.astype(values.dtype)]), [*extra, "unassalpha"]
    is_planar = metadata.is_planar and values.shape[2] > 1
    options: dict[str, Any] = {"planarconfig": "separate" if is_planar else "contig"} if values.shape[2] > 1 else {}
    if extra:
        options["extrasamples"] = extra
    if metadata.resolution:
        options |= {"resolution": metadata.resolution[:2], "resolutionunit": metadata.resolution.unit}
    texts = {tag.code: tag for tag in metadata.texts}
    description = texts.pop(DESCRIPTION, None)
    tags = [*texts.values(), *metadata.geo]
    if metadata.nodata is not None:
        tags.append(nodata_tag(metadata.nodata))
    extratags: list[Any] = [(tag.code, tag.dtype, tag.number, tag.value, True) for tag in tags]
    extratags += [
        (code, UNDEFINED, len(content), content, True)
        for code, content in ((ICC, metadata.icc), (XMP, metadata.xmp))
        if content
    ]
    stored = values[:, :, 0] if values.shape[2] == 1 else np.moveaxis(values, 2, 0) if is_planar else values
    tifffile.imwrite(
        path,
        np.ascontiguousarray(stored),
        photometric="rgb" if is_rgb else "minisblack",
        compression="zlib",
        description=None if description is None else description.value,
        metadata=None,
        software=False,
        extratags=extratags,
        bigtiff=True if metadata.is_big else None,
        **options,
    )
