"""Reads the headers of a domain's pictures, which is enough to choose sizes and channels."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from diptych.config import ValueType
from diptych.data.encoding import GREY, RGB, UNSIGNED
from diptych.data.files import Domain, by_hash
from diptych.data.formats.reading import Header, read_header
from diptych.data.pairing import shapes_agree, shapes_differ
from diptych.errors import PictureError
from diptych.pair import Pair

MAX_SURVEYED = 2000
USABLE = "give pictures in a format that diptych reads"


@dataclass(frozen=True)
class Survey:
    """Statistics of a domain, from the headers of its pictures."""

    num_pictures: int
    shorter_side: float
    """Median over pictures, in pixels."""
    all_channels: frozenset[int]
    """The numbers of channels that the pictures have."""
    folder: Path

    @property
    def channels(self) -> int:
        """The number of channels of all pictures; 3 if some are grey and some have colour.

        Raises:
            PictureError: the pictures have different bands.
        """
        if len(self.all_channels) > 1 and self.all_channels != {GREY, RGB}:
            listed = " and ".join(map(str, sorted(self.all_channels)))
            raise PictureError(f"{self.folder} has pictures of {listed} channels", cure="give pictures of equal bands")
        return max(self.all_channels)


def or_skip(error: PictureError, file: Path | None = None) -> PictureError:
    """``error`` with one more cure, an option of training, and the ``file`` that it is about."""
    return PictureError(error.problem, cure=f"{error.cure}, or pass --skip-unreadable", file=file)


def header_of(domain: Domain, file: Path) -> Header:
    """The header of the picture in ``file`` of ``domain``, which may be half of it.

    Raises:
        PictureError: it cannot be read.
    """
    found = read_header(domain.folder / file)
    return found if domain.half is None else found._replace(width=max(1, found.width // 2))


def common_size(domains: Pair[Domain], index: int) -> tuple[int, int]:
    """Width and height of the picture in B of pair ``index``. ``fit`` computes the size of both pictures from it.

    Raises:
        PictureError: one cannot be read, or their aspect ratios differ.
    """
    sizes = domains.map(lambda domain: header_of(domain, domain.files[index])[:2])
    if not shapes_agree(*sizes):
        paths = domains.map(lambda domain: domain.path(index))
        raise shapes_differ(paths.a, sizes.a, paths.b, sizes.b)
    return sizes.b


def nothing_usable(domain: Domain, first: PictureError) -> PictureError:
    """The error for a domain without a readable picture; ``first`` is that of one of them."""
    return PictureError(f"no picture in {domain.folder} can be read; the first: {first.problem}", cure=first.cure)


def survey(
    domain: Domain,
    *,
    skip_unreadable: bool,
    has_range: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Survey:
    """Reads the headers of at most 2000 pictures, chosen by hash of their names.

    Unless the domain ``has_range``, a picture that needs a range is unreadable beside others that need none.

    Raises:
        PictureError: one cannot be read and ``skip_unreadable`` is off, or none can be read.
    """

    def header(file: Path) -> Header | PictureError:
        try:
            return header_of(domain, file)
        except PictureError as error:
            return error

    files = by_hash(domain.files)[:MAX_SURVEYED]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(header, files))
    if not has_range and any(isinstance(one, Header) and one.dtype in UNSIGNED for one in found):
        found = [
            out_of_place(domain.folder / file, one.dtype) or one if isinstance(one, Header) else one
            for one, file in zip(found, files, strict=True)
        ]
    errors = [error for error in found if isinstance(error, PictureError)]
    headers = [header for header in found if isinstance(header, Header)]
    if not headers:
        raise errors[0] if len(errors) == 1 else nothing_usable(domain, errors[0])
    if errors and not skip_unreadable:
        raise or_skip(errors[0])
    for error in errors:
        report(f"skipped: {error.problem}")
    return Survey(
        num_pictures=len(domain),
        shorter_side=median(min(header.width, header.height) for header in headers),
        all_channels=frozenset(header.channels for header in headers),
        folder=domain.folder,
    )


def out_of_place(path: Path, dtype: ValueType) -> PictureError | None:
    """The error for a picture that needs a range, beside others that do not; None if it needs none."""
    if dtype in UNSIGNED:
        return None
    problem = f"{path} holds {dtype}, which needs a range, beside pictures of 8 or 16 bits"
    return PictureError(problem, cure="give one (--range-a, --range-b), or save it as uint8 or uint16")
