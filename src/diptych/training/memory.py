"""Refuses a run whose updates would need more memory than there is, before the first one."""

import os
from collections.abc import Iterator
from dataclasses import replace

import torch

from diptych.config import ContentConfig, DistillationConfig, TrainConfig
from diptych.config.constraints import resolved
from diptych.device import Device
from diptych.errors import OptionError
from diptych.inference.forward import first_sentences
from diptych.memory import predicted_peak, shortage
from diptych.methods import Content, Execution, Method, Step, module_names, with_content
from diptych.pair import Pair
from diptych.training.plan.plan import Plan
from diptych.training.state import build_from

MARGIN = 1.2
"""Ratio of measured to predicted memory of an update: gaps between tensors and torch's kernels take some too."""
FORK = "--fork NEW_RUN"
AMPLE_BYTES = 2**20
"""Bytes per pixel of a batch that suffice for any update. If more are free, no prediction is made (it takes 1 s)."""


def refuse_too_large(plan: Plan, *, free: int | None) -> None:
    """Compares what an update needs with the ``free`` bytes, if the run trains on a CPU and the size of its batches is
    known. On other devices, torch raises an error when memory runs out. On a CPU, the system kills the process.

    Raises:
        OptionError: it needs more.
    """
    config, processes = plan.config, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    side, batch_size = side_of(config), resolved(config.optimiser.batch_size)
    if free is None or config.engine.device != "cpu" or processes * batch_size * side**2 * AMPLE_BYTES < free:
        return
    needed = update_memory(config)
    if lack := shortage(None if needed is None else MARGIN * processes * needed, free):
        raise OptionError(
            f"updates with pictures of {side}×{side} pixels need {lack}",
            cure=_cure(config, FORK if plan.done else ""),
        )


def out_of_memory(plan: Plan, error: BaseException) -> OptionError:
    """The error for a run whose device is out of memory, as ``error`` of torch says."""
    new_run = FORK if plan.run.checkpoint_files() else "--run NEW_RUN" if plan.run.exists else ""
    cure = _cure(plan.config, new_run)
    return OptionError(f"out of memory while training ({first_sentences(error)})", cure=cure)


def _cure(config: TrainConfig, new_run: str) -> str:
    """What to give. ``new_run`` is the option for another run, if this one cannot change; a fork keeps its networks."""
    smaller = ["--crop-size"]
    smaller += ["--batch-size"] if resolved(config.optimiser.batch_size) > 1 else []
    smaller += ["--generator.width"] if hasattr(config.generator, "width") and new_run != FORK else []
    *others, last = smaller
    options = f"a smaller {', '.join(others)} or {last}" if others else f"a smaller {last}"
    if not config.engine.activation_checkpointing:
        options += f"{',' * bool(others)} or --activation-checkpointing"
    return f"give {new_run}{' and ' * bool(new_run)}{options}"


def side_of(config: TrainConfig) -> int:
    """Height and width of a training batch; 0 if they depend on the picture."""
    data = config.data
    return data.crop_size or (data.load_size or 0 if data.resize == "square" else 0)


def update_memory(config: TrainConfig) -> int | None:
    """Bytes that training with the resolved ``config`` needs on a CPU: activations, weights, gradients, optimiser, EMA.

    None if that cannot be predicted: distillation reads the weights of its teacher.
    """
    if isinstance(config.method, DistillationConfig):
        return None
    kept = 0

    def one_update() -> None:
        nonlocal kept
        method, device = build_from(config), Device(replace(config.engine, parallel_directions=False))
        modules = method.modules()
        sizes = {name: sum(weight.nbytes for weight in module.parameters()) for name, module in modules.items()}
        kept = 2 * sum(sizes.values()) + sum(sizes[name] for name in method.averaged if config.optimiser.ema)
        side, micro_batch = side_of(config), -(-resolved(config.optimiser.batch_size) // config.engine.accumulate)
        channels = Pair(config.data.channels_a or 0, config.data.channels_b or 0)
        real = channels.map(lambda number: torch.zeros(micro_batch, number, side, side))
        execution = Execution.of(device)
        updates = _steps(method, real, config.content, execution)
        gradients: list[torch.Tensor | None] = []
        while True:
            with device.autocast():
                step = next(updates, None)
            if step is None:
                return
            gradients.clear()
            total = torch.stack([loss for group in step.losses.values() for loss in group.values()]).sum()
            weights = [weight for name in module_names(step.modules) for weight in modules[name].parameters()]
            gradients += torch.autograd.grad(total, weights, allow_unused=True)

    peak = predicted_peak(one_update)
    return None if peak is None else peak + kept


def _steps(method: Method, real: Pair[torch.Tensor], config: ContentConfig, execution: Execution) -> Iterator[Step]:
    """An update on ``real``, also as known pairs and with masks if ``config`` asks for them."""
    masks = real.map(lambda images, folder: None if folder is None else torch.ones_like(images[:, :1]), config.masks)
    content = Content(config, masks, real if config.pairs else None)
    return with_content(method, method.update(real, lambda fake: fake, execution), content, execution)
