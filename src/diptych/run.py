"""The run folder: what was asked, what was measured, samples, checkpoints and the model."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diptych.atomic import atomic_write
from diptych.config import TrainConfig
from diptych.config_json import from_json, to_json
from diptych.data.sources import Split, find_split
from diptych.errors import OptionError, RunError, did_you_mean_path
from diptych.pair import Pair

CHECKPOINT_DIGITS = 9


@dataclass(frozen=True)
class RunFacts:
    """How far a run is, and what it takes up."""

    pictures: int
    total: int
    """Pictures at its end."""
    changed: float
    """When it last wrote something, in seconds since 1970."""
    size: int
    """In bytes."""
    losses: dict[str, float]
    """The last ones logged."""
    score: str
    """The last score of held-out pictures and what it is of; empty where there is none."""


class Run:
    """A folder with ``config.json``, ``metrics.jsonl``, ``samples/``, ``checkpoints/`` and ``model.safetensors``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_file = folder / "config.json"
        self.metrics_file = folder / "metrics.jsonl"
        self.model_file = folder / "model.safetensors"
        self.best_model_file = folder / "best.safetensors"
        self.samples = folder / "samples"
        self.checkpoints = folder / "checkpoints"
        self.tensorboard = folder / "tensorboard"
        self.scores_file = folder / "scores.json"
        self.report_file = folder / "report.html"
        self.picture_file = folder / "demo.png"

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.config_file.is_file()

    @property
    def is_run(self) -> bool:
        """Whether ``config.json`` is one of ours."""
        try:
            self.config()
        except RunError:
            return False
        return True

    def create(self) -> None:
        """Makes the folder and its parts, where they are missing.

        Raises:
            RunError: it cannot be made, or holds something else.
        """
        if not self.exists and self._strangers():
            problem, cure = f"{self.folder} holds something else than a run", "give another folder with --run"
            if self.model_file.is_file():
                cure += f"; --init-from {self.folder} begins with its model"
            raise RunError(f"{problem} ({self._strangers()[0]})", cure=cure)
        try:
            for folder in (self.samples, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.folder} cannot be made ({error.strerror})", cure="give another with --run") from None

    def _strangers(self) -> list[str]:
        """Names in the folder that no run gives; a run killed at its very beginning may have left some that it does."""
        ours = {path.name for path in vars(self).values()} - {self.model_file.name, self.best_model_file.name}
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(name for name in names if name not in ours and not name.startswith("."))

    def write_config(self, config: TrainConfig, about: dict[str, Any]) -> None:
        """Writes ``config.json``: the config under ``config``, beside it ``about`` (versions, command, lists of
        pictures)."""
        self.write_json(self.config_file, {"config": to_json(config)} | about)

    def write_json(self, path: Path, value: Any) -> None:
        """Writes ``value`` as readable JSON, whole or not at all."""
        with atomic_write(path) as aside:
            aside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def about(self) -> dict[str, Any]:
        """All of ``config.json``.

        Raises:
            RunError: missing or not readable.
        """
        try:
            value = json.loads(self.config_file.read_text(encoding="utf-8"))
            if isinstance(value, dict) and "config" in value:
                return value
        except FileNotFoundError:
            near = "" if self.folder.exists() else did_you_mean_path(self.folder)
            cure = near or "give a folder that diptych train wrote"
            raise RunError(f"{self.folder} is not a run (no config.json)", cure=cure) from None
        except (ValueError, OSError):
            pass
        raise RunError(f"{self.config_file} cannot be read", cure="restore it from a copy, or begin another run")

    def config(self) -> TrainConfig:
        """The config that the run was begun with, every choice made.

        Raises:
            RunError: missing, or of another version of diptych.
        """
        try:
            return from_json(TrainConfig, self.about()["config"])
        except OptionError as error:
            raise RunError(f"{self.config_file}: {error.problem}", cure=error.cure) from None

    def split(self) -> Split:
        """The pictures that the run trains on, and those that it holds out by the list in ``config.json``.

        Raises:
            RunError: ``config.json`` is missing or not readable.
            PictureError: the pictures are gone.
        """
        config, listed = self.config(), self.about().get("held_out", {})
        split = find_split(config.source, config.data.holdout, paired=config.method.paired, skip_unpaired=True)
        files = [tuple(map(Path, names)) for names in listed.values()]
        test = split.test.map(lambda domain, held: domain.only(held), Pair(*files)) if len(files) == 2 else split.test
        return Split(split.train, test)

    def checkpoint_file(self, pictures: int) -> Path:
        """Where the checkpoint after so many pictures stands."""
        return self.checkpoints / f"{pictures:0{CHECKPOINT_DIGITS}d}.safetensors"

    @property
    def best_checkpoint_file(self) -> Path:
        """Where the checkpoint with the best score stands, beside the newest."""
        return self.checkpoints / "best.safetensors"

    def checkpoint_files(self) -> list[Path]:
        """The checkpoints, the newest last."""
        return sorted(self.checkpoints.glob("[0-9]*.safetensors"))

    def log(self, record: dict[str, Any]) -> None:
        """Appends ``record`` to ``metrics.jsonl``, whole or not at all; its ``pictures`` says when.

        Raises:
            OSError: the disk is full or may not be written.
        """
        with self.metrics_file.open("ab") as file:
            end = file.tell()
            try:
                file.write(json.dumps(record).encode() + b"\n")
                file.flush()
            except OSError:
                file.truncate(end)
                raise

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The records of ``metrics.jsonl``; a last line cut off by a kill is left out."""
        if self.metrics_file.is_file():
            for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
                try:
                    yield json.loads(line)
                except ValueError:
                    continue

    def rewind(self, pictures: int) -> None:
        """Drops what was logged after ``pictures``: a run that goes on from there will log it again."""
        kept = [record for record in self.metrics() if record["pictures"] <= pictures]
        with atomic_write(self.metrics_file) as aside:
            aside.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")

    def facts(self) -> "RunFacts":
        """How far the run is, and what it takes up.

        Raises:
            RunError: its ``config.json`` cannot be read.
        """
        last: dict[str, Any] = {}
        score = ""
        for record in self.metrics():
            last = record if "losses" in record else last
            if "score" in record:
                score = f"{record['score']['value']:.4g} ({record['score']['criterion']})"
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        checkpoints = self.checkpoint_files()
        return RunFacts(
            pictures=max(last.get("pictures", 0), int(checkpoints[-1].stem) if checkpoints else 0),
            total=self.about().get("total", 0),
            changed=max((path.stat().st_mtime for path in files), default=0.0),
            size=sum(path.stat().st_size for path in files),
            losses=last.get("losses", {}),
            score=score,
        )

    def sweep(self) -> None:
        """Removes what killed processes left half written."""
        for folder in (self.folder, self.checkpoints, self.samples):
            remove(folder.glob(".*.tmp"))


def find_runs(folder: Path) -> list[Run]:
    """All runs at and below ``folder``.

    Raises:
        RunError: no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder", cure=did_you_mean_path(folder) or "give one that holds runs")
    found = (Run(file.parent) for file in sorted(folder.rglob("config.json")))
    return [run for run in found if run.is_run]


def remove(files: Iterable[Path]) -> None:
    """Removes ``files``, those that are there."""
    for file in files:
        file.unlink(missing_ok=True)


def default_folder(names: tuple[str, str], root: Path | None) -> Path:
    """Where a run goes if nothing is said: ``runs/<A>2<B>``, or ``runs/<root>``."""
    name = f"{names[0]}2{names[1]}" if root is None else root.resolve().name
    return Path("runs") / name.replace(os.sep, "-")
