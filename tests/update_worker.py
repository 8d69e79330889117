"""Three updates in float64 of each case, by the processes that are launched with this one: what ``test_distributed`` runs.

python update_worker.py PICTURES_PER_PROCESS FILE
"""

import os
import sys
from dataclasses import replace

import torch

from diptych.config import (
    ContentConfig,
    CutConfig,
    CycleganConfig,
    DataConfig,
    EngineConfig,
    OptimiserConfig,
    OutputConfig,
    PatchganConfig,
    Pix2pixConfig,
    ResnetConfig,
    TrainConfig,
)
from diptych.pair import Pair
from diptych.training.distributed import connect
from diptych.training.state import State
from diptych.training.stepper import update

SIDE, NUM_PICTURES, NUM_UPDATES = 16, 4, 3
CONFIG = TrainConfig(
    generator=ResnetConfig(width=4, num_blocks=1),
    discriminator=PatchganConfig(width=4, num_layers=1),
    data=DataConfig(crop_size=SIDE, channels_a=3, channels_b=3),
    output=OutputConfig(),
)
CASES = {
    "cyclegan": CycleganConfig(lambda_identity=0.5, pool_size=0),
    "cyclegan without identity": CycleganConfig(lambda_identity=0.0, pool_size=0),
    "pix2pix": Pix2pixConfig(),
    "cut": CutConfig(num_patches=SIDE**2 * 4, head_width=8),  # all positions, so that their order changes nothing
    "cyclegan with content": CycleganConfig(lambda_identity=0.0, pool_size=0),
}
CONTENT = ContentConfig(lambda_pairs=10.0, lambda_masks=10.0, keep_edges=1.0)
ENGINES = {
    "plain": EngineConfig(device="cpu", precision="fp32"),
    "low memory": EngineConfig(device="cpu", precision="fp32", activation_checkpointing=True),
    "in parts": EngineConfig(device="cpu", precision="fp32", accumulate=2),
    "passes apart": EngineConfig(device="cpu", precision="fp32", batch_forwards=False),
}


def main(batch_size: int, file: str) -> None:
    torch.set_default_dtype(torch.float64)
    world, found = connect(), {}
    pictures = (
        torch.rand(NUM_UPDATES, 2, NUM_PICTURES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    )
    for case, method in CASES.items():
        for engine, options in ENGINES.items():
            with_content = case.endswith("content")
            config = replace(
                CONFIG,
                method=method,
                content=CONTENT if with_content else CONFIG.content,
                optimiser=OptimiserConfig(batch_size=batch_size, learning_rate=2e-4, ema=0.999),
                engine=options,
            )
            state = State(config, world)
            begin = world.rank * batch_size
            for batch in pictures:
                part = batch[:, begin : begin + batch_size]
                real, known = Pair(*part), None
                if with_content:  # the images themselves say what is kept, and are known pairs
                    real, known = real.map(lambda images: torch.cat([images, images[:, :1].round()], dim=1)), real
                logged = update(state, real, known, learning_rate=2e-4)
            found[f"{case}, {engine}"] = (
                state.tensors()
                | {"pictures": torch.tensor(state.pictures)}
                | {name: norm for name, norm in logged.items() if name.startswith("gradient.")}
            )
    if world.is_main:
        torch.save(found, file)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
    os._exit(0)  # as the command line does: threads of torch.distributed sometimes abort an ordinary exit
