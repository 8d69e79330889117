"""The options of each method."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol, Self

from diptych.config.constraints import NotNegative, option
from diptych.config.networks import DiscriminatorConfig, GeneratorConfig, PatchganConfig, ResnetConfig, UnetConfig
from diptych.errors import OptionError
from diptych.pair import Direction

GanLoss = Literal["least-squares", "vanilla", "hinge"]


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

    @property
    def gan_loss(self) -> GanLoss:
        """Adversarial loss."""
        ...

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that it learns."""
        ...

    def resolved(self, channels: tuple[int, int]) -> Self:
        """The same with every default resolved, for domains of these channels.

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

    gan_loss: GanLoss = option("least-squares", "Adversarial loss.")
    lambda_a: NotNegative[float] = option(10.0, "Weight of the cycle consistency loss A → B → A.")
    lambda_b: NotNegative[float] = option(10.0, "Weight of the cycle consistency loss B → A → B.")
    lambda_identity: NotNegative[float] | None = option(
        None,
        "Weight of the identity loss, as a multiple of lambda-a and lambda-b; 0 turns it off. By default 0.5, or 0 "
        "if A and B differ in channels.",
    )
    pool_size: NotNegative[int] = option(
        50, "Size of the image pool: past translations per domain that the discriminators see again. 0 turns it off."
    )

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that it learns."""
        return ("a2b", "b2a")

    def resolved(self, channels: tuple[int, int]) -> Self:
        """The same with every default resolved, for domains of these channels.

        Raises:
            OptionError: an identity loss is given, and the domains differ in channels.
        """
        if self.lambda_identity is None:
            return replace(self, lambda_identity=0.5 if channels[0] == channels[1] else 0.0)
        if self.lambda_identity > 0 and channels[0] != channels[1]:
            raise OptionError(
                f"lambda-identity is {self.lambda_identity:g}, but A has {channels[0]} channels and B {channels[1]}",
                cure="leave it out: the identity loss needs domains of equal channels",
            )
        return self

    def remarks(self, channels: tuple[int, int]) -> list[str]:
        """One line if there is no identity loss."""
        if channels[0] == channels[1]:
            return []
        return [f"no identity loss, since A has {channels[0]} and B {channels[1]} channels"]


@dataclass(frozen=True, kw_only=True)
class Pix2pixConfig:
    """pix2pix: one generator, trained on pairs of pictures."""

    implementation: ClassVar[str] = "diptych.methods.pix2pix:Pix2pix"
    paired: ClassVar[bool] = True
    generator: ClassVar[GeneratorConfig] = UnetConfig(norm="batch", dropout=True)
    discriminator: ClassVar[DiscriminatorConfig] = PatchganConfig(norm="batch")

    gan_loss: GanLoss = option("vanilla", "Adversarial loss.")
    lambda_l1: NotNegative[float] = option(100.0, "Weight of the L1 distance to the true picture.")
    direction: Direction = option("a2b", "Learn A to B, or B to A.")

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that it learns."""
        return (self.direction,)

    def resolved(self, channels: tuple[int, int]) -> Self:
        """The same: nothing here depends on the pictures."""
        del channels
        return self

    def remarks(self, channels: tuple[int, int]) -> list[str]:
        """None: every default is fixed."""
        del channels
        return []
