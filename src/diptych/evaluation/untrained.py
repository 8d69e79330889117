"""Untrained generators: a baseline that any training must beat."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from diptych.config import Direction
from diptych.model import Model, ModelCard
from diptych.networks import build_generator, initialise
from diptych.rng import Stream, torch_seed


def untrained(card: ModelCard, directions: Iterable[Direction], *, seed: int = 0) -> Model:
    """A model of ``directions`` with the architecture of ``card`` and initial weights from normal(0, 0.02).

    The weights are a function of ``seed``.
    """
    networks = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, Stream.WEIGHTS, 0))
        for direction in directions:
            network = build_generator(card.generator, *card.channels.along(direction))
            initialise(network, "normal")
            networks[direction] = network.eval()
    return Model(networks, replace(card, ema=False, pictures=0))
