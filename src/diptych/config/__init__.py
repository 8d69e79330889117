"""The options of a run, as frozen dataclasses.

Nothing heavy is imported here, so that ``--help`` answers at once. An option that is ``None`` is resolved from
the pictures and the machine when the run starts; ``config.json`` holds the resolved value.
"""

from diptych.config.content import ContentConfig
from diptych.config.data import DataConfig, Interpolation, Resize, SourceConfig, ValueType
from diptych.config.methods import (
    CutConfig,
    CycleganConfig,
    DistillationConfig,
    FastcutConfig,
    GanLoss,
    Initialisation,
    MethodConfig,
    PairedDistillationConfig,
    Pix2pixConfig,
)
from diptych.config.networks import (
    PAPER_WIDTH,
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
    DeviceName,
    EngineConfig,
    InferenceEngine,
    LengthConfig,
    OptimiserConfig,
    OutputConfig,
    Precision,
    ScheduleKind,
    ScheduleUnit,
    TrainConfig,
)
from diptych.pair import Direction

__all__ = [
    "PAPER_WIDTH",
    "ContentConfig",
    "CutConfig",
    "CycleganConfig",
    "DataConfig",
    "DeviceName",
    "Direction",
    "DiscriminatorConfig",
    "DistillationConfig",
    "EngineConfig",
    "FastcutConfig",
    "GanLoss",
    "GeneratorConfig",
    "InferenceEngine",
    "Initialisation",
    "Interpolation",
    "LengthConfig",
    "MethodConfig",
    "Norm",
    "OptimiserConfig",
    "OutputConfig",
    "PairedDistillationConfig",
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
    "ValueType",
]
