"""One pass over the pictures of a direction: what its translations are like, each rounded to 8 bits as users get it."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from diptych.data.encoding import Array
from diptych.data.image import with_channels
from diptych.data.transforms import resize
from diptych.evaluation.eval_set import Pictures
from diptych.evaluation.features import FeatureNetwork, Features
from diptych.evaluation.label_maps import confusion, label_scores, labels_of, nearest_resized
from diptych.evaluation.metrics import l1, psnr, ssim

Translate = Callable[[Array], Array]
"""``(H, W, channels in)`` uint8 to ``(H, W, channels out)`` uint8."""


def unchanged(channels: int) -> Translate:
    """Doing nothing: what every translation must beat."""
    return lambda picture: with_channels(picture, channels)


@dataclass(frozen=True)
class Truth:
    """The pictures of the domain that is translated into, and what is known of them."""

    pictures: Pictures
    features: Features
    palette: Array | None = None
    """The classes' colours, where they are label maps."""
    paired: bool = False
    """Whether picture i is what picture i of the other domain should become."""

    def __getitem__(self, index: int) -> Array:
        return self.pictures[index]


@dataclass
class Measured:
    """What was measured of translations, each list with an entry for each picture."""

    truth: Truth
    features: Features
    near: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of pairs."""
    back: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of the cycle and of the identity, where there are both directions."""
    counts: Array | None = None
    """Of label maps: the confusion of classes."""

    @cached_property
    def scores(self) -> dict[str, float]:
        """The means over pictures, and the scores of label maps."""
        means = {name: float(np.mean(values)) for name, values in (self.near | self.back).items()}
        return means | (label_scores(self.counts) if self.counts is not None else {})


def measure(
    translate: Translate,
    source: Pictures,
    truth: Truth,
    network: FeatureNetwork,
    *,
    reverse: Translate | None = None,
    known: Features | None = None,
) -> Measured:
    """Translates every picture of ``source`` once; ``reverse``, where there is one, takes it back.

    ``known`` are the features of what comes out, where they are known without looking.
    """
    measured = Measured(truth, np.empty((0, 0)))

    def translated() -> Iterator[Array]:
        for index, picture in enumerate(source):
            made = translate(picture)
            if truth.paired:
                _compare(measured, made, index)
            if reverse is not None:
                again = reverse(made)
                measured.back["cycle_psnr"].append(psnr(again, picture))
                measured.back["cycle_ssim"].append(ssim(again, picture))
            yield made

    pictures = translated()
    measured.features = network(pictures) if known is None else known
    deque(pictures, maxlen=0)  # those that the network did not ask for
    if reverse is not None and source.encoding == truth.pictures.encoding:
        measured.back["identity_l1"] = [l1(translate(picture), picture) for picture in truth.pictures]
    return measured


def _compare(measured: Measured, made: Array, index: int) -> None:
    truth, palette = measured.truth[index], measured.truth.palette
    height, width = made.shape[:2]
    for metric in (psnr, ssim, l1):
        measured.near[metric.__name__].append(metric(made, resize(truth, width, height)))
    if palette is not None:
        wanted = labels_of(measured.truth.pictures.original(index), palette)
        counts = confusion(labels_of(made, palette), nearest_resized(wanted, height, width), len(palette))
        measured.counts = counts if measured.counts is None else measured.counts + counts
