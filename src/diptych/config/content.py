"""The options of content that must stay, for every method: known pairs, masks and edges."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from diptych.config.constraints import Adjustable, NotNegative, option, option_name
from diptych.errors import OptionError
from diptych.pair import Direction, Pair

LAMBDA_PAIRS, LAMBDA_MASKS = 10.0, 10.0


@dataclass(frozen=True, kw_only=True)
class ContentConfig:
    """Content that must stay, in addition to what the method itself keeps."""

    pairs: Adjustable[Path] | None = option(
        None,
        "Known pairs: pictures side by side, or pictures of equal names in folders A and B. They add an L1 loss to the "
        "method's own.",
        "FOLDER",
    )
    lambda_pairs: NotNegative[float] | None = option(
        None, "Weight of the L1 distance to the true picture of a known pair. By default 10."
    )
    masks_a: Adjustable[Path] | None = option(
        None,
        "Masks of pictures of A, with the same names: a pixel that is not black keeps its colour in the translation.",
        "FOLDER",
    )
    masks_b: Adjustable[Path] | None = option(None, "The same for domain B.", "FOLDER")
    lambda_masks: NotNegative[float] | None = option(
        None, "Weight of the L1 distance between a picture and its translation inside the mask. By default 10."
    )
    keep_edges: NotNegative[float] = option(
        0.0,
        "Weight of a loss that keeps edges where they are, whatever their colours, by local self-similarity. 10 is a "
        "strong one; 0 turns it off.",
        "WEIGHT",
    )

    @property
    def masks(self) -> Pair[Path | None]:
        """The folders of masks."""
        return Pair(self.masks_a, self.masks_b)

    def resolved(self, directions: tuple[Direction, ...], channels: tuple[int, int]) -> Self:
        """A copy with the weights resolved, for a method of these ``directions``.

        Raises:
            OptionError: an option without effect, or masks between domains of different channels.
        """
        self._refuse_weight_alone("lambda_pairs", self.pairs is not None, "--pairs FOLDER")
        has_masks = any(folder is not None for folder in self.masks)
        self._refuse_weight_alone("lambda_masks", has_masks, "--masks-a or --masks-b FOLDER")
        sources = {Pair("a", "b").along(direction)[0] for direction in directions}
        for name, folder in zip("ab", self.masks, strict=True):
            if folder is not None and name not in sources:
                problem = f"--masks-{name} has no effect: pictures of {name.upper()} are not translated"
                raise OptionError(problem, cure="leave it out, or give the other --direction")
        if has_masks and channels[0] != channels[1]:
            problem = f"masks keep colours, but A has {channels[0]} channels and B {channels[1]}"
            raise OptionError(
                problem, cure="leave the masks out, or give --channels-a and --channels-b the same number"
            )
        pairs = LAMBDA_PAIRS if self.pairs is not None and self.lambda_pairs is None else self.lambda_pairs
        masks = LAMBDA_MASKS if has_masks and self.lambda_masks is None else self.lambda_masks
        return replace(self, lambda_pairs=pairs, lambda_masks=masks)

    def _refuse_weight_alone(self, name: str, has_effect: bool, needed: str) -> None:
        if getattr(self, name) is not None and not has_effect:
            raise OptionError(f"--{option_name(name)} has no effect alone", cure=f"give {needed}, or leave it out")
