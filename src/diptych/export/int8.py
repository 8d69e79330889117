"""Static quantisation of an ONNX file: convolutions in int8, weights per channel, calibrated on training pictures."""

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from diptych.data.encoding import Array, from_network, to_network
from diptych.data.files import Domain
from diptych.data.transforms import stack
from diptych.errors import OptionError, WeightsError
from diptych.evaluation.eval_set import Pictures
from diptych.evaluation.metrics import MAX_PSNR
from diptych.inference.graph import ExportedFunction, Interface
from diptych.inference.onnx_file import INPUT, onnx_run
from diptych.inference.translator import Translator
from diptych.run import Run

NUM_CALIBRATION, NUM_HELD_OUT = 64, 32
"""Pictures to calibrate on, and pictures to measure the PSNR on."""
MIN_PSNR = 35.0
"""Least PSNR, in dB, between int8 and fp32."""
ROUNDS, SIDE = 7, 256


@dataclass(frozen=True)
class Quantised:
    """A quantised file, and what it costs and gains."""

    content: bytes
    psnr: float
    """Of its outputs to those in fp32, in dB."""
    held_out: bool
    """Whether the PSNR is that of held-out pictures. If none are held out, it is that of training pictures."""
    speedup: float
    """By onnxruntime on this machine, for a picture of 256²."""

    def __str__(self) -> str:
        pictures = "held-out pictures" if self.held_out else "training pictures, since none are held out"
        return f"int8: {self.psnr:.1f} dB to fp32 on {pictures}; {self.speedup:.2f} times as fast in onnxruntime"

    def refuse(self, path: Path, min_psnr: float) -> None:
        """Raises ``WeightsError`` if it costs more than ``min_psnr`` allows, or is not faster."""
        if self.psnr < min_psnr:
            problem = f"{path} is not written: int8 is {self.psnr:.1f} dB from fp32, less than {min_psnr:g} dB"
            raise WeightsError(problem, cure=f"leave --int8 out, or give --min-psnr {int(self.psnr)}")
        if self.speedup <= 1:
            problem = f"{path} is not written: int8 is {self.speedup:.2f} times as fast as fp32 on this machine"
            raise WeightsError(problem, cure="leave --int8 out")


def quantise(content: bytes, source: Path, translator: Translator, interface: Interface) -> Quantised:
    """The ONNX file ``content``, made of the run ``source``, in int8.

    The first and the last convolution stay in fp32: they see the picture itself, and cost little.

    Raises:
        OptionError: ``source`` is no run, so its pictures are not known.
    """
    if not Run(source).exists:
        raise OptionError(f"{source} is no run, and --int8 is calibrated on its pictures", cure="give the run")
    split, way = Run(source).split(), translator.direction
    train, shown = split.train.along(way)[0], split.shown.along(way)[0]
    calibration = list(_inputs(train, NUM_CALIBRATION, translator, interface))
    quantised = _quantised(content, calibration)
    before, after = onnx_run(content), onnx_run(quantised)
    pictures = list(_inputs(shown, NUM_HELD_OUT, translator, interface))
    low, high = (-1.0, 1.0) if interface.raw else interface.target.limits
    errors = [np.mean(np.square(after(each).astype(np.float64) - before(each))) for each in pictures]
    psnrs = [MAX_PSNR if error == 0 else 10 * np.log10((high - low) ** 2 / error) for error in errors]
    held_out = len(split.test.along(way)[0]) > 0
    return Quantised(quantised, float(np.mean(psnrs)), held_out, _speedup(before, after, interface))


def _inputs(domain: Domain, number: int, translator: Translator, interface: Interface) -> Iterator[Array]:
    """Batches of one picture each, spread over ``domain``, as the file takes them."""
    pictures = Pictures(domain, translator.card, translator.encoding_in)
    for index in range(0, len(pictures), max(1, len(pictures) // number)):
        tensor, encoding = to_network(stack([pictures[index]])), interface.source
        yield tensor.numpy() if interface.raw else from_network(tensor, encoding.dtype, limits=encoding.limits)


def _quantised(content: bytes, calibration: Sequence[Array]) -> bytes:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(calibration)

        def get_next(self) -> dict[str, Array] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    convolutions = [node.name for node in onnx.load_from_string(content).graph.node if node.op_type == "Conv"]
    with tempfile.TemporaryDirectory() as folder, _no_warnings():
        given, made = Path(folder) / "given.onnx", Path(folder) / "made.onnx"
        given.write_bytes(content)
        quantize_static(
            given,
            made,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
        )
        return made.read_bytes()


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Context manager: onnxruntime's advice to programmers is not shown."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)


def _speedup(before: ExportedFunction, after: ExportedFunction, interface: Interface) -> float:
    """How many times as fast ``after`` is: the median of the ratios of all rounds."""
    picture = np.zeros(interface.shape(interface.source, 1, SIDE, SIDE), interface.dtype(interface.source))
    ratios = []
    for number in range(1 + ROUNDS):
        ends = [perf_counter()]
        for run in (before, after):
            run(picture)
            ends.append(perf_counter())
        if number:
            ratios.append((ends[1] - ends[0]) / (ends[2] - ends[1]))
    return median(ratios)
