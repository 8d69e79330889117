"""The options of each generator and discriminator."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol, Self

from diptych.config.constraints import NotNegative, Positive, option
from diptych.errors import OptionError

Norm = Literal["instance", "batch", "none"]
Upsampling = Literal["transposed", "nearest", "bilinear", "blur"]

PAPER_WIDTH = 64
"""Channels after the first layer of every network in the papers of CycleGAN, pix2pix and CUT."""
GENERATOR_WIDTH = "Channels after the first layer. By default 16 to 64, depending on how many pictures the run can see."
DISCRIMINATOR_WIDTH = (
    "Channels after the first layer. By default 32 to 64, depending on how many pictures the run can see."
)


class GeneratorConfig(Protocol):
    """Options of a generator: a frozen dataclass."""

    implementation: ClassVar[str]
    """Class path of the network. It is called with (config, channels in, channels out)."""

    @property
    def stride(self) -> int:
        """Height and width of an image must be multiples of this."""
        ...

    def resolved(self, crop_size: int) -> Self:
        """A copy with all defaults resolved, for crops of ``crop_size`` pixels (0: whole images)."""
        ...


class DiscriminatorConfig(Protocol):
    """Options of a discriminator: a frozen dataclass."""

    implementation: ClassVar[str]
    """Class path of the network. It is called with (config, channels in)."""

    @property
    def smallest_side(self) -> int:
        """The smallest height and width that leave at least one score."""
        ...


@dataclass(frozen=True, kw_only=True)
class ResnetConfig:
    """Residual generator of the CycleGAN paper (appendix 7.2)."""

    implementation: ClassVar[str] = "diptych.networks.resnet:ResnetGenerator"

    width: Positive[int] | None = option(None, GENERATOR_WIDTH)
    num_blocks: NotNegative[int] | None = option(
        None, "Residual blocks. By default 6 for crops of less than 256 pixels, else 9."
    )
    norm: Norm = option("instance", "Normalisation after each convolution except the last.")
    dropout: bool = option(False, "Dropout with probability 0.5 in each residual block.")
    upsampling: Upsampling | None = option(
        None,
        "How to double the size: CycleGAN's transposed convolution, or resize then convolve, which leaves no "
        "checkerboard: nearest, bilinear, or CUT's blur filter. By default bilinear (CUT: blur; --preset paper: "
        "transposed).",
    )
    antialias: bool = option(False, "Blur before each halving of the size (CUT).")
    residual: bool | None = option(
        None,
        "Learn the change: add the output to the input. For domains that differ little, such as stains, shading or "
        "weather. By default on with CycleGAN if A and B have equal channels and there are no masks; off with "
        "--preset paper.",
    )

    @property
    def stride(self) -> int:
        """Height and width of an image must be multiples of this."""
        return 4

    def resolved(self, crop_size: int) -> Self:
        """A copy with all defaults resolved, for crops of ``crop_size`` pixels (0: whole images)."""
        return replace(
            self,
            width=PAPER_WIDTH if self.width is None else self.width,
            num_blocks=(6 if 0 < crop_size < 256 else 9) if self.num_blocks is None else self.num_blocks,
            upsampling="transposed" if self.upsampling is None else self.upsampling,
            residual=False if self.residual is None else self.residual,
        )


@dataclass(frozen=True, kw_only=True)
class UnetConfig:
    """U-Net generator of pix2pix."""

    implementation: ClassVar[str] = "diptych.networks.unet:UnetGenerator"

    width: Positive[int] | None = option(None, GENERATOR_WIDTH)
    num_levels: Positive[int] | None = option(
        None, "Number of times the size is halved, at least 5. By default as many as the crop size allows, at most 8."
    )
    norm: Norm = option(
        "instance", "Normalisation after each convolution except the first, the innermost and the last."
    )
    dropout: bool = option(False, "Dropout with probability 0.5 in the inner levels.")

    @property
    def stride(self) -> int:
        """Height and width of an image must be multiples of this."""
        assert self.num_levels is not None, "resolve the config first"
        return 1 << self.num_levels

    def resolved(self, crop_size: int) -> Self:
        """A copy with all defaults resolved, for crops of ``crop_size`` pixels (0: whole images).

        Raises:
            OptionError: fewer than 5 levels, given or implied by the crop size.
        """
        halvings = (crop_size & -crop_size).bit_length() - 1 if crop_size else 8
        num_levels = min(8, halvings) if self.num_levels is None else self.num_levels
        if num_levels < 5:
            problem = f"a U-Net of {num_levels} levels (crop-size {crop_size}) is too shallow"
            raise OptionError(problem, cure="give 5 or more, and a crop-size that is a multiple of 32")
        return replace(self, num_levels=num_levels, width=PAPER_WIDTH if self.width is None else self.width)


@dataclass(frozen=True, kw_only=True)
class PatchganConfig:
    """Discriminator that scores overlapping patches: 70×70 pixels with 3 layers."""

    implementation: ClassVar[str] = "diptych.networks.patchgan:PatchganDiscriminator"

    width: Positive[int] | None = option(None, DISCRIMINATOR_WIDTH)
    num_layers: Positive[int] = option(3, "Stride-2 layers. 1 to 5 give patches of 16, 34, 70, 142, 286 pixels.")
    norm: Norm = option("instance", "Normalisation after each convolution except the first and the last.")
    antialias: bool = option(False, "Blur before each halving of the size (CUT).")

    @property
    def smallest_side(self) -> int:
        """The smallest height and width at which there is a score, and each norm sees more than one value."""
        return 3 << self.num_layers


@dataclass(frozen=True, kw_only=True)
class PixelConfig:
    """Discriminator that scores each pixel separately."""

    implementation: ClassVar[str] = "diptych.networks.patchgan:PixelDiscriminator"

    width: Positive[int] | None = option(None, DISCRIMINATOR_WIDTH)
    norm: Norm = option("instance", "Normalisation after the second convolution.")

    @property
    def smallest_side(self) -> int:
        """The smallest height and width at which there is a score, and each norm sees more than one value."""
        return 2
