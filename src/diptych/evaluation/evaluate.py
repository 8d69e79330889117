"""Evaluates a model: scores of each direction beside their reference values, and the protocol."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from diptych.config import DeviceName, Direction, InferenceEngine, SourceConfig
from diptych.data.encoding import Array, eight_bits
from diptych.data.image import compared
from diptych.data.masks import Masks, find_masks
from diptych.data.pairing import common_names
from diptych.device import resolve_device
from diptych.errors import OptionError, PictureError
from diptych.evaluation.distances import kid_interval
from diptych.evaluation.eval_set import Pictures, find_pictures_for
from diptych.evaluation.feature_networks import DEFAULT, load_features
from diptych.evaluation.features import FeatureNetwork
from diptych.evaluation.label_maps import find_palette, read_palette
from diptych.evaluation.measure import Target, Translate, content_of_real, measure, measure_real
from diptych.evaluation.protocol import protocol
from diptych.evaluation.scores import Score, remarks, tabulate
from diptych.evaluation.subject import Subject, load_subject, translators_of
from diptych.evaluation.untrained import untrained
from diptych.inference.forward import first_sentences, memory_errors
from diptych.pair import INTO, REVERSE, DomainName, Pair
from diptych.remote import local
from diptych.run import Run

FEW = 50


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model, and how they were computed."""

    scores: dict[Direction, dict[str, Score]]
    names: Pair[str]
    remarks: list[str]
    """Warnings about the scores, for the user."""
    protocol: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The content of ``scores.json``."""
        directions = {
            direction: dict(zip(("source", "target"), self.names.along(direction), strict=True))
            | {"scores": {key: score.to_json() for key, score in scores.items()}}
            for direction, scores in self.scores.items()
        }
        return {"directions": directions, "remarks": self.remarks, "protocol": self.protocol}


def evaluate(
    model: Path | str,
    a: Path | str | None = None,
    b: Path | str | None = None,
    *,
    root: Path | str | None = None,
    pairs: bool | None = None,
    features: str = DEFAULT,
    label_maps: DomainName | None = None,
    colours: Path | str | None = None,
    masks_a: Path | str | None = None,
    masks_b: Path | str | None = None,
    device: DeviceName = "auto",
    engine: InferenceEngine = "torch",
    seed: int = 0,
    held_out_of: Path | None = None,
    trust_code: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Scores ``model``, a run, its model file or an exported file, on the pictures in ``a`` and ``b`` or below
    ``root``; by default on the run's held-out pictures. Writes the ``scores.json`` of a run. ``held_out_of`` is another
    run whose held-out pictures are used instead; then nothing is written.

    ``pairs`` treats pictures of the same name as pairs; by default if the method needs pairs. ``features`` is as in
    ``load_features``. ``label_maps`` is the domain whose pictures are label maps, ``colours`` a file that lists
    their colours; by default those of the real label maps. ``masks_a`` and ``masks_b`` are folders of masks of what
    should stay; by default those that the run was trained with. ``engine`` computes the translations: see
    ``inference/engines.py``. ``trust_code``: see ``load_model``. ``report`` is called with a line of text for each
    step.

    Raises:
        UserError: an argument cannot be used.
    """
    device, path = resolve_device(device), local(Path(model))
    paths = {name: Path(folder) for name, folder in (("a", a), ("b", b), ("root", root)) if folder is not None}
    subject = load_subject(path, device=device, engine=engine, trust_code=trust_code)
    card = subject.card
    network = load_features(features, device=device)
    where = held_out_of or path
    source = SourceConfig(**paths)
    pictures, paired = find_pictures_for(where, card, source, pairs=pairs, trust_code=trust_code, report=report)
    folders = Pair(masks_a, masks_b).map(lambda folder: None if folder is None else Path(folder))
    masks = _masks(where, pictures, folders)
    palette = _palette(subject, pictures, label_maps, colours, paired=paired)
    cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with memory_errors(_out_of_memory), cudnn:
        report("features of the real pictures")
        palettes = Pair(*(palette if label_maps == name else None for name in ("a", "b")))
        targets = pictures.map(partial(Target, paired=paired), pictures.map(network), palettes)
        scores = {
            direction: _score_direction(subject, direction, targets, masks, network, seed, engine, report)
            for direction in subject.translators
        }
    colour_names = None if palette is None else [f"#{bytes(colour.tolist()).hex()}" for colour in palette]
    evaluation = Evaluation(
        scores=scores,
        names=card.names,
        remarks=list(_remarks(scores, card.names, pictures)),
        protocol=protocol(subject, pictures, network, paired=paired, seed=seed, palette=colour_names),
    )
    if not paired and pairs is None and (common := common_names(pictures.map(lambda domain: domain.domain))):
        hint = f"{common} pictures have the same name in both domains: if they are pairs, --pairs scores them as such"
        evaluation.remarks.insert(0, hint)
    if held_out_of is None and (run := Run(path)).exists:
        run.write_json(run.scores_file, evaluation.to_json())
    return evaluation


def _out_of_memory(error: BaseException) -> OptionError:
    cure = "give --device cpu, smaller pictures, or end other programs"
    return OptionError(f"out of memory while evaluating ({first_sentences(error)})", cure=cure)


def _score_direction(
    subject: Subject,
    direction: Direction,
    targets: Pair[Target],
    masks: Pair[Masks | None],
    network: FeatureNetwork,
    seed: int,
    engine: InferenceEngine,
    report: Callable[[str], None],
) -> dict[str, Score]:
    source, target = targets.along(direction)
    of_source, _ = masks.along(direction)

    def unchanged(picture: Array) -> Array:
        return compared(picture, target.pictures.encoding.channels)

    features, columns = {}, {}
    initial = untrained(subject.card, subject.translators, seed=seed)
    subjects: list[tuple[str, Mapping[Direction, Translate]]] = [
        ("trained", subject.translators),
        ("untranslated", {direction: unchanged}),
        ("untrained", translators_of(initial, device=cast(DeviceName, network.device.type), engine=engine)),
    ]
    for name, functions in subjects:
        report(f"{' to '.join(subject.card.names.along(direction))}: {name}")
        translate, reverse = functions[direction], functions.get(REVERSE[direction])
        features[name], columns[name] = measure(
            translate, source.pictures, target, network, reverse=reverse, masks=of_source, seed=seed
        )
    columns["real"] = measure_real(target.features, seed) | content_of_real(source.pictures, target)
    return tabulate(columns, kid_interval(target.features, features["trained"], seed=seed), network)


def _masks(model: Path, pictures: Pair[Pictures], given: Pair[Path | None]) -> Pair[Masks | None]:
    """The masks of the pictures in the ``given`` folders, or in those that the run was trained with.

    Raises:
        PictureError: a given folder has no mask of any picture.
    """
    run = Run(model)
    trained = run.config().content.masks if run.exists else Pair(None, None)

    def find(domain: Pictures, folder: Path | None, usual: Path | None) -> Masks | None:
        if folder is not None:
            return find_masks(domain.domain, folder)
        with suppress(PictureError):  # masks of training pictures alone
            return None if usual is None else find_masks(domain.domain, usual)
        return None

    return pictures.map(find, given, trained)


def _palette(
    subject: Subject,
    pictures: Pair[Pictures],
    label_maps: DomainName | None,
    colours: Path | str | None,
    *,
    paired: bool,
) -> Array | None:
    """The colours of the classes, if there are label maps."""
    if label_maps is None:
        if colours is not None:
            raise OptionError("colours are given, but no label maps", cure="give --label-maps a, or --label-maps b")
        return None
    if INTO[label_maps] not in subject.translators:
        raise OptionError(f"the model does not translate into {label_maps.upper()}", cure="leave out --label-maps")
    if not paired:
        raise OptionError("label maps are only scored in pairs", cure="add --pairs, for pairs of equal names")
    domain = getattr(pictures, label_maps)
    if colours is not None:
        return eight_bits(domain.encoding.normalised(read_palette(Path(colours))[None])[0])  # as an image of one row
    return find_palette(domain.original(index) for index in range(len(domain)))


def _remarks(scores: dict[Direction, dict[str, Score]], names: Pair[str], pictures: Pair[Pictures]) -> Iterator[str]:
    for direction, by_key in scores.items():
        source, target = names.along(direction)
        yield from remarks(by_key, source=source, target=target)
    if (fewest := min(pictures.map(len))) < FEW:
        yield f"{fewest} pictures are few: look at the interval, and give {FEW} or more for comparable scores"
