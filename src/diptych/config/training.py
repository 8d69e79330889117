"""The options of a run: optimiser, device, length and output; and all of them together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diptych.config.constraints import (
    Adjustable,
    Fraction,
    NotNegative,
    Positive,
    PositiveFraction,
    option,
)
from diptych.config.content import ContentConfig
from diptych.config.data import DataConfig, SourceConfig
from diptych.config.methods import CycleganConfig, Initialisation, MethodConfig
from diptych.config.networks import DiscriminatorConfig, GeneratorConfig, PatchganConfig, ResnetConfig

ScheduleKind = Literal["linear", "constant", "cosine", "step"]
ScheduleUnit = Literal["epoch", "update"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
InferenceEngine = Literal["auto", "torch", "onnxruntime", "openvino"]
Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """Adam, its learning rate, the initial weights, and the moving average of the generators."""

    batch_size: Positive[int] | None = option(
        None,
        "Batch size per domain and process. The global batch size is this times the number of processes. By default 1 "
        "or 2, depending on how many pictures the run can see.",
    )
    learning_rate: Positive[float] | None = option(
        None, "Learning rate of Adam, before any decay. By default 2e-4 times the batch size; 2e-4 with --preset paper."
    )
    beta1: Fraction = option(0.5, "Adam's beta1: decay of the mean of the gradient.")
    beta2: Fraction = option(0.999, "Adam's beta2: decay of the mean of the squared gradient.")
    schedule: ScheduleKind = option(
        "linear", "Learning rate schedule: linear decay to almost 0, constant, cosine, or steps that divide by 10."
    )
    decay_fraction: PositiveFraction = option(
        0.5, "Fraction of the run over which the rate decays (linear), or between two steps (step)."
    )
    schedule_unit: ScheduleUnit = option(
        "update", "Change the learning rate after each epoch (as in the CycleGAN paper) or after each update."
    )
    ema: Fraction | None = option(
        None,
        "Decay per update of the exponential moving average (EMA) of the generators, which is used to translate. 0 "
        "turns it off. By default it averages over about a tenth of the run, at most 0.999.",
    )
    initialisation: Initialisation = option(
        "normal",
        "Distribution of the initial weights; normal is N(0, 0.02²), as in the CycleGAN paper. CUT's is xavier.",
    )
    init_from: Path | None = option(None, "Start from the weights and the architecture of this model file or run.")
    seed: NotNegative[int] = option(0, "Seed of every random choice in the run.")


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Device, precision and memory."""

    device: DeviceName = option("auto", "Device to train on; auto tries CUDA, then MPS, then the CPU.")
    precision: Precision = option(
        "auto",
        "Arithmetic of the networks; auto is bf16 if the hardware supports it, else fp32. tf32 is fp32 with fewer bits "
        "in convolutions (NVIDIA GPUs). Weights stay in fp32.",
    )
    compile: bool = option(
        False,
        "Compile the networks with torch.compile (needs a C++ compiler). The first update then takes a minute or two.",
    )
    cuda_graphs: bool = option(
        False,
        "On CUDA with --compile: record the networks as CUDA graphs, which start all their kernels at once. For small "
        "batches of one size; needs more memory.",
    )
    channels_last: bool | None = option(
        None,
        "Use the channels-last memory format. By default on for CPUs with AMX in bf16, for CPUs with AVX-512 in "
        "fp32, and for all CPUs with --compile.",
    )
    batch_forwards: bool = option(
        True,
        "Concatenate batches that go through the same network into one forward pass. Never with batch norm or "
        "activation checkpointing.",
    )
    parallel_directions: bool | None = option(
        None,
        "On the CPU, compute both directions in parallel, each on half of the cores. By default on with 2, 4 or more "
        "cores. Never with batch norm, dropout, separate forward passes, activation checkpointing, --compile or "
        "several processes.",
    )
    fused: bool = option(True, "Use torch's fused Adam.")
    deterministic: bool = option(
        False,
        "On CUDA, use only kernels that give the same bits every time, so that a resumed run equals an uninterrupted "
        "one bit for bit. Slower.",
    )
    activation_checkpointing: bool = option(
        False, "Recompute activations in the backward pass instead of storing them: half the memory, a third slower."
    )
    accumulate: Positive[int] = option(
        1,
        "Gradient accumulation: split each batch into this many micro-batches and sum the gradients. Batch norm sees "
        "each micro-batch separately.",
    )


@dataclass(frozen=True, kw_only=True)
class LengthConfig:
    """How long to train.

    If ``pictures`` is given, ``epochs`` is not used. Neither may be given with ``time``.
    """

    epochs: Adjustable[Positive[float]] | None = option(
        None,
        "Length in epochs. An epoch is as many pictures as the larger domain has. By default that of the method's "
        "paper (200 for CycleGAN), or an hour if it would take more than a day.",
    )
    pictures: Adjustable[Positive[int]] | None = option(None, "Length in pictures per domain, instead of epochs.")
    time: Adjustable[str] | None = option(
        None,
        "Length as a time, such as 40m or 2h30m, instead of epochs. Includes everything that the run does. The number "
        "of pictures follows the measured speed.",
        "TIME",
    )
    patience: Adjustable[NotNegative[int]] = option(
        0, "Early stopping: stop after this many scores in a row without a better one. 0 never stops early."
    )


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What a run writes besides its model."""

    num_samples: Adjustable[NotNegative[int]] | None = option(
        None,
        "Number of sample grids of held-out pictures in the whole run. By default 20. With --time, sampling takes "
        "at most a tenth of the time.",
    )
    score: Adjustable[bool] = option(
        True,
        "Score held-out pictures at each sample grid, in at most 5 % of the time, and keep the best model. Methods "
        "without pairs need the extra evaluate for it.",
    )
    save_minutes: Adjustable[NotNegative[float]] = option(
        10.0, "Minutes between checkpoints. One is always written at the end and when the run is interrupted."
    )
    keep_checkpoints: Adjustable[Positive[int]] = option(2, "Number of newest checkpoints to keep.")
    tensorboard: Adjustable[bool] = option(False, "Also write event files of TensorBoard (extra: tensorboard).")
    on_full_disk: Adjustable[Literal["continue", "stop"]] = option(
        "continue",
        "What to do when the disk is too full for a checkpoint: continue until the next one, or stop. The last good "
        "checkpoint is kept.",
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training run."""

    source: SourceConfig = SourceConfig()
    method: MethodConfig = option(CycleganConfig(), "Training method.")
    generator: GeneratorConfig = option(ResnetConfig(), "Architecture of the generators.")
    discriminator: DiscriminatorConfig = option(PatchganConfig(), "Architecture of the discriminators.")
    data: DataConfig = DataConfig()
    content: ContentConfig = ContentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    length: LengthConfig = LengthConfig()
    engine: EngineConfig = EngineConfig()
    output: OutputConfig = OutputConfig()
