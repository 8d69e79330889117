"""The pictures that a model is evaluated on: the held-out pictures of its run, or others that it has not seen."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diptych.config import SourceConfig
from diptych.data.colour import to_srgb
from diptych.data.encoding import Array, Encoding, eight_bits
from diptych.data.files import Domain, find_domain
from diptych.data.formats.reading import read_picture
from diptych.data.image import filled, with_channels
from diptych.data.layouts import find_held_out, own_parts
from diptych.data.pairing import pair_up
from diptych.data.slicing import slices_of, with_slices
from diptych.data.sources import domain_names, source_folders
from diptych.data.survey import common_size
from diptych.data.transforms import fit_whole, half_of
from diptych.errors import PictureError, RunError
from diptych.model import ModelCard
from diptych.pair import Pair
from diptych.registry import METHODS
from diptych.run import Run

MIN_TO_EVALUATE = 2
"""A distribution needs at least this many pictures."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a domain by index, ``(H, W, C)`` uint8, as input for the model with ``card``: converted to
    8 bits with the channels and the range of the domain's ``encoding``, and resized by ``fit_whole``. Those of two
    ``paired`` domains get the same size as their partners."""

    domain: Domain
    card: ModelCard
    encoding: Encoding
    paired: Pair[Domain] | None = None

    def __len__(self) -> int:
        return len(self.domain)

    def __iter__(self) -> Iterator[Array]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> Array:
        values = with_channels(self.original(index), self.encoding.channels)
        size = common_size(self.paired, index) if self.paired else None
        stride, interpolation = self.card.generator.stride, self.encoding.interpolation
        return fit_whole(values, self.card.data, stride=stride, size=size, interpolation=interpolation)

    def original(self, index: int) -> Array:
        """The picture at its own size and channels, in 8 bits."""
        picture = to_srgb(read_picture(self.domain.path(index), bands=self.encoding.channels), self.encoding)
        return eight_bits(self.encoding.normalised(half_of(filled(picture, self.encoding), self.domain.half)))

    @property
    def contents_sha256(self) -> str:
        """The SHA-256 of all pixels."""
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
    trust_code: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Pair[Pictures], bool]:
    """The pictures of ``source``, and whether they are pairs. An empty ``source`` means the held-out pictures of the
    run ``model``.

    ``pairs`` makes them pairs and skips pictures without a partner. By default they are pairs if the model's method
    needs pairs; ``trust_code`` may import it. Unreadable pictures, and pairs of different shapes, are skipped if
    training skipped them.

    Raises:
        UserError: there are no pictures, too few, or no pairs.
    """
    if pairs is None:
        pairs = METHODS.config_in_file(card.method, f"{model}: card.method", trust_code=trust_code).paired
    paired = bool(pairs)
    domains = _held_out(model) if source == SourceConfig() else _test_domains(source, report, paired=paired)
    domains = domains.map(partial(with_slices, slices=slices_of(card.data)))
    if card.data.skip_unreadable:
        domains = domains.map(lambda domain: _readable(domain, report))
    if paired:
        domains = pair_up(domains, skip_unpaired=True, report=report)
        domains = _of_equal_shape(domains, skip=card.data.skip_unreadable, report=report)
    for domain in domains:
        if len(domain) < MIN_TO_EVALUATE:
            cure = f"give at least {MIN_TO_EVALUATE} of each domain, better 50"
            raise PictureError(f"{domain.folder} has {len(domain)} pictures to evaluate on", cure=cure)
    both = domains if paired else None
    return domains.map(lambda domain, encoding: Pictures(domain, card, encoding, both), card.encodings), paired


def _of_equal_shape(domains: Pair[Domain], *, skip: bool, report: Callable[[str], None]) -> Pair[Domain]:
    """The pairs whose pictures have the same aspect ratio."""
    kept = []
    for index in range(len(domains.a)):
        try:
            common_size(domains, index)
            kept.append(index)
        except PictureError as error:
            if not skip:
                raise
            report(f"skipped: {error.problem}")
    return domains.map(lambda domain: domain.only([domain.files[index] for index in kept]))


def _readable(domain: Domain, report: Callable[[str], None]) -> Domain:
    files = []
    for index, file in enumerate(domain.files):
        try:
            read_picture(domain.path(index))
            files.append(file)
        except PictureError as error:
            report(f"skipped: {error.problem}")
    return domain.only(files)


def _test_domains(source: SourceConfig, report: Callable[[str], None], *, paired: bool) -> Pair[Domain]:
    """The pictures in the two folders of ``source`` (only those in test, if there is one), or the test pictures below
    its root."""
    names, root = domain_names(source), source_folders(source)
    if isinstance(root, Pair):
        parts = names.map(find_domain, root).map(lambda domain: (domain, own_parts(domain, report)[1]))
        return parts.map(lambda part: part[1] if len(part[1]) else part[0])
    if found := find_held_out(root, paired=paired, report=report):
        return found
    raise PictureError(f"{root} holds neither testA and testB nor test", cure="give A B, two folders of pictures")


def _held_out(model: Path) -> Pair[Domain]:
    """The held-out pictures of the run ``model``."""
    cure = "give pictures that it has not seen: A B, or --root ROOT"
    if not Run(model).exists:
        raise RunError(f"{model} is not a run, so it has no held-out pictures", cure=cure)
    test = Run(model).split().test
    if not all(map(len, test)):
        raise RunError(f"{model} holds out no pictures", cure=cure)
    return test
