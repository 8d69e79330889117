"""Translation with a stand-in network that returns its input: what goes in must come out."""

from dataclasses import replace
from pathlib import Path

import torch

from diptych.config import DataConfig, EngineConfig, ResnetConfig
from diptych.data.encoding import Encoding
from diptych.device import Device, resolve_engine
from diptych.inference.folder import translate_files
from diptych.inference.forward import TorchForward
from diptych.inference.translator import Translator
from diptych.model import ModelCard
from diptych.networks import build_generator
from diptych.pair import Pair


def identity(a, b=None):
    """A translator from images of the encoding ``a`` to ``b`` (by default ``a``), whose network changes nothing."""
    card = ModelCard(
        method="cyclegan", generator=ResnetConfig(), encodings=Pair(a, b or a), names=Pair("A", "B"),
        data=DataConfig(load_size=32, crop_size=32), pictures=0, ema=False,
    )  # fmt: skip
    return Translator(lambda batch: batch, card, "a2b")


def identity_network(encoding, **options):
    """As ``identity``, of one domain, with a generator that adds nothing. So it can be computed by tiles."""
    config = ResnetConfig(width=2, num_blocks=1, residual=True)
    network = build_generator(config, encoding.channels, encoding.channels).eval()
    for weights in network.model[-2].parameters():
        torch.nn.init.zeros_(weights)
    card = replace(identity(encoding).card, generator=config)
    return Translator(TorchForward(network, Device(resolve_engine(EngineConfig(device="cpu", precision="fp32")))), card, "a2b", **options)  # fmt: skip


def translated(source, target, encoding=None, *, translator=None, **options):
    """Translates the file ``source`` to ``target``; returns what is said."""
    said = []
    translator = translator or identity(encoding or Encoding(3))
    outcome = translate_files(translator, [(Path(source), Path(target))], report=said.append, **options)
    assert outcome.num_translated == 1, outcome.failed
    return [line for line in said if "--size training" not in line]
