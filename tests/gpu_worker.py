"""Updates by ranks that are launched together, on GPUs, and by this process alone: what ``test_gpu`` starts with torchrun.

python gpu_worker.py DEVICE: prints the largest difference of a weight, and the backend of the gradients.
"""

import os
import sys

import torch
from torch import distributed

from diptych.config import Pix2pixConfig, UnetConfig
from diptych.training.distributed import ProcessGroup
from diptych.training.state import State
from diptych.training.stepper import update
from helpers.states import noise, state_of

NETWORKS = (
    {},
    {"method": Pix2pixConfig(), "generator": UnetConfig(width=4, num_levels=5, norm="batch")},
)


def main(device: str) -> None:
    world, largest = ProcessGroup(), 0.0
    for networks in NETWORKS:
        engine = {"device": device, "deterministic": device == "cuda", "batch_forwards": True, "accumulate": 2}
        alone = state_of(engine, batch_size=2, ema=0.9, **networks)
        together = State(alone.config, world)
        for seed in range(3):
            real = noise(2, seed=seed).map(lambda batch: batch.to(device))
            for state in (alone, together):
                update(state, real, learning_rate=1e-3)
        found = together.tensors()
        for name, value in alone.tensors().items():
            if ".exp_avg" not in name:
                largest = max(largest, (found[name] - value).abs().max().item())
    backend = distributed.get_backend(world.gradient_group)
    torch.cuda.synchronize() if device == "cuda" else None
    print(f"{largest} {backend} {world.any(True, False)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)  # as the command line does: threads of torch.distributed sometimes abort an ordinary exit
