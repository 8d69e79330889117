"""Small runs: their options, how to interrupt them, and what they logged."""

import os
import signal
from dataclasses import replace

import torch

from diptych.checksummed import read_checksummed
from diptych.config import (
    CycleganConfig,
    DataConfig,
    EngineConfig,
    LengthConfig,
    OptimiserConfig,
    OutputConfig,
    PatchganConfig,
    Pix2pixConfig,
    ResnetConfig,
    SourceConfig,
    TrainConfig,
    UnetConfig,
)
from diptych.monitoring.progress import Silent

TINY = TrainConfig(
    method=CycleganConfig(pool_size=5),
    generator=ResnetConfig(width=4, num_blocks=1, upsampling="transposed", residual=False),
    discriminator=PatchganConfig(width=4, num_layers=1),
    data=DataConfig(load_size=36, crop_size=32),
    optimiser=OptimiserConfig(batch_size=2, learning_rate=2e-4, ema=0.999),
    length=LengthConfig(pictures=300),
    engine=EngineConfig(precision="fp32"),
    output=OutputConfig(num_samples=3),
)
PIX2PIX = {
    "method": Pix2pixConfig(),
    "generator": UnetConfig(width=4, norm="batch", dropout=True),
    "discriminator": PatchganConfig(width=4, num_layers=1, norm="batch"),
}
SMALL = "--crop-size 32 --load-size 36 --generator.width 4 --generator.num-blocks 1 --discriminator.width 4"
PICTURES = 240


def tiny(root, **changes):
    return replace(TINY, source=SourceConfig(root=root), **changes)


class InterruptAt(Silent):
    """Sends SIGINT, as Ctrl-C does, when the run shows that it has seen ``pictures`` pictures."""

    def __init__(self, pictures):
        self.pictures = pictures

    def show(self, pictures, pictures_per_second, losses, *, waiting_fraction):
        if pictures >= self.pictures:
            os.kill(os.getpid(), signal.SIGINT)


def records_of(run):
    """The log records with losses, without the alarms."""
    return [record for record in run.metrics() if "losses" in record]


def losses_of(run):
    return [
        (record["pictures"], record["learning_rate"], record["losses"], record["gradients"])
        for record in records_of(run)
    ]


def state_of(run):
    (file,) = [file for file in run.checkpoint_files() if int(file.stem) == PICTURES]
    tensors, description = read_checksummed(file, "checkpoint")
    return tensors, description["numbers"]


def assert_equal_runs(one, two):
    assert losses_of(one) == losses_of(two)
    (tensors, numbers), (others, other_numbers) = state_of(one), state_of(two)
    assert numbers == other_numbers
    assert tensors.keys() == others.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []


def measured_run(source, *, pictures=4, **data):
    """The options of a run on small pictures of measurements, with these options of the data."""
    return replace(
        TINY,
        source=source,
        data=DataConfig(load_size=36, crop_size=32, holdout=3, **data),
        length=LengthConfig(pictures=pictures),
        output=OutputConfig(num_samples=1, score=False),
    )
