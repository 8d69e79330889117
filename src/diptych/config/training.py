"""The options of a run: its pictures, how long and on what it trains, and what it writes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from diptych.config.constraints import Adjustable, Fraction, GreyOrColour, NotNegative, Positive, PositiveFraction
from diptych.config.methods import CycleganConfig, MethodConfig
from diptych.config.networks import DiscriminatorConfig, GeneratorConfig, PatchganConfig, ResnetConfig

Resize = Literal["square", "shorter", "width", "none"]
Initialisation = Literal["normal", "xavier", "kaiming", "orthogonal"]
ScheduleKind = Literal["linear", "constant", "cosine", "step"]
ScheduleUnit = Literal["epoch", "update"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where the pictures are: two folders, or one root."""

    a: Adjustable[Path] | None = None
    """Folder with pictures of domain A."""
    b: Adjustable[Path] | None = None
    """Folder with pictures of domain B."""
    root: Adjustable[Path] | None = None
    """Folder that holds trainA, trainB and, if there are any, testA and testB."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How pictures are read, resized and cropped."""

    resize: Resize = "square"
    """To a square of load-size (aspect not kept), the shorter side or the width to load-size (aspect kept), or not at
    all."""
    load_size: Positive[int] | None = None
    """Pixels to resize to before cropping. Chosen: crop-size times 286/256."""
    crop_size: NotNegative[int] | None = None
    """Side of the random square crop in pixels; 0 for none. Chosen: 256, or less where the pictures are smaller."""
    flip: bool = True
    """Mirror half of the pictures left to right."""
    channels_a: GreyOrColour | None = None
    """Channels of domain A: 1 (grey) or 3 (RGB). Chosen: 1 where every picture is grey."""
    channels_b: GreyOrColour | None = None
    """Channels of domain B, likewise."""
    holdout: NotNegative[int] | None = None
    """Pictures per domain set aside for samples and scores, never trained on. Chosen: 5 %, at most 64, none of fewer
    than 40; a root's testA and testB are used instead."""
    skip_unpaired: bool = False
    """Where pictures come in pairs, leave out those without a partner of the same name, instead of stopping."""
    skip_unreadable: bool = False
    """Train without the pictures that cannot be read, instead of stopping."""
    num_workers: Adjustable[NotNegative[int]] | None = None
    """Threads that read ahead; 0 reads in between. Chosen: one per processor, at most 8."""
    cache_gib: Adjustable[NotNegative[float]] = 2.0
    """Memory for decoded pictures, in GiB."""
    disk_cache_gib: Adjustable[NotNegative[float]] = 8.0
    """Disk for those that do not fit in memory, in GiB: in the run folder while the run trains, as long as 4 GiB stay
    free."""
    draft: bool = True
    """Decode JPEGs of at least 8 times the size they are resized to at a lower resolution, and resize by torch's filter
    instead of Pillow's: quicker, and less than 1/255 off on average."""


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How weights begin, descend by Adam (one for the generators, one for the discriminators) and are averaged."""

    batch_size: Positive[int] = 1
    """Pictures of each domain per update, in each process: of several, an update takes so many times as many."""
    learning_rate: Positive[float] = 2e-4
    """Learning rate before any decay."""
    beta1: Fraction = 0.5
    """Decay of the gradient's running mean."""
    beta2: Fraction = 0.999
    """Decay of the squared gradient's running mean."""
    schedule: ScheduleKind = "linear"
    """Linear decay to almost 0, constant, cosine, or steps of a tenth."""
    decay_fraction: PositiveFraction = 0.5
    """Linear: the share of the run over which the rate decays. Step: the share between two steps."""
    schedule_unit: ScheduleUnit = "update"
    """The rate changes after each epoch (as in the paper) or each update."""
    ema: Fraction = 0.999
    """Decay per update of the generators' running mean, which is what translates; 0 for none."""
    initialisation: Initialisation = "normal"
    """How weights begin: normal(0, 0.02) as in the paper, or another."""
    init_from: Path | None = None
    """A model file, or a run, whose networks the run begins with in place of random ones, in their architecture."""
    seed: NotNegative[int] = 0
    """Decides every random choice of the run."""


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """What computes, and how exactly."""

    device: DeviceName = "auto"
    """Where to train; auto takes CUDA, then MPS, then the CPU."""
    precision: Precision = "auto"
    """Arithmetic of the networks; auto takes bf16 where the machine has it, else fp32. Weights are kept in fp32."""
    compile: bool = False
    """Compile the networks with torch.compile (needs a C++ compiler). The first update then takes a minute or two."""
    channels_last: bool | None = None
    """Keep the channels of a pixel side by side in memory. Chosen: where that is faster, on CUDA in bf16 or fp16, and
    on the CPU with --compile."""
    batch_forwards: bool = True
    """Give a network two batches at once where that changes no number (never with batch norm)."""
    parallel_directions: bool = True
    """On the CPU, compute the two directions at once, each on half of the cores (never with batch norm, dropout, passes
    apart, low memory, --compile or several processes)."""
    fused: bool = True
    """Step all weights in one go (torch's fused Adam)."""
    activation_checkpointing: bool = False
    """Keep no activations between the passes of a network, but compute them again: half the memory, a third slower."""
    accumulate: Positive[int] = 1
    """Compute each batch in so many parts, one after the other, and sum their gradients: the memory of one part. Batch
    norm sees each part by itself."""


@dataclass(frozen=True, kw_only=True)
class LengthConfig:
    """How long to train. An epoch is as many pictures as the larger domain has."""

    epochs: Adjustable[Positive[float]] = 200.0
    """Length in epochs."""
    pictures: Adjustable[Positive[int]] | None = None
    """Length in pictures per domain, in place of epochs."""
    time: Adjustable[str] | None = None
    """Length as a time such as 40m or 2h30m, in place of epochs; turned once into pictures from the measured speed."""
    stop_when_flat: Adjustable[NotNegative[int]] = 0
    """Stop after so many scores of held-out pictures without a better one; 0 for never."""


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What a run writes besides its model."""

    num_samples: Adjustable[NotNegative[int]] | None = None
    """How often a grid of held-out pictures is drawn in the course of the run. Chosen: 20 times. In a run of a given
    time, never more often than a tenth of it allows."""
    score: Adjustable[bool] = True
    """Score held-out pictures at each grid, in at most 5 % of the time, and keep the best (extra: evaluate)."""
    save_minutes: Adjustable[NotNegative[float]] = 10.0
    """Minutes between checkpoints. One is always written at the end, and when the run is interrupted."""
    keep_checkpoints: Adjustable[Positive[int]] = 2
    """The newest checkpoints that are kept."""
    tensorboard: Adjustable[bool] = False
    """Write TensorBoard event files into the run as well (extra: tensorboard)."""
    on_full_disk: Adjustable[Literal["go-on", "stop"]] = "go-on"
    """When a checkpoint cannot be written: train on until the next, or stop. The last good one stays in any case."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training run."""

    source: SourceConfig = field(default_factory=SourceConfig)
    method: MethodConfig = field(default_factory=CycleganConfig)
    generator: GeneratorConfig = field(default_factory=ResnetConfig)
    discriminator: DiscriminatorConfig = field(default_factory=PatchganConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    length: LengthConfig = field(default_factory=LengthConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
