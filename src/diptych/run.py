"""The run folder: configuration, metrics, samples, checkpoints and the model."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diptych import registry
from diptych.atomic import append_line, atomic_write
from diptych.config import TrainConfig
from diptych.config_json import from_json, to_json
from diptych.data.archive import file_size
from diptych.data.identity import Identity, fingerprints, read_identity
from diptych.data.locations import relocated
from diptych.data.slicing import slices_of
from diptych.data.sources import Split, find_split
from diptych.errors import OptionError, PictureError, RunError, did_you_mean_path, os_cure, os_problem
from diptych.pair import Pair
from diptych.registry import UntrustedCodeError
from diptych.revisions import read_revisions

CHECKPOINT_DIGITS = 9


@dataclass(frozen=True)
class RunFacts:
    """Progress and size of a run."""

    pictures: int
    """Pictures per domain seen so far."""
    total: int
    """Pictures per domain at the end of the run."""
    changed: float
    """Time of the last write, in seconds since 1970."""
    size: int
    """Size of all files, in bytes."""
    losses: dict[str, float]
    """The last logged losses."""
    score: str
    """The last score of held-out pictures and its criterion; empty if there is none."""


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
        self.revisions_file = folder / "revisions.jsonl"
        self.scores_file = folder / "scores.json"
        self.pictures_file = folder / "pictures.json"
        self.compression_file = folder / "compression.json"
        self.report_file = folder / "report.html"
        self.picture_file = folder / "demo.png"

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.config_file.is_file()

    def create(self) -> None:
        """Creates the folder and its sub-folders if they are missing.

        Raises:
            RunError: they cannot be created, or the folder holds other files.
        """
        if not self.exists and (foreign := self._foreign_names()):
            cure = "give another folder with --run"
            if self.model_file.is_file():
                cure += f"; --init-from {self.folder} starts from its model"
            raise RunError(f"{self.folder} is not a run and holds other files ({foreign[0]})", cure=cure)
        try:
            for folder in (self.samples, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{self.folder} cannot be created ({os_problem(error)})",
                cure=f"{os_cure(error)}, or give another --run",
            ) from None

    def _foreign_names(self) -> list[str]:
        """Names in the folder, except hidden files and what a run may write before its ``config.json``."""
        known = {path.name for path in vars(self).values()} - {self.model_file.name, self.best_model_file.name}
        names = [path.name for path in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(name for name in names if name not in known and not name.startswith("."))

    def write_config(self, config: TrainConfig, about: dict[str, Any]) -> None:
        """Writes ``config.json``: the config under ``config``, and ``about`` beside it (versions, command, lists of
        pictures)."""
        self.write_json(self.config_file, {"config": to_json(config)} | about)

    def write_json(self, path: Path, value: Any) -> None:
        """Writes ``value`` as indented JSON. Raises as ``atomic_write``."""
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def about(self) -> dict[str, Any]:
        """All of ``config.json``.

        Raises:
            RunError: it is missing or cannot be read.
        """
        with suppress(ValueError, OSError):
            value = json.loads(self.config_file.read_text(encoding="utf-8"))
            if isinstance(value, dict) and "config" in value:
                return value
        if not self.exists:
            near = "" if self.folder.exists() else did_you_mean_path(self.folder)
            cure = near or "give a folder that diptych train wrote"
            raise RunError(f"{self.folder} is not a run (no config.json)", cure=cure)
        raise RunError(f"{self.config_file} cannot be read", cure="restore it from a backup, or start another run")

    def config(self, *, trust_code: bool = False) -> TrainConfig:
        """The config that the run was started with, with defaults resolved.

        A path to pictures that is gone is replaced by the same path relative to the run, if that exists.
        ``trust_code`` imports the classes outside of diptych that the config names, which runs their code.

        Raises:
            UntrustedCodeError: the config names such a class, and its module has not been imported.
            RunError: missing, or of another version of diptych.
        """
        about = self.about()
        try:
            if trust_code:
                registry.trust_code(about["config"])
            config: TrainConfig = from_json(TrainConfig, about["config"])
        except (UntrustedCodeError, OptionError) as error:
            kind = RunError if isinstance(error, OptionError) else UntrustedCodeError
            raise kind(f"{self.config_file}: {error.problem}", cure=error.cure) from None
        beside = {name: (self.folder / path).resolve() for name, path in about.get("relative", {}).items()}
        return replace(config, source=relocated(config.source, beside), content=relocated(config.content, beside))

    def split(self) -> Split:
        """The training pictures, and the held-out pictures listed in ``config.json``.

        Raises:
            RunError: ``config.json`` or ``pictures.json`` is missing or cannot be read.
            PictureError: a folder is missing, or the pictures for sample grids have changed since the run started.
        """
        config, held_out = self.config(), Pair(*self.about()["held_out"].values())
        slices, paired = slices_of(config.data), config.method.paired
        split = find_split(config.source, config.data.holdout, slices=slices, paired=paired, skip_unpaired=True)
        split = Split(split.train, split.test.map(lambda domain, files: domain.only([*map(Path, files)]), held_out))
        for shown, known in zip(split.shown, read_identity(self.pictures_file), strict=True):
            present = [file for file in shown.files if file_size(shown.folder / file) is not None]
            now = fingerprints(shown.folder, present)
            if changed := Identity.of(known.held_out or known.train).changes(Identity.of(now)):
                problem = f"{shown.folder}: pictures have changed since {self.folder} was trained on them: {changed}"
                raise PictureError(problem, cure="put them back, or give others: A B, or --root ROOT")
        return split

    def checkpoint_file(self, pictures: int) -> Path:
        """The path of the checkpoint written after ``pictures``."""
        return self.checkpoints / f"{pictures:0{CHECKPOINT_DIGITS}d}.safetensors"

    @property
    def best_checkpoint_file(self) -> Path:
        """The path of the checkpoint with the best score."""
        return self.checkpoints / "best.safetensors"

    def checkpoint_files(self) -> list[Path]:
        """The checkpoints, except the best, in order; the newest is the last."""
        return sorted(self.checkpoints.glob("[0-9]*.safetensors"))

    def log(self, record: dict[str, Any]) -> None:
        """Appends ``record`` to ``metrics.jsonl``, whole or not at all. Raises as ``append_line``."""
        append_line(self.metrics_file, json.dumps(record))

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The records of ``metrics.jsonl``; skips a last line cut off by a kill."""
        if self.metrics_file.is_file():
            for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):
                    yield json.loads(line)

    def rewind(self, pictures: int) -> None:
        """Removes the records after ``pictures``: a run resumed from there will log them again."""
        kept = [record for record in self.metrics() if record["pictures"] <= pictures]
        with atomic_write(self.metrics_file) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")

    def total(self) -> int:
        """Pictures per domain at the end of the run, as planned last; 0 if unknown. Raises as ``about``."""
        about, revisions = self.about(), read_revisions(self.revisions_file)
        is_timed = about["config"].get("length", {}).get("time") is not None
        return revisions[-1].total if is_timed and revisions else int(about.get("total", 0))

    def facts(self) -> RunFacts:
        """Progress and size of the run.

        Raises:
            RunError: ``config.json`` cannot be read.
        """
        records, files = list(self.metrics()), [path.stat() for path in self.folder.rglob("*") if path.is_file()]
        last: dict[str, Any] = next((record for record in reversed(records) if "losses" in record), {})
        score = next((record["score"] for record in reversed(records) if "score" in record), None)
        reached = [last.get("pictures", 0), *(int(file.stem) for file in self.checkpoint_files())]
        return RunFacts(
            pictures=max(reached),
            total=self.total(),
            changed=max((file.st_mtime for file in files), default=0.0),
            size=sum(file.st_size for file in files),
            losses=last.get("losses", {}),
            score=f"{score['value']:.4g} ({score['criterion']})" if score else "",
        )

    def remove_temporary_files(self) -> None:
        """Removes temporary files that killed processes left."""
        remove(file for folder in (self.folder, self.checkpoints, self.samples) for file in folder.glob(".*.tmp"))


def find_runs(folder: Path) -> list[Run]:
    """All runs in ``folder`` and its sub-folders, and ``folder`` itself if it is one.

    Raises:
        RunError: no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is not a folder", cure=did_you_mean_path(folder) or "give one that holds runs")
    runs: list[Run] = []
    for run in map(Run, sorted(file.parent for file in folder.rglob("config.json"))):
        with suppress(RunError):  # another program's config.json
            with suppress(UntrustedCodeError):
                run.config()
            runs.append(run)
    return runs


def remove(files: Iterable[Path]) -> None:
    """Removes those of ``files`` that exist."""
    for file in files:
        file.unlink(missing_ok=True)


def default_folder(names: tuple[str, str], root: Path | None) -> Path:
    """The default folder of a run: ``runs/<A>2<B>``, or ``runs/<root>``."""
    name = f"{names[0]}2{names[1]}" if root is None else root.resolve().name
    return Path("runs") / name.replace(os.sep, "-")
