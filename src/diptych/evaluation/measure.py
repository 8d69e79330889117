"""Measures a translator on the pictures of one direction. Translations are rounded to 8 bits, as users get them."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from diptych.data.encoding import Array
from diptych.data.masks import Mask, Masks, read_mask
from diptych.data.survey import header_of
from diptych.data.transforms import nearest_resized, resize
from diptych.evaluation import distances
from diptych.evaluation.content import ContentScores
from diptych.evaluation.eval_set import Pictures
from diptych.evaluation.features import FeatureNetwork, Features
from diptych.evaluation.label_maps import confusion, label_scores, labels_of
from diptych.evaluation.metrics import l1, psnr, ssim
from diptych.rng import Stream, generator

NUM_SPLITS, MIN_TO_SPLIT = 8, 4

Translate = Callable[[Array], Array]
"""``(H, W, channels in)`` uint8 to ``(H, W, channels out)`` uint8."""


@dataclass(frozen=True)
class Target:
    """The real pictures of the target domain, and what is known about them."""

    pictures: Pictures
    features: Features
    palette: Array | None = None
    """The classes' colours, if the pictures are label maps. Requires ``paired``."""
    paired: bool = False
    """Whether picture i is the true translation of source picture i."""


def measure(
    translate: Translate,
    source: Pictures,
    target: Target,
    network: FeatureNetwork,
    *,
    reverse: Translate | None = None,
    masks: Masks | None = None,
    seed: int = 0,
) -> tuple[Features, dict[str, float]]:
    """Translates every picture of ``source``; returns the features of the translations, and their scores by key.

    ``reverse`` is the translator of the other direction, if there is one, for the scores of cycle and identity;
    ``masks`` say what should stay in pictures of ``source``.
    """
    content = ContentScores()
    values = defaultdict[str, list[float]](list)
    counts: list[Array] = []

    def translations() -> Iterator[Array]:
        for index, picture in enumerate(source):
            output = translate(picture)
            height, width = output.shape[:2]
            content.add(resize(picture, width, height), output, mask_of(source, index, masks, output.shape[:2]))
            if target.paired:
                interpolation = target.pictures.encoding.interpolation
                reference = resize(target.pictures[index], width, height, interpolation=interpolation)
                for metric in (psnr, ssim, l1):
                    values[metric.__name__].append(metric(output, reference))
            if target.palette is not None:
                labels = labels_of(target.pictures.original(index), target.palette)
                labels = nearest_resized(labels, height, width)
                counts.append(confusion(labels_of(output, target.palette), labels, len(target.palette)))
            if reverse is not None:
                reconstruction = reverse(output)
                values["cycle_psnr"].append(psnr(reconstruction, picture))
                values["cycle_ssim"].append(ssim(reconstruction, picture))
            yield output

    features = network(translations())
    if reverse is not None and source.encoding.channels == target.pictures.encoding.channels:
        values["identity_l1"] = [l1(translate(picture), picture) for picture in target.pictures]
    scores = compare(target.features, features, seed) | {"diversity": distances.diversity(features)}
    if target.paired:
        scores["feature_distance"] = distances.feature_distance(features, target.features)
    if counts:
        scores |= label_scores(np.sum(counts, axis=0))
    return features, scores | {key: float(np.mean(numbers)) for key, numbers in values.items()} | content.scores()


def mask_of(source: Pictures, index: int, masks: Masks | None, shape: tuple[int, int]) -> Mask | None:
    """The mask of picture ``index`` of ``source`` with this height and width, if it has one."""
    file = source.domain.files[index]
    if masks is None or (path := masks.path(file)) is None:
        return None
    mask = read_mask(path, source.domain.path(index), header_of(source.domain, file)[:2])
    return np.asarray(nearest_resized(mask, *shape))


def compare(real: Features, fake: Features, seed: int) -> dict[str, float]:
    """The distances between two sets of pictures, by key of the score."""
    density, coverage = distances.density_coverage(real, fake)
    kid, fid = distances.kid(real, fake, seed=seed), distances.fid(real, fake)
    return {"kid": kid, "fid": fid, "density": density, "coverage": coverage}


def content_of_real(source: Pictures, target: Target) -> dict[str, float]:
    """The scores of content of real pictures of the target domain, instead of translations: of the true translations if
    there are pairs, else of unrelated pictures."""
    content = ContentScores()
    for index, picture in enumerate(source):
        height, width = picture.shape[:2]
        real = target.pictures[index % len(target.pictures)]
        content.add(picture, resize(real, width, height, interpolation=target.pictures.encoding.interpolation))
    return content.scores()


def measure_real(real: Features, seed: int) -> dict[str, float]:
    """The scores of real pictures: distances between random halves, averaged over 8 splits, and their diversity.

    Fewer than four pictures have no distances.
    """
    size, splits = len(real) // 2, []
    for split in range(NUM_SPLITS if len(real) >= MIN_TO_SPLIT else 0):
        order = generator(seed, Stream.SCORES, 2 + split).permutation(len(real))
        splits.append(compare(real[order[:size]], real[order[size : 2 * size]], seed))
    means = {key: float(np.mean([scores[key] for scores in splits])) for key in (splits[0] if splits else ())}
    return means | {"diversity": distances.diversity(real)}
