"""A compressed model beside the model that it was compressed from: speed, size and quality."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from diptych.compression.speed import Timing, file_call, interleaved, network_call, operations, side_of
from diptych.config import DeviceName, Direction, InferenceEngine
from diptych.data.encoding import Encoding
from diptych.errors import MissingExtraError
from diptych.evaluation.eval_set import Pictures
from diptych.evaluation.evaluate import Evaluation, evaluate
from diptych.evaluation.metrics import mean_psnr
from diptych.evaluation.scores import Score
from diptych.inference.translator import Translator
from diptych.model import Model, ModelCard, load_model
from diptych.pair import Pair
from diptych.run import Run

ROUNDS, MAX_PICTURES = 7, 64


@dataclass(frozen=True)
class Comparison:
    """Both models, by what was measured."""

    sizes: dict[str, tuple[float, float]]
    """Milliseconds, megabytes and operations of one direction, by name: of the teacher and of the student."""
    speedups: dict[str, float]
    """In the network, and from file to file."""
    psnr: dict[Direction, float]
    """Of the student's outputs to those of the teacher, in dB; see ``shown_pictures``."""
    held_out: bool
    """Whether pictures of both domains are held out. Otherwise PSNR is that of training pictures."""
    scores: dict[Direction, dict[str, tuple[Score, Score]]]
    """Of the teacher and of the student, by key; empty if they were not evaluated."""
    protocol: dict[str, Any]

    def lost_gain(self, direction: Direction) -> float | None:
        """The fraction of the KID that the teacher gains over the input and the student does not; None if unknown."""
        if "kid" not in self.scores.get(direction, {}):
            return None
        before, after = self.scores[direction]["kid"]
        gain = (before.untranslated or 0.0) - before.trained
        return (after.trained - before.trained) / gain if gain > 0 else None

    def to_json(self) -> dict[str, Any]:
        """The value of ``comparison`` in ``compression.json``."""
        return {
            "sizes": {name: dict(zip(("teacher", "student"), both, strict=True)) for name, both in self.sizes.items()},
            "speedups": self.speedups,
            "psnr_to_teacher": self.psnr,
            "held_out": self.held_out,
            "scores": {
                direction: {
                    key: {"teacher": before.to_json(), "student": after.to_json()}
                    for key, (before, after) in by_key.items()
                }
                for direction, by_key in self.scores.items()
            },
            "protocol": self.protocol,
        }


def compare(
    path: Path,
    teacher: Model,
    run: Run,
    *,
    engine: InferenceEngine,
    features: str | None,
    pairs: bool | None,
    device: DeviceName,
    report: Callable[[str], None],
) -> Comparison:
    """Compares the model of ``run`` with its ``teacher``, which is in ``path``, on the run's held-out pictures.

    ``features`` is the feature network of the scores; None leaves them out. So does a missing package, with a line for
    ``report``. ``pairs``: see ``evaluate``.
    """
    student = load_model(run.folder)
    held_out = all(map(len, run.split().test))
    if features is not None and not held_out:
        report("no scores: no pictures are held out")
        features = None
    scores: dict[Direction, dict[str, tuple[Score, Score]]] = {}
    protocol: dict[str, Any] = {}
    try:
        if features is not None:
            score = partial(evaluate, features=features, pairs=pairs, device=device, report=report)
            before, after = score(path, held_out_of=run.folder), score(run.folder)
            scores, protocol = _side_by_side(before, after), after.protocol
    except MissingExtraError as error:
        report(f"no scores: {error.problem}: {error.cure}")
    report("measuring both networks")
    sizes, speedups = _sizes(teacher, student, engine)
    return Comparison(sizes, speedups, _psnr(teacher, student, run), held_out, scores, protocol)


def _side_by_side(before: Evaluation, after: Evaluation) -> dict[Direction, dict[str, tuple[Score, Score]]]:
    return {
        direction: {key: (before.scores[direction][key], score) for key, score in by_key.items()}
        for direction, by_key in after.scores.items()
    }


def _sizes(
    teacher: Model, student: Model, engine: InferenceEngine
) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Sizes and times of both, and how many times as fast the student is."""
    student = Model({teacher.default_direction: student.networks[teacher.default_direction]}, student.card)
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / part for part in ("teacher", "student")]
        for folder in folders:
            folder.mkdir()
        models = dict(zip(folders, (teacher, student), strict=True))
        in_network = interleaved({f.name: network_call(model, engine) for f, model in models.items()}, rounds=ROUNDS)
        whole = interleaved({f.name: file_call(model, engine, f) for f, model in models.items()}, rounds=ROUNDS)
    both = (teacher, student)
    side = side_of(teacher)
    sizes = {
        f"ms for {side}×{side}, network": _milliseconds(in_network),
        f"ms for {side}×{side}, file to file": _milliseconds(whole),
        "MB of weights": _each(both, _megabytes),
        f"GMAC for {side}×{side}": _each(both, lambda model: operations(model) / 2e9),
    }
    speedups = {
        name: times["teacher"].speedup_of(times["student"])
        for name, times in (("network", in_network), ("file to file", whole))
    }
    return sizes, speedups


def _milliseconds(times: dict[str, Timing]) -> tuple[float, float]:
    return 1e3 * times["teacher"].median, 1e3 * times["student"].median


def _each(models: tuple[Model, Model], function: Callable[[Model], float]) -> tuple[float, float]:
    return function(models[0]), function(models[1])


def _megabytes(model: Model) -> float:
    network = model.networks[model.default_direction]
    return float(sum(tensor.nbytes for tensor in network.state_dict().values())) / 1e6


def _psnr(teacher: Model, student: Model, run: Run) -> dict[Direction, float]:
    """By direction, the mean PSNR of the student's outputs to the teacher's, for ``shown_pictures``."""
    found: dict[Direction, float] = {}
    pictures = shown_pictures(run, student.card)
    for direction in student.networks:
        source, _ = pictures.along(direction)
        outputs = []
        for model in (teacher, student):
            in_8_bits = replace(model, card=replace(model.card, encodings=model.card.channels.map(Encoding)))
            translator = Translator.of(in_8_bits, direction)
            outputs.append([translator(picture) for picture in source])
        found[direction] = mean_psnr(outputs[1], outputs[0])
    return found


def shown_pictures(run: Run, card: ModelCard) -> Pair[Pictures]:
    """At most 64 held-out pictures of each domain of ``run``, in 8 bits; training pictures if none are held out."""
    domains = run.split().shown.map(lambda domain: domain.only(domain.files[:MAX_PICTURES]))
    return domains.map(lambda domain, encoding: Pictures(domain, card, encoding), card.encodings)
