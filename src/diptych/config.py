"""What a run is asked to do: frozen dataclasses, with a docstring under each option.

Nothing heavy is imported here, so that ``--help`` answers at once. An option that is ``None`` is chosen when the run
starts, from the pictures and the machine, and written to ``config.json`` as chosen.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, Self

from diptych.errors import OptionError

Norm = Literal["instance", "batch", "none"]
Upsampling = Literal["transposed", "nearest", "bilinear"]
Initialisation = Literal["normal", "xavier", "kaiming", "orthogonal"]
GanLoss = Literal["least-squares", "vanilla", "hinge"]
Resize = Literal["square", "shorter", "width", "none"]
ScheduleKind = Literal["linear", "constant", "cosine", "step"]
ScheduleUnit = Literal["epoch", "update"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Direction = Literal["a2b", "b2a"]


@dataclass(frozen=True, kw_only=True)
class ResnetConfig:
    """Residual generator of the paper (appendix 7.2)."""

    kind: ClassVar[str] = "resnet"

    width: int = 64
    """Channels after the first layer (n of the paper)."""
    num_blocks: int | None = None
    """Residual blocks. Chosen: 9 for crops of 256 pixels and more, 6 below."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""
    dropout: bool = False
    """Dropout ½ inside each residual block."""
    upsampling: Upsampling = "transposed"
    """How sizes double: the paper's transposed convolution, or resizing and then a convolution (no dotted pattern)."""

    @property
    def stride(self) -> int:
        """What the sides of a picture must be multiples of."""
        return 4

    def settled(self, crop_size: int) -> Self:
        """The same with every choice made, for crops of ``crop_size`` pixels (0: whole pictures)."""
        if self.num_blocks is not None:
            return self
        return replace(self, num_blocks=6 if 0 < crop_size < 256 else 9)


@dataclass(frozen=True, kw_only=True)
class UnetConfig:
    """U-Net generator of pix2pix."""

    kind: ClassVar[str] = "unet"

    width: int = 64
    """Channels after the first layer."""
    num_levels: int | None = None
    """Halvings of the size, at least 5. Chosen: as many as the crop allows, at most 8."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""
    dropout: bool = False
    """Dropout ½ in the inner levels."""

    @property
    def stride(self) -> int:
        """What the sides of a picture must be multiples of."""
        assert self.num_levels is not None, "the number of levels is chosen before it is used"
        return 1 << self.num_levels

    def settled(self, crop_size: int) -> Self:
        """The same with every choice made, for crops of ``crop_size`` pixels (0: whole pictures).

        Raises:
            OptionError: fewer than 5 levels, asked for or forced by the crop.
        """
        halvings = (crop_size & -crop_size).bit_length() - 1 if crop_size else 8
        num_levels = min(8, halvings) if self.num_levels is None else self.num_levels
        if num_levels < 5:
            problem = f"a U-Net of {num_levels} levels (crop-size {crop_size}) is too shallow"
            raise OptionError(problem, cure="it needs 5, and a crop-size that is a multiple of 32")
        return replace(self, num_levels=num_levels)


@dataclass(frozen=True, kw_only=True)
class PatchganConfig:
    """Discriminator that judges overlapping patches: 70×70 pixels with 3 layers."""

    kind: ClassVar[str] = "patchgan"

    width: int = 64
    """Channels after the first layer."""
    num_layers: int = 3
    """Stride-2 layers. 1 to 5 give patches of 16, 34, 70, 142, 286 pixels."""
    norm: Norm = "instance"
    """Normalisation after each convolution but the first and last."""

    @property
    def smallest_side(self) -> int:
        """The smallest side of a picture that leaves a score (and, for its normalisation, more than one before it)."""
        return 3 << self.num_layers


@dataclass(frozen=True, kw_only=True)
class PixelConfig:
    """Discriminator that judges each pixel by itself."""

    kind: ClassVar[str] = "pixel"

    width: int = 64
    """Channels after the first layer."""
    norm: Norm = "instance"
    """Normalisation after the second convolution."""

    @property
    def smallest_side(self) -> int:
        """The smallest side of a picture that leaves a score (and, for its normalisation, more than one before it)."""
        return 2


GeneratorConfig = ResnetConfig | UnetConfig
DiscriminatorConfig = PatchganConfig | PixelConfig


@dataclass(frozen=True, kw_only=True)
class CycleganConfig:
    """CycleGAN: two generators, held together by cycle consistency."""

    kind: ClassVar[str] = "cyclegan"
    paired: ClassVar[bool] = False
    generator: ClassVar[GeneratorConfig] = ResnetConfig()
    discriminator: ClassVar[DiscriminatorConfig] = PatchganConfig()

    gan_loss: GanLoss = "least-squares"
    """Adversarial loss."""
    lambda_a: float = 10.0
    """Weight of the cycle A → B → A."""
    lambda_b: float = 10.0
    """Weight of the cycle B → A → B."""
    lambda_identity: float | None = None
    """Weight of the identity loss, relative to lambda-a and lambda-b; 0 leaves it out. Chosen: 0.5, or 0 where the
    domains differ in channels."""
    pool_size: int = 50
    """Translated pictures kept per domain, from which the discriminators' fakes are drawn; 0 for none."""

    def settled(self, channels: tuple[int, int]) -> Self:
        """The same with every choice made, for domains of so many channels.

        Raises:
            OptionError: an identity loss asked for between domains of different channels.
        """
        if self.lambda_identity is None:
            return replace(self, lambda_identity=0.5 if channels[0] == channels[1] else 0.0)
        if self.lambda_identity > 0 and channels[0] != channels[1]:
            raise OptionError(
                f"lambda-identity is {self.lambda_identity:g}, but A has {channels[0]} channels and B {channels[1]}",
                cure="leave it out, since only domains of equal channels have an identity loss",
            )
        return self

    def remarks(self, channels: tuple[int, int]) -> list[str]:
        """What a person should be told of this choice once, for domains of so many channels."""
        if channels[0] == channels[1]:
            return []
        return [f"no identity loss, since A has {channels[0]} and B {channels[1]} channels"]


@dataclass(frozen=True, kw_only=True)
class Pix2pixConfig:
    """pix2pix: one generator, for pictures that come in pairs."""

    kind: ClassVar[str] = "pix2pix"
    paired: ClassVar[bool] = True
    generator: ClassVar[GeneratorConfig] = UnetConfig(norm="batch", dropout=True)
    discriminator: ClassVar[DiscriminatorConfig] = PatchganConfig(norm="batch")

    gan_loss: GanLoss = "vanilla"
    """Adversarial loss."""
    lambda_l1: float = 100.0
    """Weight of the distance to the true picture."""
    direction: Direction = "a2b"
    """Learn A to B, or B to A."""

    def settled(self, channels: tuple[int, int]) -> Self:
        """The same: nothing here depends on the pictures."""
        del channels
        return self

    def remarks(self, channels: tuple[int, int]) -> list[str]:
        """What a person should be told of this choice once: nothing."""
        del channels
        return []


MethodConfig = CycleganConfig | Pix2pixConfig


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where the pictures are: two folders, or one root."""

    a: Path | None = None
    """Folder with pictures of domain A."""
    b: Path | None = None
    """Folder with pictures of domain B."""
    root: Path | None = None
    """Folder that holds trainA, trainB and, if there are any, testA and testB."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How pictures are read, resized and cropped."""

    resize: Resize = "square"
    """To a square of load-size (aspect not kept), the shorter side or the width to load-size (aspect kept), or not at
    all."""
    load_size: int | None = None
    """Pixels to resize to before cropping. Chosen: crop-size times 286/256."""
    crop_size: int | None = None
    """Side of the random square crop in pixels; 0 for none. Chosen: 256, or less where the pictures are smaller."""
    flip: bool = True
    """Mirror half of the pictures left to right."""
    channels_a: int | None = None
    """Channels of domain A: 1 (grey) or 3 (RGB). Chosen: 1 where every picture is grey."""
    channels_b: int | None = None
    """Channels of domain B, likewise."""
    holdout: int | None = None
    """Pictures per domain set aside for samples and scores, never trained on. Chosen: 5 %, at most 64, none of fewer
    than 40; a root's testA and testB are used instead."""
    skip_unpaired: bool = False
    """Where pictures come in pairs, leave out those without a partner of the same name, instead of stopping."""
    skip_unreadable: bool = False
    """Train without the pictures that cannot be read, instead of stopping."""
    num_workers: int | None = None
    """Threads that read ahead; 0 reads in between. Chosen: one per processor, at most 8."""
    cache_gib: float = 2.0
    """Memory for decoded pictures, in GiB."""
    disk_cache_gib: float = 8.0
    """Disk for those that do not fit in memory, in GiB: in the run folder while the run trains, as long as 4 GiB stay
    free."""
    draft: bool = True
    """Decode JPEGs of at least 8 times the size they are resized to at a lower resolution, and resize by torch's filter
    instead of Pillow's: quicker, and less than 1/255 off on average."""


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """How weights begin, descend by Adam (one for the generators, one for the discriminators) and are averaged."""

    batch_size: int = 1
    """Pictures of each domain per update, in each process: of several, an update takes so many times as many."""
    learning_rate: float = 2e-4
    """Learning rate before any decay."""
    beta1: float = 0.5
    """Decay of the gradient's running mean."""
    beta2: float = 0.999
    """Decay of the squared gradient's running mean."""
    schedule: ScheduleKind = "linear"
    """Linear decay to almost 0, constant, cosine, or steps of a tenth."""
    decay_share: float = 0.5
    """Linear: the share of the run over which the rate decays. Step: the share between two steps."""
    schedule_unit: ScheduleUnit = "update"
    """The rate changes after each epoch (as in the paper) or each update."""
    ema: float = 0.999
    """Decay per update of the generators' running mean, which is what translates; 0 for none."""
    initialisation: Initialisation = "normal"
    """How weights begin: normal(0, 0.02) as in the paper, or another."""
    begin_with: Path | None = None
    """A model file, or a run, whose networks the run begins with in place of random ones, in their architecture."""
    seed: int = 0
    """Decides every random choice of the run."""


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """What computes, and how exactly."""

    device: Device = "auto"
    """Where to train; auto takes CUDA, then MPS, then the CPU."""
    precision: Precision = "auto"
    """Arithmetic of the networks; auto takes bf16 where the machine has it, else fp32. Weights are kept in fp32."""
    compile: bool = False
    """Compile the networks with torch.compile (needs a C++ compiler). The first update then takes a minute or two."""
    channels_last: bool | None = None
    """Keep the channels of a pixel side by side in memory. Chosen: where that is faster, on CUDA in bf16 or fp16, and
    on the CPU with --compile."""
    merge_passes: bool = True
    """Give a network two batches at once where that changes no number (never with batch norm)."""
    fused: bool = True
    """Step all weights in one go (torch's fused Adam)."""
    low_memory: bool = False
    """Keep no activations between the passes of a network, but compute them again: half the memory, a third slower."""
    accumulate: int = 1
    """Compute each batch in so many parts, one after the other, and sum their gradients: the memory of one part. Batch
    norm sees each part by itself."""


@dataclass(frozen=True, kw_only=True)
class LengthConfig:
    """How long to train. An epoch is as many pictures as the larger domain has."""

    epochs: float = 200.0
    """Length in epochs."""
    pictures: int | None = None
    """Length in pictures per domain, in place of epochs."""
    time: str | None = None
    """Length as a time such as 40m or 2h30m, in place of epochs; turned once into pictures from the measured speed."""
    stop_when_flat: int = 0
    """Stop after so many scores of held-out pictures without a better one; 0 for never."""


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What a run writes besides its model."""

    num_samples: int = 20
    """How often a grid of held-out pictures is drawn in the course of the run."""
    score: bool = True
    """Score held-out pictures at each grid, in at most 5 % of the time, and keep the best (extra: evaluate)."""
    save_minutes: float = 10.0
    """Minutes between checkpoints. One is always written at the end, and when the run is interrupted."""
    keep_checkpoints: int = 2
    """The newest checkpoints that are kept."""
    tensorboard: bool = False
    """Write TensorBoard event files into the run as well (extra: tensorboard)."""
    on_full_disk: Literal["go-on", "stop"] = "go-on"
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
