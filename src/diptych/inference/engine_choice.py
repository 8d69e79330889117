"""The fastest engine for a network on this machine: measured once, and remembered in the user's cache folder."""

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from diptych.atomic import atomic_write
from diptych.config import DeviceName, Direction, EngineConfig, GeneratorConfig, InferenceEngine, Precision
from diptych.config_json import to_json
from diptych.device import Device, resolve_device, resolve_engine, resolve_precision
from diptych.inference.engines import (
    NEEDS,
    OTHERS,
    EngineName,
    engine_forwards,
    is_installed,
    require_engine,
    resolve_engine_precision,
)
from diptych.inference.forward import Forward, TorchForward
from diptych.model import Model
from diptych.pair import Pair

SIDE, ROUNDS = 256, 5
"""Side of the measured picture, and how often each engine translates it."""


def forwards_of(
    model: Model, direction: Direction, engine: InferenceEngine, *, device: DeviceName, precision: Precision
) -> tuple[Forward, Forward]:
    """The generator of ``direction`` by ``engine``: in ``precision``, and in fp32. Moves it to the device.

    Raises:
        OptionError: the machine or the engine lacks the device or precision.
        MissingExtraError: the engine is not installed.
    """
    network, card = model.networks[direction].eval(), model.card
    channels = Pair(*card.channels.along(direction))

    def make(name: EngineName) -> tuple[Forward, Forward]:
        if name == "torch":
            target = Device(resolve_engine(EngineConfig(device=device, precision=precision)))
            target.to(network)
            return TorchForward(network, target), TorchForward(network, target, full_precision=True)
        require_engine(name)
        resolved = resolve_engine_precision(name, precision, device)
        return engine_forwards(name, network, resolved, channels=channels, stride=card.generator.stride)

    if engine != "auto":
        return make(engine)
    if resolve_device(device) != "cpu":
        return make("torch")
    # onnxruntime has only fp32, so another precision leaves it out.
    others = [
        name for name in OTHERS if is_installed(name) and (name != "onnxruntime" or precision in ("auto", "fp32"))
    ]
    made: dict[EngineName, tuple[Forward, Forward]] = {name: make(name) for name in ("torch", *others)}
    forwards = {name: forward for name, (forward, _) in made.items()}
    return made[fastest_engine(card.generator, channels.a, resolve_precision(precision, "cpu"), forwards)]


def cache_file() -> Path:
    """Where choices are remembered."""
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "diptych" / "engines.json"


def fastest_engine(
    generator: GeneratorConfig,
    channels: int,
    precision: Precision,
    forwards: Mapping[EngineName, Forward],
    file: Path | None = None,
) -> EngineName:
    """Which of ``forwards`` is the fastest for pictures of 256² on this machine's CPU. They are measured if ``file``
    does not know it, which may take a minute. The weights do not matter."""
    if len(forwards) == 1:
        return next(iter(forwards))
    file = file or cache_file()
    key, known = _key(generator, precision, list(forwards)), _read(file)
    if known.get(key) in forwards:
        return known[key]
    side = max(SIDE, generator.stride)
    fastest = _measure(forwards, torch.zeros(1, channels, side, side))
    with suppress(OSError):  # a home that is read-only: it is measured again
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary:
            temporary.write_text(json.dumps({**_read(file), key: fastest}, indent=1), encoding="utf-8")
    return fastest


def _measure(forwards: Mapping[EngineName, Forward], batch: torch.Tensor) -> EngineName:
    seconds: dict[EngineName, list[float]] = {name: [] for name in forwards}
    for number in range(1 + ROUNDS):  # the first builds the engines
        for name, forward in forwards.items():
            start = time.perf_counter()
            forward(batch)
            if number:
                seconds[name].append(time.perf_counter() - start)
    return min(seconds, key=lambda name: median(seconds[name]))


def _key(generator: GeneratorConfig, precision: Precision, candidates: list[EngineName]) -> str:
    """A hash of everything that the speed depends on."""
    packages = ["torch", *(NEEDS[name][-1] for name in candidates if name != "torch")]
    facts = {
        "generator": to_json(generator),
        "precision": precision,
        "versions": {name: version(name) for name in packages},
        "machine": [platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability(), _cpu_name()],
        "threads": torch.get_num_threads(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _cpu_name() -> str:
    """What Linux calls the processor, with its features; empty elsewhere."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return " ".join(dict.fromkeys(line for line in lines if line.startswith(("model", "cpu family", "flags"))))
    return ""


def _read(file: Path) -> dict[str, EngineName]:
    with suppress(OSError, ValueError):
        known = json.loads(file.read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    return {}
