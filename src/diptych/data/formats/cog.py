"""Cloud-optimised GeoTIFF (COG), which GDAL writes. Needs the extra ``geo``.

Source: OGC 21-026, Cloud Optimized GeoTIFF; GDAL's driver notes it behind the file's header.
"""

from importlib.util import find_spec
from pathlib import Path

from tifffile import TiffFile

MARK, MARK_AT = b"GDAL_STRUCTURAL_METADATA_SIZE=", {False: 8, True: 16}
"""What a COG says behind its header, and where, by whether it is a BigTIFF."""
LAYOUT = b"LAYOUT=IFDS_BEFORE_DATA"
MARK_BYTES = 256


def is_cog(file: TiffFile) -> bool:
    """Whether ``file`` says that it is a COG."""
    handle = file.filehandle
    handle.seek(MARK_AT[file.is_bigtiff])
    head = handle.read(MARK_BYTES)
    return bool(head.startswith(MARK) and LAYOUT in head)


def can_write_cog() -> bool:
    """Whether rasterio is installed."""
    return find_spec("rasterio") is not None


def write_cog(path: Path) -> None:
    """Replaces the TIFF file ``path`` by a COG, compressed by deflate, with overviews.

    Raises:
        OSError: it cannot be written.
    """
    import rasterio.shutil

    plain = path.with_name(f"{path.name}.plain")
    path.replace(plain)
    try:
        rasterio.shutil.copy(
            str(plain), str(path), driver="COG", compress="DEFLATE", predictor="YES", bigtiff="IF_SAFER"
        )
    except rasterio.errors.RasterioError as error:
        raise OSError(f"GDAL cannot write a COG: {error}") from None
    finally:
        plain.unlink(missing_ok=True)
