"""Reads the headers of a domain's pictures, which is enough to choose sizes and channels."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from diptych.data.encoding import GREY, RGB
from diptych.data.files import Domain, by_hash
from diptych.data.formats.pillow import Header, read_header
from diptych.errors import PictureError

MAX_SURVEYED = 2000
USABLE = "give pictures that other software can open"


@dataclass(frozen=True)
class Survey:
    """Statistics of a domain, from the headers of its pictures."""

    num_pictures: int
    shorter_side: float
    """Median over pictures, in pixels."""
    channels: int
    """1 if every picture is stored as grey, else 3."""


def or_skip(error: PictureError) -> PictureError:
    """``error`` with one more cure, an option of training."""
    return PictureError(error.problem, cure=f"{error.cure}, or pass --skip-unreadable")


def survey(domain: Domain, *, skip_unreadable: bool, report: Callable[[str], None] = lambda _: None) -> Survey:
    """Reads the headers of at most 2000 pictures, chosen by hash of their names.

    Raises:
        PictureError: one cannot be read and ``skip_unreadable`` is off, or none can be read.
    """

    def header(index: int) -> Header | PictureError:
        try:
            found = read_header(domain.folder / files[index])
            return found if domain.half is None else found._replace(width=max(1, found.width // 2))
        except PictureError as error:
            if not skip_unreadable:
                raise or_skip(error) from None
            return error

    files = by_hash(domain.files)[:MAX_SURVEYED]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(header, range(len(files))))
    for error in found:
        if isinstance(error, PictureError):
            report(f"skipped: {error.problem}")
    headers = [header for header in found if isinstance(header, Header)]
    if not headers:
        raise PictureError(f"no picture in {domain.folder} can be read", cure=USABLE)
    return Survey(
        num_pictures=len(domain),
        shorter_side=median(min(header.width, header.height) for header in headers),
        channels=GREY if all(header.is_grey for header in headers) else RGB,
    )
