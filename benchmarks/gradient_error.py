"""How far the gradient in bf16 is from that in fp32, and how much of that is due to the last convolution.

    python benchmarks/gradient_error.py [--width 8] [--blocks 3] [--updates 200]

On the demo's pictures, with the initial weights and after some updates in fp32. Processors without bf16 emulate it.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rounds import show
from torch import Tensor, nn

from diptych.config import (
    CycleganConfig,
    DataConfig,
    EngineConfig,
    OptimiserConfig,
    PatchganConfig,
    ResnetConfig,
    TrainConfig,
)
from diptych.data.encoding import to_network
from diptych.data.files import find_domain
from diptych.data.formats.reading import read_picture
from diptych.data.transforms import stack
from diptych.demo.pictures import TILE, unpack
from diptych.device import resolve_engine
from diptych.pair import Pair
from diptych.training.state import State
from diptych.training.stepper import update

NUM_BATCHES, BATCH_SIZE, LEARNING_RATE = 3, 2, 4e-4
IN_FP32: dict[str, Callable[[Any], Sequence[nn.Module]]] = {
    "bf16": lambda _: [],
    "bf16, the last convolution in fp32": lambda generator: [generator.model[-2]],
    "bf16, the generators in fp32": lambda generator: [generator],
}
"""The modules of a generator that compute in fp32."""


def demo_pictures() -> Pair[Tensor]:
    """The demo's training pictures, uint8 (N, 3, H, W)."""
    with TemporaryDirectory() as folder:
        unpack(Path(folder))
        domains = Pair("trainA", "trainB").map(lambda name: find_domain(name, Path(folder) / name))
        return domains.map(lambda domain: stack([read_picture(domain.path(i)).values for i in range(len(domain))]))


def begin(width: int, num_blocks: int, precision: Any) -> State:
    """A new state, without an image pool: its fakes would depend on earlier updates."""
    return State(
        TrainConfig(
            method=CycleganConfig(lambda_identity=0.5, pool_size=0),
            generator=ResnetConfig(width=width, num_blocks=num_blocks),
            discriminator=PatchganConfig(width=width),
            data=DataConfig(crop_size=TILE, load_size=TILE, channels_a=3, channels_b=3),
            optimiser=OptimiserConfig(batch_size=1, learning_rate=2e-4, ema=0.999),
            engine=resolve_engine(EngineConfig(device="cpu", precision=precision, channels_last=True)),
        )
    )


def gradients(state: State, batch: Pair[Tensor]) -> dict[str, Tensor]:
    """The gradient of each module on one batch, as one vector."""
    found: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, *_: object) -> None:
        found[name] = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])

    hooks = [
        state.optimisers[name].register_step_pre_hook(partial(keep, name, module))
        for name, module in state.modules.items()
    ]
    update(state, batch, learning_rate=0.0)
    for hook in hooks:
        hook.remove()
    return found


def in_fp32(module: nn.Module) -> None:
    """Makes ``module`` compute in fp32."""
    forward = module.forward

    def exact(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return forward(x.float())  # type: ignore[no-any-return]

    module.forward = exact


def errors(trained: State, batches: Sequence[Pair[Tensor]], width: int, num_blocks: int) -> list[list[str]]:
    """A row for each variant: ‖g − g₃₂‖ / ‖g₃₂‖ of each module, the mean over ``batches``."""
    expected, rows = [gradients(trained, batch) for batch in batches], []
    for label, modules_of in IN_FP32.items():
        state = begin(width, num_blocks, "bf16")
        for name, module in state.modules.items():
            module.load_state_dict(trained.modules[name].state_dict())
        for generator in state.modules["generators"].children():
            for module in modules_of(generator):
                in_fp32(module)
        found = [gradients(state, batch) for batch in batches]
        pairs = list(zip(found, expected, strict=True))
        distances = [mean(float((g[name] - e[name]).norm() / e[name].norm()) for g, e in pairs) for name in expected[0]]
        rows.append([label, *(f"{each:.3f}" for each in distances)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--updates", type=int, default=200)
    options = parser.parse_args()
    pictures, draw = demo_pictures(), torch.Generator().manual_seed(1)
    convert = partial(to_network, memory_format=torch.channels_last)

    def batch() -> Pair[Tensor]:
        return pictures.map(lambda all_: convert(all_[torch.randint(len(all_), (BATCH_SIZE,), generator=draw)]))

    state = begin(options.width, options.blocks, "fp32")
    measured = [batch() for _ in range(NUM_BATCHES)]
    for number in (0, options.updates):
        for _ in range(number):
            update(state, batch(), learning_rate=LEARNING_RATE)
        title = f"Relative error of the gradient after {number} updates, n = {options.width}, {options.blocks} blocks"
        rows = errors(state, measured, options.width, options.blocks)
        show(title, ["variant", *state.modules], rows)


if __name__ == "__main__":
    main()
