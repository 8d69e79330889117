"""The health of a run: indicators taken at each sample grid, alarms told once in plain words and logged each time."""

from collections import deque
from collections.abc import Mapping
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from diptych.config import Direction
from diptych.data.encoding import Array, to_network
from diptych.data.loader import Reader
from diptych.data.transforms import CENTRE, crop_and_flip, stack
from diptych.losses import chance_level
from diptych.monitoring import indicators
from diptych.monitoring.alarms import Alarm, alarms, quiet_until
from diptych.monitoring.progress import Display
from diptych.monitoring.samples import MAX_COLUMNS, Forward, evaluating
from diptych.pair import REVERSE, Pair
from diptych.training.plan.plan import Plan
from diptych.training.state import State

RECORDS = 5
"""Records of the metrics over which losses, gradients and waiting are averaged."""
MIN_RECORDS = 2
"""Fewer than these say nothing of waiting: the first holds the start."""


class Monitor:
    """Watches a run through its records and its held-out pictures."""

    def __init__(self, plan: Plan, state: State, shown: Pair[list[Array]], display: Display) -> None:
        self.plan, self.state, self.display = plan, state, display
        self.pictures = shown.map(lambda pictures: as_batch(pictures, state.device.torch_device))
        self.trained_on = plan.loader.readers.map(self._first)
        known = [record for record in plan.run.metrics() if "losses" in record]
        self.recent: deque[Mapping[str, Any]] = deque(known, maxlen=RECORDS)
        self.told: set[tuple[str, str]] = set()

    def _first(self, reader: Reader) -> Tensor:
        """The first few pictures that ``reader`` has for training, as they are at the size of training."""
        crop_size = self.plan.config.data.crop_size or 0
        images = map(reader, range(min(MAX_COLUMNS, len(reader.domain))))
        crops = [crop_and_flip(image, CENTRE, crop_size) for image in images]
        return as_batch(crops, self.state.device.torch_device)

    def watch(self, record: Mapping[str, Any]) -> None:
        """Takes in a record of the metrics. That training waits for pictures is told at once: it costs time from the
        beginning on."""
        self.recent.append(record)
        if len(self.recent) >= MIN_RECORDS:
            self._tell(self._of_waiting())

    def examine(self) -> list[Alarm]:
        """The alarms of now; those not told before are shown."""
        if self.state.pictures < quiet_until(self.plan.total):
            return []
        found = self._of_records()
        method, arithmetic = self.state.method, self.state.device.autocast
        with (
            evaluating(self.state.inference_generators(), arithmetic) as translators,
            evaluating(method.discriminators_by_domain(), arithmetic) as judges,
        ):
            for direction in translators:
                found += self._of_pictures(translators, direction)
            found += self._of_discriminators(translators, judges)
        self._tell(found)
        return found

    def _tell(self, found: list[Alarm]) -> None:
        """Shows those that were not shown before."""
        for alarm in found:
            if (alarm.name, alarm.about) not in self.told:
                self.told.add((alarm.name, alarm.about))
                self.display.note(f"alarm: {alarm}")

    def _of_waiting(self) -> list[Alarm]:
        waiting = mean(record.get("waiting_fraction", 0.0) for record in self.recent)
        return alarms("data", {"waiting_fraction": waiting})

    def _of_records(self) -> list[Alarm]:
        if not self.recent:
            return []
        found = []
        chance = chance_level(self.plan.config.method.gan_loss)
        for name in self.recent[-1]["losses"]:
            if name.startswith("discriminator"):
                share = mean(record["losses"][name] for record in self.recent) / chance
                found += alarms(name.replace("_", " "), {"discriminator_loss": share, "discriminator_guess": share})
        for name in self.recent[-1].get("gradients", {}):
            norm = mean(record["gradients"][name] for record in self.recent)
            found += alarms(name, {"gradient_large": norm, "gradient_small": norm})
        return found + self._of_waiting()

    def _of_pictures(self, translators: Mapping[Direction, Forward], direction: Direction) -> list[Alarm]:
        inputs, target = self.pictures.along(direction)
        outputs, back = translators[direction](inputs), translators.get(REVERSE[direction])
        return alarms(direction, indicators.of_translations(inputs, outputs, target, back))

    def _of_discriminators(
        self, translators: Mapping[Direction, Forward], judges: Mapping[str, Forward]
    ) -> list[Alarm]:
        """What each discriminator of one domain says of held-out pictures beside those it trained on."""
        if not all(len(domain) for domain in self.plan.split.test):
            return []
        found = []
        for domain, judge in judges.items():
            into: Direction = "b2a" if domain == "a" else "a2b"
            unseen, source = self.pictures if domain == "a" else self.pictures.swapped
            seen: Tensor = getattr(self.trained_on, domain)
            scores = (judge(pictures) for pictures in (seen, unseen, translators[into](source)))
            found += alarms(f"discriminator {domain}", {"memorised_fraction": indicators.memorised_fraction(*scores)})
        return found


def as_batch(pictures: list[Array], device: torch.device) -> Tensor:
    """``pictures`` ``(H, W, C)`` of any sizes as one batch ``(B, C, h, w)`` in [-1, 1]: the middles that all have."""
    height, width = (min(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    middles = [
        picture[(picture.shape[0] - height) // 2 :, (picture.shape[1] - width) // 2 :][:height, :width]
        for picture in pictures
    ]
    return to_network(stack(middles), device)
