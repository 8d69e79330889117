"""The networks that a student may be, and the choice among them by measured times."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from diptych.compression.speed import Timing, interleaved, network_call, operations
from diptych.config import GeneratorConfig, InferenceEngine, ResnetConfig, UnetConfig
from diptych.config.constraints import resolved
from diptych.errors import OptionError
from diptych.inference.engine_choice import SIDE
from diptych.model import Model
from diptych.networks import build_generator
from diptych.registry import kind_of

WIDTHS = (48, 40, 32, 24, 20, 16, 12, 10, 8, 6, 4)
BLOCKS = (9, 6, 4, 3, 2, 1)
MARGIN = 1.05
"""The chosen network is faster than asked for by this factor, so that it still is when it is measured again."""
SHORTLIST = (0.1, 1.3)
"""Networks are measured if their operations, relative to those that the speed allows, are in this range."""


@dataclass(frozen=True)
class Request:
    """The speed or the size of the student: at most one of ``faster``, ``budget`` and ``width``."""

    faster: float | None = None
    """Speedup of the network over the teacher's."""
    budget: float | None = None
    """Seconds for a picture of 256×256 pixels, in the network."""
    width: int | None = None
    num_blocks: int | None = None


def choose(teacher: Model, request: Request, *, engine: InferenceEngine) -> GeneratorConfig:
    """The architecture of the student: of those that are fast enough on this machine, the one with the most weights.

    Without a speed to reach, that of the given width and blocks.

    Raises:
        OptionError: no network of the teacher's kind is fast enough, or ``request`` does not fit the teacher.
    """
    config = teacher.card.generator
    usual = candidates(config, request)
    if request.faster is None and request.budget is None:
        return usual[0]
    before = interleaved({"teacher": network_call(teacher, engine)}, rounds=3)["teacher"]
    target = request.budget or before.median / resolved(request.faster)
    allowed = operations(teacher) * target / before.median
    low, high = SHORTLIST
    shortlist = [each for each in usual if low * allowed <= operations(student_of(teacher, each)) <= high * allowed]
    smallest = min(usual, key=partial(num_weights, teacher))
    shortlist = list(dict.fromkeys([*shortlist, smallest]))
    calls = {str(number): network_call(student_of(teacher, each), engine) for number, each in enumerate(shortlist)}
    times = interleaved({"teacher": network_call(teacher, engine)} | calls, rounds=5)
    before = times.pop("teacher")
    fits = [
        each for each, time in zip(shortlist, times.values(), strict=True) if _is_fast_enough(request, before, time)
    ]
    if not fits:
        raise _too_fast(request, config, before, min(times.values(), key=lambda time: time.median))
    return max(fits, key=partial(num_weights, teacher))


def candidates(config: GeneratorConfig, request: Request) -> list[GeneratorConfig]:
    """Smaller networks of the teacher's kind, with a given width or number of blocks if ``request`` has them.

    Raises:
        OptionError: the kind has no width, or the request does not fit it.
    """
    if not isinstance(config, ResnetConfig | UnetConfig):
        problem = f"compress makes no smaller generators of the kind {kind_of(config)}"
        raise OptionError(problem, cure="compress a run with --generator resnet or unet")
    widths = (
        [request.width] if request.width else [width for width in WIDTHS if width < resolved(config.resolved(0).width)]
    )
    slim = replace(config.resolved(0), dropout=False)  # the teacher's outputs have none either
    if isinstance(slim, UnetConfig):
        if request.num_blocks is not None:
            raise OptionError("--num-blocks is given, and a U-Net has no residual blocks", cure="leave it out")
        found: list[GeneratorConfig] = [replace(slim, width=width) for width in widths]
    else:
        most = resolved(slim.num_blocks)
        if request.num_blocks is not None:
            numbers = [request.num_blocks]
        else:
            numbers = [most] if request.faster is None and request.budget is None else _at_most(most)
        found = [replace(slim, width=width, num_blocks=number) for width in widths for number in numbers]
    if not found:
        raise OptionError(f"the teacher's generators have width {config.width}: none is smaller", cure="give --width")
    return found


def _at_most(most: int) -> list[int]:
    return [number for number in BLOCKS if number <= most] or [most]


def student_of(teacher: Model, config: GeneratorConfig) -> Model:
    """A model of one direction of ``teacher`` with generators ``config`` of random weights."""
    direction = teacher.default_direction
    torch.manual_seed(0)
    network = build_generator(config, *teacher.card.channels.along(direction))
    return Model({direction: network.eval()}, replace(teacher.card, generator=config))


def num_weights(teacher: Model, config: GeneratorConfig) -> int:
    """The number of weights of a generator ``config``."""
    with torch.device("meta"):
        network = build_generator(config, *teacher.card.channels.along(teacher.default_direction))
    return sum(weight.numel() for weight in network.parameters())


def _is_fast_enough(request: Request, before: Timing, after: Timing) -> bool:
    if request.budget is not None:
        return after.median * MARGIN <= request.budget
    return before.speedup_of(after) >= MARGIN * resolved(request.faster)


def _too_fast(request: Request, config: GeneratorConfig, before: Timing, fastest: Timing) -> OptionError:
    size = f"{kind_of(config)} of width {config.width}" if isinstance(config, ResnetConfig | UnetConfig) else ""
    most, milliseconds = before.speedup_of(fastest) / MARGIN, 1e3 * fastest.median * MARGIN
    if request.budget is not None:
        problem = (
            f"no smaller {size} takes at most {1e3 * request.budget:g} ms for a picture of {SIDE}² on this machine"
        )
        cure = f"give --budget {milliseconds + 1:.0f}ms"
        return OptionError(f"{problem}: the fastest takes {milliseconds:.1f} ms", cure=cure)
    problem = f"no smaller {size} is {request.faster:g} times as fast as the teacher on this machine"
    cure = f"give --faster {int(most)}" if most >= 2 else "use the teacher itself: it is small already"
    return OptionError(f"{problem}: the fastest is {most:.1f} times as fast", cure=cure)


def in_words(config: GeneratorConfig) -> str:
    """Width and depth of a generator, for a user."""
    parts: Sequence[tuple[str, object]] = [
        ("width", getattr(config, "width", None)),
        ("blocks", getattr(config, "num_blocks", None)),
        ("levels", getattr(config, "num_levels", None)),
    ]
    return f"{kind_of(config)}, " + ", ".join(f"{name} {value}" for name, value in parts if value is not None)
