"""Evaluating a model: scores for each direction, each beside its anchors, and the protocol that they follow."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from diptych.config import DeviceName, Direction, SourceConfig
from diptych.data.encoding import Array
from diptych.device import resolve_device
from diptych.errors import OptionError
from diptych.evaluation.eval_set import Pictures, find_pictures_for
from diptych.evaluation.feature_networks import DEFAULT, load_features
from diptych.evaluation.features import FeatureNetwork, Features
from diptych.evaluation.label_maps import find_palette, read_palette
from diptych.evaluation.measure import Measured, Translate, Truth, measure, unchanged
from diptych.evaluation.protocol import protocol
from diptych.evaluation.scores import Score, Subjects, remarks, score
from diptych.evaluation.untrained import untrained
from diptych.inference.translator import Translator
from diptych.model import Model, load_model
from diptych.pair import INTO, REVERSE, DomainName, Pair
from diptych.registry import METHODS
from diptych.run import Run

Report = Callable[[str], None]
FEW = 50


@dataclass(frozen=True)
class Evaluation:
    """What a model is worth, and how that was found."""

    scores: dict[Direction, dict[str, Score]]
    names: Pair[str]
    remarks: list[str]
    """What a person should not overlook, in words."""
    protocol: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As ``scores.json`` has it."""
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
    device: DeviceName = "auto",
    seed: int = 0,
    report: Report = lambda _: None,
) -> Evaluation:
    """Scores ``model``, a run or its model file, on the pictures in ``a`` and ``b`` or below ``root``; by default on
    those that the run holds out. A run gets the result as ``scores.json`` as well.

    ``pairs`` says whether pictures of one name show one thing; by default they do where all names are common.
    ``features`` is what ``load_features`` takes. ``label_maps`` is the domain whose pictures are label maps, with the
    ``colours`` listed in a file, by default those found. ``report`` is told what is being done.

    Raises:
        UserError: something that the person who asked can mend.
    """
    device = resolve_device(device)
    path = Path(model)
    source = SourceConfig(a=_path(a), b=_path(b), root=_path(root))
    loaded = load_model(path)
    network = load_features(features, device=device)
    pictures, paired = find_pictures_for(path, loaded.card, source, pairs=pairs, report=report)
    palette = _palette(loaded, pictures, label_maps, colours, paired=paired)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        report("features of the real pictures")
        real = pictures.map(network)
        palettes = Pair(*(palette if label_maps == name else None for name in ("a", "b")))
        truths = pictures.map(partial(Truth, paired=paired), real, palettes)
        scores = {
            direction: _direction(loaded, direction, pictures, truths, network, seed, report)
            for direction in loaded.networks
        }
    file = path / "model.safetensors" if path.is_dir() else path
    listed = None if palette is None else [f"#{bytes(colour.tolist()).hex()}" for colour in palette]
    told = list(_remarks(scores, loaded.card.names, pictures))
    if paired and pairs is None and not METHODS.config(loaded.card.method).paired:
        told.insert(0, "taken as pairs, since all names are equal: give --no-pairs if they do not show the same")
    made = Evaluation(
        scores=scores,
        names=loaded.card.names,
        remarks=told,
        protocol=protocol(loaded, file, pictures, network, paired=paired, seed=seed, palette=listed),
    )
    if (run := Run(path)).exists:
        run.write_json(run.scores_file, made.to_json())
    return made


def _direction(
    model: Model,
    direction: Direction,
    pictures: Pair[Pictures],
    truths: Pair[Truth],
    network: FeatureNetwork,
    seed: int,
    report: Report,
) -> dict[str, Score]:
    """The scores of one direction of ``model``."""
    source, target = pictures.along(direction)
    given, truth = truths.along(direction)
    names = " to ".join(model.card.names.along(direction))

    def subject(name: str, translate: Translate, reverse: Translate | None, known: Features | None = None) -> Measured:
        report(f"{names}: {name}")
        return measure(translate, source, truth, network, reverse=reverse, known=known)

    def both_ways(model: Model) -> tuple[Translate, Translate | None]:
        there, back = (
            Translator.of(model, way, device=cast(DeviceName, network.device.type)) if way in model.networks else None
            for way in (direction, REVERSE[direction])
        )
        assert there is not None
        return there, back

    same = given.features if source.encoding == target.encoding else None
    subjects = Subjects(
        trained=subject("trained", *both_ways(model)),
        untranslated=subject("untranslated", unchanged(target.encoding.channels), None, same),
        untrained=subject("untrained", *both_ways(untrained(model, seed=seed))),
    )
    return score(subjects, network, seed=seed)


def _palette(
    model: Model, pictures: Pair[Pictures], label_maps: DomainName | None, colours: Path | str | None, *, paired: bool
) -> Array | None:
    """The colours of the classes, where there are label maps."""
    if label_maps is None:
        if colours is not None:
            raise OptionError("colours are given, but no label maps", cure="say where they are: --label-maps a, or b")
        return None
    if INTO[label_maps] not in model.networks:
        raise OptionError(f"this model makes no pictures of {label_maps.upper()}", cure="leave out --label-maps")
    if not paired:
        raise OptionError("label maps are scored against true ones", cure="give pairs: equal names in A and B")
    if colours is not None:
        return read_palette(Path(colours))
    domain = getattr(pictures, label_maps)
    return find_palette(domain.original(index) for index in range(len(domain)))


def _remarks(scores: dict[Direction, dict[str, Score]], names: Pair[str], pictures: Pair[Pictures]) -> Iterator[str]:
    for direction, found in scores.items():
        source, target = names.along(direction)
        yield from remarks(found, source=source, target=target)
    if (fewest := min(pictures.map(len))) < FEW:
        yield f"{fewest} pictures are few: look at the interval, and give {FEW} or more for scores that can be compared"


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)
