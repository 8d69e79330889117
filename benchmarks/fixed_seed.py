"""Fifty updates of CycleGAN and pix2pix in float32 from a fixed seed: every loss and a hash of the weights, to the bit.

A refactoring must leave them as they are. Run it before and after on one machine, and compare the files:
``python benchmarks/fixed_seed.py before.json``. Other processors round differently, so nothing is compared with a
stored result.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from rounds import machine

from diptych.config import (
    CycleganConfig,
    DataConfig,
    EngineConfig,
    GeneratorConfig,
    MethodConfig,
    OptimiserConfig,
    PatchganConfig,
    Pix2pixConfig,
    ResnetConfig,
    TrainConfig,
    UnetConfig,
)
from diptych.device import resolve_engine
from diptych.pair import Pair
from diptych.training.state import State
from diptych.training.stepper import update

NUM_UPDATES, BATCH_SIZE, SIDE = 50, 2, 64
RESNET = ResnetConfig(width=8, num_blocks=2)
UNET = UnetConfig(width=4, num_levels=5, norm="batch", dropout=True)
CYCLEGAN = CycleganConfig(lambda_identity=0.5, pool_size=10)
HINGE = CycleganConfig(lambda_identity=0.0, pool_size=10, gan_loss="hinge")
CASES: dict[str, tuple[MethodConfig, GeneratorConfig, str, dict[str, Any]]] = {
    "cyclegan": (CYCLEGAN, RESNET, "instance", {}),
    "cyclegan, one direction at a time": (CYCLEGAN, RESNET, "instance", {"parallel_directions": False}),
    "cyclegan, hinge, no identity, accumulated": (HINGE, RESNET, "instance", {"accumulate": 2}),
    "cyclegan, eager optimiser": (CYCLEGAN, RESNET, "instance", {"batch_forwards": False, "fused": False}),
    "cyclegan, checkpointing": (CYCLEGAN, RESNET, "instance", {"activation_checkpointing": True}),
    "pix2pix": (Pix2pixConfig(), UNET, "batch", {}),
    "pix2pix, b2a, channels last": (Pix2pixConfig(direction="b2a"), UNET, "batch", {"channels_last": True}),
}


def trajectory(method: MethodConfig, generator: GeneratorConfig, norm: Any, engine: dict[str, Any]) -> dict[str, Any]:
    """The losses of every update, as hexadecimal floats, and the hash of the final weights and averages."""
    config = TrainConfig(
        method=method,
        generator=generator,
        discriminator=PatchganConfig(width=8, norm=norm),
        data=DataConfig(crop_size=SIDE, load_size=SIDE, channels_a=3, channels_b=3),
        optimiser=OptimiserConfig(batch_size=BATCH_SIZE, learning_rate=2e-4, ema=0.99, seed=3),
        engine=resolve_engine(EngineConfig(device="cpu", precision="fp32", **engine)),
    )
    state, draw, losses = State(config), torch.Generator().manual_seed(7), []
    for _ in range(NUM_UPDATES):
        real = Pair(*(torch.rand(BATCH_SIZE, 3, SIDE, SIDE, generator=draw) * 2 - 1 for _ in range(2)))
        real = real.map(lambda batch: batch.contiguous(memory_format=state.device.memory_format))
        logged = update(state, real, learning_rate=2e-4)
        losses.append({name: float(value).hex() for name, value in sorted(logged.items())})
    digest = hashlib.sha256()
    for name, tensor in sorted(state.tensors().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return {"losses": losses, "state": digest.hexdigest()}


if __name__ == "__main__":
    found = {name: trajectory(*case) for name, case in CASES.items()}
    Path(sys.argv[1]).write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(machine())
    for name, result in found.items():
        print(f"{name}: {result['state'][:16]}")
