"""The pictures that a model is evaluated on: those its run holds out, or others that it has not seen."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from diptych.config import SourceConfig
from diptych.data.encoding import Array, Encoding, eight_bits
from diptych.data.files import Domain, find_domain
from diptych.data.formats.pillow import read_picture
from diptych.data.image import with_channels
from diptych.data.pairing import pair_up
from diptych.data.sources import domain_names, halves, where
from diptych.data.transforms import fit_whole, half_of
from diptych.errors import PictureError, RunError
from diptych.model import ModelCard
from diptych.pair import Pair
from diptych.registry import METHODS
from diptych.run import Run

MIN_TO_EVALUATE = 2
"""Fewer pictures than this have no distribution."""


@dataclass(frozen=True)
class Pictures:
    """The images of a domain by index, as a model with ``card`` gets them: resized as in training but not cropped, in
    the 8-bit ``encoding`` of the domain."""

    domain: Domain
    card: ModelCard
    encoding: Encoding

    def __len__(self) -> int:
        return len(self.domain)

    def __iter__(self) -> Iterator[Array]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> Array:
        values = with_channels(self.original(index), self.encoding.channels)
        return fit_whole(values, self.card.data, stride=self.card.generator.stride)

    def original(self, index: int) -> Array:
        """The image at its own size and channels, in 8 bits."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return eight_bits(half_of(read_picture(self.domain.path(index)).values, self.domain.half))

    @property
    def contents_sha256(self) -> str:
        """A hash of all their pixels."""
        digest = hashlib.sha256()
        for picture in self:
            digest.update(f"{picture.shape}".encode() + picture.tobytes())
        return digest.hexdigest()


def find_pictures_for(
    model: Path,
    card: ModelCard,
    source: SourceConfig,
    *,
    pairs: bool | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Pair[Pictures], bool]:
    """The pictures of ``source``, or where it names none, those that the run ``model`` holds out; and whether they are
    in pairs.

    ``pairs`` None takes them as pairs where the model's method does, or where both domains have all names in common;
    True takes the common names alone. Where the model was trained without the unreadable ones, they are left out.

    Raises:
        UserError: there are none, or too few, or no pairs where pairs are asked for.
    """
    domains = _given(source) if source != SourceConfig() else _held_out(model)
    if card.data.skip_unreadable:
        domains = domains.map(lambda domain: _readable(domain, report))
    domains, paired = _paired(domains, card, pairs)
    for domain in domains:
        if len(domain) < MIN_TO_EVALUATE:
            cure = f"give at least {MIN_TO_EVALUATE} of each domain, better 50"
            raise PictureError(f"{domain.folder} has {len(domain)} pictures to evaluate on", cure=cure)
    return domains.map(lambda domain, encoding: Pictures(domain, card, encoding), card.encodings), paired


def _readable(domain: Domain, report: Callable[[str], None]) -> Domain:
    files = []
    for index, file in enumerate(domain.files):
        try:
            read_picture(domain.path(index))
            files.append(file)
        except PictureError as error:
            report(f"left out: {error.problem}")
    return domain.only(files)


def _paired(domains: Pair[Domain], card: ModelCard, wanted: bool | None) -> tuple[Pair[Domain], bool]:
    if wanted or (wanted is None and METHODS.config(card.method).paired):
        return pair_up(domains, leave_out=True), True
    if wanted is False:
        return domains, False
    try:
        return pair_up(domains, leave_out=False), True
    except PictureError:
        return domains, False


def _given(source: SourceConfig) -> Pair[Domain]:
    names, root = domain_names(source), where(source)
    if isinstance(root, Pair):
        return names.map(find_domain, root)
    folders = Pair("testA", "testB").map(root.joinpath)
    if all(folder.is_dir() for folder in folders):
        return names.map(find_domain, folders)
    for folder in (root / "test", root / "val"):
        if folder.is_dir():
            return halves(find_domain(folder.name, folder), names)
    raise PictureError(f"{root} holds neither testA and testB nor test", cure="give A B, two folders of pictures")


def _held_out(model: Path) -> Pair[Domain]:
    """The held-out pictures of the run ``model``."""
    cure = "give pictures that it has not seen: A B, or --root ROOT"
    run = Run(model)
    if not run.exists:
        raise RunError(f"{model} is no run, so nothing is known to be held out", cure=cure)
    test = run.split().test
    if not all(map(len, test)):
        raise RunError(f"{model} holds out no pictures", cure=cure)
    return test
