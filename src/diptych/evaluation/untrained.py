"""Untrained generators: a baseline that any training must beat."""

from collections.abc import Collection
from dataclasses import replace

import torch

from diptych.config import Direction
from diptych.model import Model, ModelCard
from diptych.networks import build_generator, initialise
from diptych.pair import REVERSE
from diptych.rng import Stream, torch_seed


def untrained(card: ModelCard, directions: Collection[Direction], *, seed: int = 0) -> Model:
    """A model of ``directions`` with the architecture of ``card`` and initial weights from normal(0, 0.02).

    The weights are a function of ``seed``.
    """
    networks = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, Stream.WEIGHTS, 0))
        for direction in REVERSE:  # both, so that a model of one direction gets the same weights
            network = build_generator(card.generator, *card.channels.along(direction))
            initialise(network, "normal")
            if direction in directions:
                networks[direction] = network.eval()
    return Model(networks, replace(card, ema=False, pictures=0))
