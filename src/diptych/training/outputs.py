"""What a run writes while it trains: metrics, sample grids, checkpoints and the model."""

import shlex
import sys
import time

from diptych.evaluation.samples import draw_samples, sample_pictures
from diptych.model import ModelCard, save_model, versions
from diptych.training.checkpoint import save_checkpoint
from diptych.training.plan import Plan
from diptych.training.progress import Display
from diptych.training.state import State


class Outputs:
    """The run folder's files, written from ``state``."""

    def __init__(self, plan: Plan, state: State, display: Display) -> None:
        self.plan, self.state, self.run, self.display = plan, state, plan.run, display
        data, stride = plan.config.data, plan.config.generator.stride
        domains = plan.split.test.map(lambda held, trained: held if len(held) else trained, plan.split.train)
        self.shown = domains.map(
            lambda domain, channels: sample_pictures(domain, data, channels=channels, stride=stride), plan.channels
        )
        self.logged_pictures, self.logged_time = state.pictures, time.perf_counter()

    def write_config(self) -> None:
        """Writes ``config.json``."""
        pictures = {
            domain.name: {"folder": str(domain.folder), "number": len(domain), "sha256": domain.sha256}
            for domain in self.plan.split.train
        }
        held = {domain.name: [file.as_posix() for file in domain.files] for domain in self.plan.split.test}
        about = {"command": shlex.join(sys.argv), "versions": versions(), "pictures": pictures, "held_out": held}
        self.run.write_config(self.plan.config, about)

    def log(self, learning_rate: float) -> None:
        """Adds a record to the metrics, with the mean of each loss since the last one.

        Raises:
            NonFiniteLossError: one became NaN or infinite.
        """
        state, now = self.state, time.perf_counter()
        losses, speed = state.window.means(), (state.pictures - self.logged_pictures) / (now - self.logged_time)
        self.logged_pictures, self.logged_time = state.pictures, now
        state.window.clear()
        record = {
            "pictures": state.pictures,
            "epoch": state.pictures / self.plan.epoch_size,
            "learning_rate": learning_rate,
            "pictures_per_second": round(speed, 3),
            "losses": losses,
        }
        self.run.log(record)
        self.display.show(state.pictures, speed, losses)

    def draw(self) -> None:
        """Draws the sample grid of now."""
        networks = self.state.method.networks(self.state.translators)
        grid = draw_samples(networks, self.shown, self.plan.names, self.state.engine.device)
        grid.save(self.run.samples / f"{self.state.pictures:09d}.png")

    def save(self) -> None:
        """Writes a checkpoint and the model of now.

        Raises:
            NonFiniteLossError: a loss became NaN or infinite; nothing is written.
            OSError: the disk is full or may not be written; what was there is as it was.
        """
        config, state = self.plan.config, self.state
        save_checkpoint(self.run, state)
        card = ModelCard(
            method=config.method.kind,
            generator=config.generator,
            channels=self.plan.channels,
            names=self.plan.names,
            data=config.data,
            pictures=state.pictures,
            ema=state.ema is not None,
        )
        save_model(self.run.model_file, state.method.networks(state.translators), card)
