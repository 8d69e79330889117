"""Raises alarms: from the metrics, from translations of held-out pictures, and from the discriminators' scores."""

from collections import deque
from collections.abc import Mapping
from functools import partial
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from diptych.config.constraints import iter_fields, option_name
from diptych.data.encoding import Array, to_network
from diptych.data.transforms import stack
from diptych.inference.forward import Forward
from diptych.losses import chance_level
from diptych.monitoring import indicators
from diptych.monitoring.alarms import Alarm, alarms, alarms_start_at
from diptych.monitoring.context import RunContext
from diptych.monitoring.progress import Display
from diptych.monitoring.samples import sample_pictures
from diptych.pair import INTO, REVERSE, Direction, DomainName, Pair

RECORDS = 5
"""Number of log records to average losses, gradient norms and waiting over."""
MIN_RECORDS = 2
"""Smallest number of records to check waiting: the first record includes the start of the run."""


class Monitor:
    """Watches a run. Each alarm is shown once, when it is first raised.

    ``shown`` are the sample pictures: held-out ones if there are any. A resumed run reads the records in its log.
    """

    def __init__(self, context: RunContext, shown: Pair[list[Array]], display: Display) -> None:
        self.context, self.display = context, display
        self.options = {option_name(name) for name, _, _ in iter_fields(context.config)}
        self.shown = shown.map(partial(as_batch, device=context.device))
        self.trained_on = sample_pictures(context.split.train, context.config).map(
            partial(as_batch, device=context.device)
        )
        logged = [record for record in context.run.metrics() if "losses" in record]
        self.recent: deque[Mapping[str, Any]] = deque(logged, maxlen=RECORDS)
        self.announced: set[tuple[str, str]] = set()

    def watch(self, record: Mapping[str, Any]) -> None:
        """Adds a log record. Waiting for pictures raises an alarm at any time, even early in a run."""
        self.recent.append(record)
        if len(self.recent) >= MIN_RECORDS:
            self._announce(self._of_waiting())

    def check(
        self,
        generators: Mapping[Direction, Forward],
        discriminators: Mapping[DomainName, Forward],
        images_seen: int,
        total: int,
    ) -> list[Alarm]:
        """The alarms after ``images_seen`` of ``total`` images per domain; none before ``alarms_start_at``."""
        if images_seen < alarms_start_at(total):
            return []
        found = self._of_records()
        for direction in generators:
            found += self._of_translations(generators, direction)
        found += self._of_discriminators(generators, discriminators)
        self._announce(found)
        return found

    def _announce(self, found: list[Alarm]) -> None:
        for alarm in found:
            if (alarm.name, alarm.about) not in self.announced:
                self.announced.add((alarm.name, alarm.about))
                self.display.note(f"alarm: {alarm}")

    def _alarms(self, about: str, numbers: Mapping[str, float]) -> list[Alarm]:
        return alarms(about, numbers, self.options)

    def _of_waiting(self) -> list[Alarm]:
        waiting = mean(record.get("waiting_fraction", 0.0) for record in self.recent)
        return self._alarms("data", {"waiting_fraction": waiting})

    def _of_records(self) -> list[Alarm]:
        if not self.recent:
            return []
        found = []
        chance = chance_level(self.context.config.method.gan_loss)
        for name, loss in self._recent_means("losses").items():
            if name.startswith("discriminator"):
                ratio = loss / chance
                numbers = {"relative_discriminator_loss": ratio, "relative_discriminator_loss_high": ratio}
                found += self._alarms(name.replace("_", " "), numbers)
        for name, norm in self._recent_means("gradients").items():
            found += self._alarms(name, {"gradient_large": norm, "gradient_small": norm})
        return found + self._of_waiting()

    def _recent_means(self, key: str) -> dict[str, float]:
        """The mean of each number under ``key``, over the recent records that have it."""
        groups = [record.get(key, {}) for record in self.recent]
        names = dict.fromkeys(name for group in groups for name in group)
        return {name: mean(group[name] for group in groups if name in group) for name in names}

    def _of_translations(self, generators: Mapping[Direction, Forward], direction: Direction) -> list[Alarm]:
        inputs, target = self.shown.along(direction)
        outputs, back = generators[direction](inputs), generators.get(REVERSE[direction])
        return self._alarms(direction, indicators.of_translations(inputs, outputs, target, back))

    def _of_discriminators(
        self, generators: Mapping[Direction, Forward], discriminators: Mapping[DomainName, Forward]
    ) -> list[Alarm]:
        """Compares each discriminator's scores of held-out pictures with those of pictures it was trained on."""
        if not all(len(domain) for domain in self.context.split.test):
            return []
        found = []
        for domain, discriminator in discriminators.items():
            source, unseen = self.shown.along(INTO[domain])
            seen: Tensor = getattr(self.trained_on, domain)
            scores = (discriminator(pictures) for pictures in (seen, unseen, generators[INTO[domain]](source)))
            found += self._alarms(
                f"discriminator {domain}", {"memorised_fraction": indicators.memorised_fraction(*scores)}
            )
        return found


def as_batch(pictures: list[Array], device: torch.device) -> Tensor:
    """``pictures`` ``(H, W, C)`` as one batch ``(B, C, h, w)`` in [-1, 1], cropped around the centre to the smallest
    height and width."""
    height, width = (min(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    crops = [
        picture[(picture.shape[0] - height) // 2 :, (picture.shape[1] - width) // 2 :][:height, :width]
        for picture in pictures
    ]
    return to_network(stack(crops), device)
