"""What a run is asked to do: frozen dataclasses of options.

Nothing heavy is imported here, so that ``--help`` answers at once. An option that is ``None`` is chosen when the run
starts, from the pictures and the machine, and written to ``config.json`` as chosen.
"""

from diptych.config.methods import (
    CycleganConfig,
    GanLoss,
    MethodConfig,
    Pix2pixConfig,
)
from diptych.config.networks import (
    DiscriminatorConfig,
    GeneratorConfig,
    Norm,
    PatchganConfig,
    PixelConfig,
    ResnetConfig,
    UnetConfig,
    Upsampling,
)
from diptych.config.training import (
    DataConfig,
    DeviceName,
    EngineConfig,
    Initialisation,
    LengthConfig,
    OptimiserConfig,
    OutputConfig,
    Precision,
    Resize,
    ScheduleKind,
    ScheduleUnit,
    SourceConfig,
    TrainConfig,
)
from diptych.pair import Direction

__all__ = [
    "CycleganConfig",
    "DataConfig",
    "DeviceName",
    "Direction",
    "DiscriminatorConfig",
    "EngineConfig",
    "GanLoss",
    "GeneratorConfig",
    "Initialisation",
    "LengthConfig",
    "MethodConfig",
    "Norm",
    "OptimiserConfig",
    "OutputConfig",
    "PatchganConfig",
    "Pix2pixConfig",
    "PixelConfig",
    "Precision",
    "Resize",
    "ResnetConfig",
    "ScheduleKind",
    "ScheduleUnit",
    "SourceConfig",
    "TrainConfig",
    "UnetConfig",
    "Upsampling",
]
