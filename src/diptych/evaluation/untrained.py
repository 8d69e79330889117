"""Untrained generators: a baseline that any training must beat."""

from dataclasses import replace

import torch

from diptych.model import Model
from diptych.networks import build_generator, initialise
from diptych.rng import Stream, torch_seed


def untrained(model: Model, *, seed: int = 0) -> Model:
    """``model`` with generators of the same architecture and initial weights from normal(0, 0.02).

    The weights are a function of ``seed``.
    """
    networks = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, Stream.WEIGHTS, 0))
        for direction in model.networks:
            network = build_generator(model.card.generator, *model.card.channels.along(direction))
            initialise(network, "normal")
            networks[direction] = network.eval()
    return Model(networks, replace(model.card, ema=False, pictures=0))
