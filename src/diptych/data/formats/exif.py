"""The metadata of files that Pillow reads and writes: colour profile, EXIF data, XMP data, resolution."""

from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from diptych.data.image import EXIF_ORIENTATION
from diptych.data.metadata import Metadata, Resolution

XMP_IN_PNG = "XML:com.adobe.xmp"


def read_metadata(image: Image.Image, *, is_sideways: bool, has_exif: bool) -> Metadata:
    """The metadata of the loaded ``image``, for its pixels turned upright. Looks for EXIF data if ``has_exif``."""
    info, exif, lost = image.info, None, list[str]()
    if has_exif:
        try:
            fields = image.getexif()
            fields.pop(EXIF_ORIENTATION, None)
            exif = fields.tobytes() if fields else None
        except Exception:  # damaged EXIF makes Pillow raise many types of error; the pixels are intact
            lost.append("damaged EXIF data")
    xmp = info.get("xmp") or info.get(XMP_IN_PNG)
    dpi = info.get("dpi")
    dpi = dpi if isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < float(number) < 1e6 for number in dpi) else None
    icc = info.get("icc_profile")
    return Metadata(
        icc=icc if isinstance(icc, bytes) and icc else None,
        exif=exif,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp,
        resolution=_resolution(dpi[::-1] if is_sideways else dpi) if dpi else None,
        lost=tuple(lost),
    )


def _resolution(dpi: tuple[Any, ...]) -> Resolution:
    x, y = dpi
    return Resolution(float(x), float(y))


def save_options(metadata: Metadata, kind: str) -> dict[str, Any]:
    """Arguments of Pillow's ``save`` that write ``metadata`` in the format ``kind``, as far as it holds it."""
    dpi = metadata.resolution.dpi if metadata.resolution else None
    options: dict[str, Any] = {}
    if kind in ("PNG", "JPEG", "WEBP"):
        options |= {"icc_profile": metadata.icc, "exif": metadata.exif or b""}
    if kind in ("JPEG", "WEBP") and metadata.xmp:
        options["xmp"] = metadata.xmp
    if kind == "PNG" and metadata.xmp:
        options["pnginfo"] = texts = PngInfo()
        texts.add_itxt(XMP_IN_PNG, metadata.xmp.decode("utf-8", "replace"))
    if kind in ("PNG", "BMP") and dpi:
        options["dpi"] = dpi
    if kind == "JPEG" and dpi:
        options["dpi"] = tuple(map(round, dpi))
    return options
