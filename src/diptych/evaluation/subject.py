"""What is scored: a model's translators, for pictures of 8 bits with the ranges of their domains applied."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from diptych.config import DeviceName, Direction, InferenceEngine
from diptych.data.encoding import Encoding
from diptych.evaluation.measure import Translate
from diptych.inference.exported_model import is_exported, load_exported, weights_file
from diptych.inference.translator import Translator
from diptych.model import Model, ModelCard, load_model


@dataclass(frozen=True)
class Subject:
    """A model, or an exported file, which has one direction."""

    card: ModelCard
    """Its encodings are those of the files."""
    translators: Mapping[Direction, Translate]
    file: Path
    """Holds the weights."""
    engine: InferenceEngine
    """What computes the translations."""


def load_subject(path: Path, *, device: DeviceName, engine: InferenceEngine, trust_code: bool = False) -> Subject:
    """The subject in ``path``, a run, a model file or an exported file. It computes in fp32, an exported file on the
    CPU. ``trust_code``: see ``load_model``.

    Raises:
        UserError: ``path`` cannot be read, or ``engine`` cannot compute it.
    """
    if not is_exported(path):
        model = load_model(path, trust_code=trust_code)
        return Subject(model.card, translators_of(model, device=device, engine=engine), weights_file(path), engine)
    found = load_exported(path, engine, device="cpu", precision="fp32", trust_code=trust_code)
    translator = Translator(found.forward, in_8_bits(found.card), found.direction, tile=0)
    return Subject(found.card, {found.direction: translator}, weights_file(path), found.engine)


def translators_of(model: Model, *, device: DeviceName, engine: InferenceEngine) -> dict[Direction, Translate]:
    """The translators of ``model`` by direction."""
    model = replace(model, card=in_8_bits(model.card))
    return {way: Translator.of(model, way, device=device, engine=engine) for way in model.networks}


def in_8_bits(card: ModelCard) -> ModelCard:
    """``card`` for pictures whose ranges are already applied."""
    return replace(card, encodings=card.channels.map(Encoding))
