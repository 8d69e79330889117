"""Known pairs and masks of a run, and the loader that reads them with its pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from diptych.config import ContentConfig, TrainConfig
from diptych.config.constraints import resolved
from diptych.data.cache import PictureCache
from diptych.data.encoding import encodings_of
from diptych.data.files import Domain
from diptych.data.identity import Identity, fingerprints
from diptych.data.known_pairs import find_known_pairs
from diptych.data.loader import Loader, Reader
from diptych.data.masks import Masks, find_masks
from diptych.data.sources import Split
from diptych.monitoring.progress import Display
from diptych.pair import Pair
from diptych.rng import Stream, torch_seed
from diptych.run import Run


@dataclass(frozen=True)
class Kept:
    """The known pairs and the masks, which show what content must stay."""

    known: Pair[Domain] | None
    """Pictures of one index are a pair. None without any."""
    masks: Pair[Masks | None]
    """The masks of each domain; None without any."""


def find_kept(
    content: ContentConfig, split: Split, names: Pair[str], *, skip_unpaired: bool, report: Callable[[str], None]
) -> Kept:
    """The known pairs and the masks in the folders of ``content``.

    Raises:
        PictureError: a folder is missing, or holds nothing that fits the pictures.
    """
    known = None
    if content.pairs is not None:
        known = find_known_pairs(content.pairs, names, split.test, skip_unpaired=skip_unpaired, report=report)
        report(f"{len(known.a):,} known pairs in {content.pairs}")
    find = partial(find_masks, report=report)
    masks = split.train.map(lambda domain, folder: None if folder is None else find(domain, folder), content.masks)
    return Kept(known, masks)


def identity_of(split: Split, kept: Kept) -> Pair[Identity]:
    """The fingerprints of the pictures, known pairs and masks of a run."""

    def of(train: Domain, test: Domain, known: Domain | None, masks: Masks | None) -> Identity:
        return Identity(
            train=fingerprints(train.folder, train.files),
            held_out=fingerprints(test.folder, test.files),
            known=fingerprints(known.folder, known.files) if known else {},
            masks=fingerprints(masks.folder, [*masks.files.values()]) if masks else {},
        )

    return split.train.map(of, split.test, kept.known or Pair(None, None), kept.masks)


def make_loader(config: TrainConfig, run: Run, split: Split, kept: Kept, display: Display) -> Loader:
    """The loader of a run with the resolved ``config``."""
    data, seed = config.data, config.optimiser.seed
    num_readers = 2 if kept.known is None else 4
    memory, disk = (int(gib * 2**30 / num_readers) for gib in (data.cache_gib, data.disk_cache_gib))
    make = partial(Reader, data=data, stride=config.generator.stride, report=display.note)

    def readers(domains: Pair[Domain], masks: Pair[Masks | None], *, paired: bool) -> Pair[Reader]:
        return domains.map(
            lambda domain, encoding, files: make(
                domain,
                encoding=encoding,
                paired=domains if paired else None,
                masks=files,
                cache=PictureCache(memory, disk_bytes=disk, folder=run.folder),
            ),
            encodings_of(data),
            masks,
        )

    load = partial(
        Loader, data=data, batch_size=resolved(config.optimiser.batch_size), pin=config.engine.device == "cuda"
    )
    known = None
    if kept.known is not None:
        both = readers(kept.known, Pair(None, None), paired=True)
        known = load(both, seed=torch_seed(seed, Stream.PAIRS, 0), paired=True)
    paired = config.method.paired
    return load(
        readers(split.train, kept.masks, paired=paired),
        seed=seed,
        paired=paired,
        known=known,
        num_distinct=getattr(config.method, "num_distinct", None),
    )
