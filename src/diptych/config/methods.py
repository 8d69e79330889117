"""The options of each method."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, Self

from diptych.config.constraints import Adjustable, NotNegative, Positive, option, with_defaults
from diptych.config.networks import DiscriminatorConfig, GeneratorConfig, PatchganConfig, ResnetConfig, UnetConfig
from diptych.errors import OptionError
from diptych.pair import Direction

GanLoss = Literal["least-squares", "vanilla", "hinge"]
Initialisation = Literal["normal", "xavier", "kaiming", "orthogonal"]


class MethodConfig(Protocol):
    """Options of a method: a frozen dataclass."""

    implementation: ClassVar[str]
    """Class path of the method. It is called with (config, generator config, discriminator config, channels)."""
    paired: ClassVar[bool]
    """Whether it learns from pairs of images."""
    generator: ClassVar[GeneratorConfig]
    """Its default generator."""
    discriminator: ClassVar[DiscriminatorConfig]
    """Its default discriminator."""
    initialisation: ClassVar[Initialisation]
    """Its default distribution of the initial weights."""
    epochs: ClassVar[tuple[int, int]]
    """Its default length: epochs at the initial learning rate, then epochs of decay."""

    @property
    def gan_loss(self) -> GanLoss:
        """Adversarial loss."""
        ...

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that it learns."""
        ...

    def resolved(self, channels: tuple[int, int]) -> Self:
        """A copy with all defaults resolved, for domains with these numbers of channels.

        Raises:
            OptionError: an option that does not fit them.
        """
        ...

    def remarks(self, channels: tuple[int, int]) -> list[str]:
        """One line for each resolved default that the user should know."""
        ...


@dataclass(frozen=True, kw_only=True)
class CycleganConfig:
    """CycleGAN: two generators, trained with cycle consistency."""

    implementation: ClassVar[str] = "diptych.methods.cyclegan:Cyclegan"
    paired: ClassVar[bool] = False
    generator: ClassVar[GeneratorConfig] = ResnetConfig()
    discriminator: ClassVar[DiscriminatorConfig] = PatchganConfig()
    initialisation: ClassVar[Initialisation] = "normal"
    epochs: ClassVar[tuple[int, int]] = (100, 100)

    gan_loss: GanLoss = option("least-squares", "Adversarial loss.")
    lambda_a: NotNegative[float] | None = option(
        None, "Weight of the cycle consistency loss A → B → A. By default 10, or 3 for a residual generator."
    )
    lambda_b: NotNegative[float] | None = option(
        None, "Weight of the cycle consistency loss B → A → B, with the same default."
    )
    lambda_identity: NotNegative[float] | None = option(
        None,
        "Weight of the identity loss, as a multiple of lambda-a and lambda-b; 0 turns it off. By default 0.5, or 1 "
        "for residual generators, or 0 if A and B differ in channels.",
    )
    pool_size: NotNegative[int] = option(
        50, "Size of the image pool: past translations per domain that the discriminators see again. 0 turns it off."
    )

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that it learns."""
        return ("a2b", "b2a")

    def resolved(self, channels: tuple[int, int]) -> Self:
        """A copy with all defaults resolved, for domains with these numbers of channels.

        Raises:
            OptionError: an identity loss is given, and the domains differ in channels.
        """
        if self.lambda_identity is not None and self.lambda_identity > 0 and channels[0] != channels[1]:
            raise OptionError(
                f"lambda-identity is {self.lambda_identity:g}, but A has {channels[0]} channels and B {channels[1]}",
                cure="leave it out: the identity loss needs domains of equal channels",
            )
        identity = 0.5 if channels[0] == channels[1] else 0.0
        return with_defaults(self, lambda_a=10.0, lambda_b=10.0, lambda_identity=identity)

    def remarks(self, channels: tuple[int, int]) -> list[str]:
        """One line if the domains differ in channels, so that there is no identity loss."""
        if channels[0] == channels[1]:
            return []
        return [f"no identity loss, since A has {channels[0]} and B {channels[1]} channels"]


@dataclass(frozen=True, kw_only=True)
class OneDirectionConfig:
    """What the methods with one generator have in common. Their defaults do not depend on the pictures."""

    direction: Direction = option("a2b", "Learn A to B, or B to A.")

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that it learns."""
        return (self.direction,)

    def resolved(self, channels: tuple[int, int]) -> Self:
        """This config: it has nothing to resolve."""
        del channels
        return self

    def remarks(self, channels: tuple[int, int]) -> list[str]:
        """No remarks."""
        del channels
        return []


@dataclass(frozen=True, kw_only=True)
class Pix2pixConfig(OneDirectionConfig):
    """pix2pix: one generator, trained on pairs of pictures."""

    implementation: ClassVar[str] = "diptych.methods.pix2pix:Pix2pix"
    paired: ClassVar[bool] = True
    generator: ClassVar[GeneratorConfig] = UnetConfig(norm="batch", dropout=True)
    discriminator: ClassVar[DiscriminatorConfig] = PatchganConfig(norm="batch")
    initialisation: ClassVar[Initialisation] = "normal"
    epochs: ClassVar[tuple[int, int]] = (100, 100)

    gan_loss: GanLoss = option("vanilla", "Adversarial loss.")
    lambda_l1: NotNegative[float] = option(100.0, "Weight of the L1 distance to the true picture.")


@dataclass(frozen=True, kw_only=True)
class CutConfig(OneDirectionConfig):
    """CUT: one generator; a contrastive loss keeps each patch of a translation close to the same patch of its input."""

    implementation: ClassVar[str] = "diptych.methods.cut:Cut"
    paired: ClassVar[bool] = False
    generator: ClassVar[GeneratorConfig] = ResnetConfig(antialias=True, upsampling="blur")
    discriminator: ClassVar[DiscriminatorConfig] = PatchganConfig(antialias=True)
    initialisation: ClassVar[Initialisation] = "xavier"
    epochs: ClassVar[tuple[int, int]] = (200, 200)

    gan_loss: GanLoss = option("least-squares", "Adversarial loss.")
    lambda_nce: NotNegative[float] = option(1.0, "Weight of the PatchNCE loss.")
    nce_identity: bool = option(
        True, "Also compute the PatchNCE loss between pictures of the target domain and their translations."
    )
    flip_equivariance: bool = option(False, "Mirror the input of the generator in half of the updates.")
    temperature: Positive[float] = option(0.07, "Temperature of the PatchNCE loss.")
    num_patches: Positive[int] = option(256, "Patches of each feature map in the PatchNCE loss.")
    head_width: Positive[int] = option(256, "Channels of the head that projects features for the PatchNCE loss.")

    def resolved(self, channels: tuple[int, int]) -> Self:
        """This config: it has nothing to resolve.

        Raises:
            OptionError: the domains differ in channels.
        """
        if channels[0] != channels[1]:
            problem = f"A has {channels[0]} channels and B {channels[1]}: the encoder of CUT sees pictures of both"
            raise OptionError(problem, cure="give --channels-a and --channels-b the same number, or --method cyclegan")
        return self


@dataclass(frozen=True, kw_only=True)
class FastcutConfig(CutConfig):
    """FastCUT: CUT without the identity term, lighter and faster."""

    epochs: ClassVar[tuple[int, int]] = (150, 50)

    lambda_nce: NotNegative[float] = option(10.0, "Weight of the PatchNCE loss.")
    nce_identity: bool = option(
        False, "Also compute the PatchNCE loss between pictures of the target domain and their translations."
    )
    flip_equivariance: bool = option(True, "Mirror the input of the generator in half of the updates.")


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """Distillation: small generators learn the outputs of trained ones. ``diptych compress`` starts it."""

    implementation: ClassVar[str] = "diptych.methods.distillation:Distillation"
    paired: ClassVar[bool] = False
    generator: ClassVar[GeneratorConfig] = ResnetConfig()
    discriminator: ClassVar[DiscriminatorConfig] = PatchganConfig()
    initialisation: ClassVar[Initialisation] = "normal"
    epochs: ClassVar[tuple[int, int]] = (100, 100)

    teacher: Adjustable[Path] | None = option(None, "Model file that the generators learn from.")
    teacher_sha256: str = option("", "SHA-256 of that file.")
    teacher_method: str = option("", "Method by which the teacher was trained.")
    direction: Direction | None = option(None, "The only direction of the teacher; by default it has both.")
    lambda_ssim: NotNegative[float] = option(0.5, "Weight of 1 - SSIM between both outputs; that of their L1 is 1.")
    lambda_features: NotNegative[float] = option(
        0.5, "Weight of the difference of both outputs in the features of the teacher's encoder."
    )
    other_domain: bool = option(False, "Also translate pictures of the target domain, if it has the same channels.")
    num_distinct: Positive[int] | None = option(
        None, "Different crops of each domain, which are seen again and again: the teacher translates each once."
    )
    teacher_cache_gib: Adjustable[NotNegative[float]] = option(2.0, "Memory for the teacher's outputs, in GiB.")

    @property
    def gan_loss(self) -> GanLoss:
        """Not used: there is no adversarial loss."""
        return "least-squares"

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that it learns."""
        return ("a2b", "b2a") if self.direction is None else (self.direction,)

    def resolved(self, channels: tuple[int, int]) -> Self:
        """This config: it has nothing to resolve."""
        del channels
        return self

    def remarks(self, channels: tuple[int, int]) -> list[str]:
        """One line: the teacher."""
        del channels
        return [f"learns the outputs of {self.teacher}"]


@dataclass(frozen=True, kw_only=True)
class PairedDistillationConfig(DistillationConfig):
    """Distillation of a teacher that was trained on pairs of pictures, such as one of pix2pix."""

    paired: ClassVar[bool] = True
