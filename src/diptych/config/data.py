"""The options of pictures: where they are, and how they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diptych.config.constraints import Adjustable, NotNegative, Positive, argument, option

Resize = Literal["square", "shorter", "width", "none"]
SliceAxis = Literal["i", "j", "k"]
"""Axes of the array of a volume."""
Interpolation = Literal["bicubic", "nearest"]
ValueType = Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]
"""Types of the values in files."""


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where the pictures are: two folders, or one root."""

    a: Adjustable[Path] | None = argument(
        None, "Pictures of domain A: a folder, a zip, a .txt with one path a line, or a pattern in quotes.", "[A]"
    )
    b: Adjustable[Path] | None = argument(None, "Pictures of domain B, in the same way.", "[B]")
    root: Adjustable[Path] | None = option(
        None,
        "Instead of A and B: a folder with trainA and trainB, and optionally testA and testB; or with a folder train "
        "that holds a folder for each domain, or side-by-side pictures.",
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How pictures are read, resized and cropped."""

    resize: Resize = option(
        "square",
        "Resize to a square of load-size (square), resize the shorter side or the width to load-size and keep the "
        "aspect ratio (shorter, width), or do not resize (none).",
    )
    load_size: Positive[int] | None = option(
        None,
        "Size in pixels before cropping. By default crop-size if it is given, else 256, or less if the pictures are "
        "smaller.",
    )
    crop_size: NotNegative[int] | None = option(
        None,
        "Side of the random square crop in pixels; 0 does not crop. By default the largest of 256, 128, 64 and 32 that "
        "fits into load-size, but 128 instead of 256 if --time would be too short for 4,000 pictures.",
    )
    flip: bool = option(True, "Flip each picture horizontally with probability 0.5.")
    channels_a: Positive[int] | None = option(
        None,
        "Channels of domain A: 1 (grey), 3 (RGB), or the number of bands. By default those of the files: 1 if every "
        "picture is stored as grey.",
    )
    channels_b: Positive[int] | None = option(None, "The same for domain B.")
    range_a: str | None = option(
        None,
        "The value of domain A that becomes black and the one that becomes white, such as 0 4095. Values outside are "
        "clipped. auto measures both once (0.1 to 99.9 % of the values) and stores them. By default 0 to 255 for files "
        "of 8 bits and 0 to 65535 for files of 16 bits; files of other types, such as int16 or float32, need a range.",
        "LOW HIGH",
    )
    range_b: str | None = option(None, "The same for domain B.", "LOW HIGH")
    type_a: ValueType | None = option(
        None, "Type of the values in translations into domain A. By default that of its files."
    )
    type_b: ValueType | None = option(None, "The same for domain B.")
    interpolation_a: Interpolation = option(
        "bicubic", "How pictures of domain A are resized; nearest mixes no values, for label maps."
    )
    interpolation_b: Interpolation = option("bicubic", "The same for domain B.")
    slice_axis: SliceAxis = option(
        "k", "The axis along which volumes (NIfTI) are cut into slices: i, j or k, the last one."
    )
    slices: Positive[int] = option(
        1,
        "Neighbouring slices of a volume that the network sees as channels (2.5-D), an odd number. The middle one is "
        "translated.",
    )
    mpp: Positive[float] | None = option(
        None,
        "Micrometres per pixel of the pictures as the network sees them, after resizing. Stored in the model: "
        "translate brings slides to this scale.",
    )
    holdout: NotNegative[int] | None = option(
        None,
        "Pictures per domain to hold out for samples and scores. By default 5 %, at most 64, or 0 if there are fewer "
        "than 40 pictures. No effect if there are folders of held-out pictures, such as testA and testB.",
    )
    skip_unpaired: Adjustable[bool] = option(
        False, "Skip pictures without a partner of the same name when training on pairs, instead of stopping."
    )
    skip_unreadable: Adjustable[bool] = option(
        False, "Skip pictures that cannot be read, and pairs of different shapes, instead of stopping."
    )
    num_workers: Adjustable[NotNegative[int]] | None = option(
        None,
        "Threads that read pictures ahead; 0 reads in the training thread. By default one per processor, at most 8.",
    )
    cache_gib: Adjustable[NotNegative[float]] = option(2.0, "Memory for the cache of decoded pictures, in GiB.")
    disk_cache_gib: Adjustable[NotNegative[float]] = option(
        8.0,
        "Disk space for decoded pictures that do not fit in memory, in GiB. The file is in the run folder while the "
        "run trains, and leaves at least 4 GiB free.",
    )
    draft: bool = option(
        True,
        "Decode JPEGs of at least 8 times their target size at a lower resolution, and resize with torch's filter "
        "instead of Pillow's. Faster; the difference is below 1/255 on average.",
    )
