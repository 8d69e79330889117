"""Losses that keep content, for the generators of any method: known pairs, masks and edges.

They are added to the losses that a method yields, so no method knows of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self, cast

import torch
from torch import Tensor

from diptych import losses
from diptych.config import ContentConfig
from diptych.errors import OptionError
from diptych.methods.execution import Execution
from diptych.methods.method import LossGroups, Method, Step, module_names
from diptych.pair import Direction, Pair

Terms = dict[Direction, dict[str, Tensor]]
NAMES = Pair("a", "b")


@dataclass(frozen=True)
class Content:
    """What must stay in one batch."""

    config: ContentConfig
    """Resolved."""
    masks: Pair[Tensor | None]
    """``(B, 1, H, W)`` for each domain: 1 where content is kept, else 0; None without masks."""
    known: Pair[Tensor] | None
    """Known pairs ``(B, C, H, W)`` in [-1, 1]."""

    @classmethod
    def of(
        cls, config: ContentConfig, batch: Pair[Tensor], channels: Pair[int], known: Pair[Tensor] | None
    ) -> tuple[Pair[Tensor], Self]:
        """The images of ``batch``, and their content. A mask is one more channel: above -1 where content is kept."""
        masks = batch.map(
            lambda one, number: (one[:, number:] > -1).to(one) if one.shape[1] > number else None, channels
        )
        return batch.map(_images, channels), cls(config, masks, known)


def with_content(method: Method, steps: Iterator[Step], content: Content, execution: Execution) -> Iterator[Step]:
    """``steps`` of an update of ``method``, with the losses of ``content`` added to those of the generators.

    Raises:
        OptionError: ``content`` needs translations, and ``method`` does not yield them.
    """
    config = content.config
    of_translations = bool(config.keep_edges) or (
        bool(config.lambda_masks) and any(m is not None for m in content.masks)
    )
    for step in steps:
        found = Step(*step)
        if "generators" in module_names(found.modules):
            if of_translations and not found.translations:
                problem = f"{type(method).__name__} yields no translations, which masks and --keep-edges need"
                raise OptionError(problem, cure="leave these options out, or yield Step(modules, losses, translations)")
            terms = _terms_of_pairs(method, content, execution)
            for direction, (source, output) in found.translations.items():
                terms.setdefault(direction, {}).update(_terms_of_translation(content, direction, source, output))
            found = found._replace(losses=_merged(found.losses, terms))
        yield found


def _terms_of_pairs(method: Method, content: Content, execution: Execution) -> Terms:
    """The distance between the translation of each known pair and the truth, by direction."""
    weight, known, networks = content.config.lambda_pairs, content.known, method.generators_by_direction()
    if known is None or not weight:
        return {}

    def distance(network: torch.nn.Module, source: Tensor, target: Tensor) -> Tensor:
        (output,) = execution.forward(network, source)
        return weight * losses.reconstruction(target, output)

    if len(networks) == len(NAMES):
        pair = execution.map(Pair(networks["a2b"], networks["b2a"]), distance, known, known.swapped)
        return {"a2b": {"pairs_b": pair.a}, "b2a": {"pairs_a": pair.b}}
    return {way: {f"pairs_{NAMES.along(way)[1]}": distance(net, *known.along(way))} for way, net in networks.items()}


def _terms_of_translation(content: Content, direction: Direction, source: Tensor, output: Tensor) -> dict[str, Tensor]:
    """The losses between a batch and its translation."""
    config, (mask, _), (name, _) = content.config, content.masks.along(direction), NAMES.along(direction)
    terms = {}
    if mask is not None and config.lambda_masks:
        terms[f"kept_{name}"] = config.lambda_masks * losses.kept_content(source, output, mask)
    if config.keep_edges:
        terms[f"edges_{name}"] = config.keep_edges * losses.structure(source, output)
    return terms


def _merged(groups: LossGroups, terms: Terms) -> LossGroups:
    """``groups`` with ``terms``, each in the group of its direction. If groups have other names, all become one."""
    if not any(terms.values()):
        return groups
    if not terms.keys() <= groups.keys():
        every = [*groups.values(), *terms.values()]
        return {"": {name: loss for group in every for name, loss in group.items()}}
    return {name: {**group, **terms.get(cast(Direction, name), {})} for name, group in groups.items()}


def _images(batch: Tensor, channels: int) -> Tensor:
    """The first ``channels`` of ``batch``, in its memory format."""
    if batch.shape[1] == channels:
        return batch
    last = batch.is_contiguous(memory_format=torch.channels_last)
    return batch[:, :channels].contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
