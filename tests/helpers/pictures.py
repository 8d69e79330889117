"""Valid and broken picture files, and the error messages of the broken ones."""

import struct
import zlib

import numpy as np

LOSSY = {".jpg": {"quality": 95, "subsampling": 0}, ".webp": {"lossless": True}}


def saved(path, image, **options):
    image.save(path, **(LOSSY.get(path.suffix, {}) | options))
    return path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *, depth=8, colour_type=0, rows=b"", extra=b"", interlaced=False):
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_rows(values, depth):
    """The rows of ``(H, W, C)`` integers of ``depth`` bits, without prediction."""
    bits = (values.reshape(len(values), -1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    return b"".join(b"\0" + np.packbits(row.astype(np.uint8).reshape(-1)).tobytes() for row in bits)


def adam7(values, depth):
    """The rows of an interlaced PNG."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = (values[y::dy, x::dx] for x, y, dx, dy in passes)
    return b"".join(png_rows(part, depth) for part in parts if part.size)


def bmp(width, height):
    return b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


CONTENTS = {
    "empty": (b"", "is empty (0 bytes): replace or remove it"),
    "text": (
        b"Dear diary,\ntoday",
        "is not a picture (JPEG, PNG, WEBP, BMP, TIFF, GIF, NPY, DICOM, NIFTI), despite its name",
    ),
    "page": (b"<!DOCTYPE html><html>", "is not a picture"),
    "program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
    "png of 60000×60000": (png(60000, 60000), "claims more than 179 million pixels: replace or remove it"),
    "bmp of 60000×60000": (bmp(60000, 60000), "claims more than 179 million pixels: replace or remove it"),
    "png without its pixels": (png(12000, 12000), "is cut off or damaged (0.1 kB; "),
    "png of size 0": (png(0, 7), "is a PNG file that cannot be read ("),
}
