"""``diptych serve``."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from diptych.cli.console import stderr_console
from diptych.cli.trust import TRUST_CODE
from diptych.config import DeviceName, InferenceEngine, Precision
from diptych.config.constraints import REQUIRED, NotNegative, Positive, argument, check_ranges, option, option_name
from diptych.errors import MissingExtraError, OptionError

MAX_PORT = 65535


@dataclass(frozen=True)
class Serve:
    """Open a web page that translates pictures with trained models.

    Needs the extra app. The page answers on this machine only, unless --host says otherwise. What is uploaded is
    deleted when its translation is written. Stop it with Ctrl-C.

    With --static, write a page that needs no server: it translates in the visitor's browser. Needs the extra export.

    For example:
      diptych serve runs/photos2paintings
      diptych serve runs/photos2paintings runs/photos2sketches --port 8000
      diptych serve runs/photos2paintings --static site
      diptych serve runs/photos2paintings --static page.html
    """

    models: tuple[Path, ...] = argument(
        REQUIRED, "Runs, their model.safetensors, hf:OWNER/NAME, or files of diptych export (.onnx, .xml).", "MODEL..."
    )
    host: str = option("127.0.0.1", "Address to answer on. 0.0.0.0 lets other machines in: there is no password.")
    port: NotNegative[int] = option(7860, "Port to answer on; 0 takes any that is free.")
    open: bool = option(False, "Open the page in the browser.")
    device: DeviceName = option("auto", "Device to compute on; auto tries CUDA, then MPS, then the CPU.")
    precision: Precision = option(
        "auto", "Arithmetic, as for diptych translate. Pictures of more than 8 bits always use fp32."
    )
    engine: InferenceEngine = option(
        "auto", "What computes the networks on a CPU; auto is the fastest that is installed, measured once."
    )
    max_mb: Positive[float] = option(32.0, "Largest file that is taken, in MB.")
    max_megapixels: Positive[float] = option(25.0, "Largest picture that is taken, in millions of pixels.")
    max_seconds: Positive[float] = option(120.0, "Longest time that one answer may take, predicted by its pixels.")
    max_files: Positive[int] = option(50, "Most pictures in one batch.")
    max_waiting: Positive[int] = option(64, "Most requests that wait; further ones are refused.")
    keep_minutes: Positive[float] = option(15.0, "How long a translation can be downloaded.")
    static: Path | None = option(
        None,
        "Instead of serving, write a page that translates in the visitor's browser: a new folder for any web server, "
        "or one file that ends in .html and opens from disk.",
        "DIR",
    )
    runtime: Path | None = option(
        None,
        "For --static: folder or .tgz of the npm package onnxruntime-web. By default npm downloads it once.",
        "FOLDER",
    )
    licence: str = option("", "Licence of the model, which the page shows. By default that which came with it.")
    trust_code: bool = option(False, TRUST_CODE)

    def __call__(self) -> int:
        if self.static is not None:
            return self._write_static(self.static)
        self._refuse_changed(("runtime",), "without --static")
        from importlib.util import find_spec

        check_ranges(self)
        if find_spec("gradio") is None:
            raise MissingExtraError("diptych serve", "app")
        from diptych.cli.console import tune_malloc
        from diptych.serve.limits import Limits
        from diptych.serve.models import load_models
        from diptych.serve.server import serve

        console = stderr_console()
        tune_malloc(self.device)
        catalogue = load_models(
            self.models,
            device=self.device,
            precision=self.precision,
            engine=self.engine,
            licence=self.licence,
            trust_code=self.trust_code,
            report=console.print,
        )
        limits = Limits(
            max_mb=self.max_mb,
            max_megapixels=self.max_megapixels,
            max_seconds=self.max_seconds,
            max_files=self.max_files,
            max_waiting=self.max_waiting,
            keep_minutes=self.keep_minutes,
        )
        serve(catalogue, limits, host=self.host, port=self.port, open_browser=self.open, report=console.print)
        return 0

    def _write_static(self, path: Path) -> int:
        from diptych.cli.static import write_static

        others = {field.name for field in fields(self)} - {"models", "static", "runtime", "licence", "trust_code"}
        self._refuse_changed(sorted(others), "with --static")
        return write_static(self.models, path, runtime=self.runtime, licence=self.licence, trust_code=self.trust_code)

    def _refuse_changed(self, names: Iterable[str], when: str) -> None:
        """Raises ``OptionError`` if an option of ``names``, which has no effect here, is not its default."""
        defaults = {field.name: field.default for field in fields(self)}
        for name in names:
            if getattr(self, name) != defaults[name]:
                raise OptionError(f"{option_name(name)} has no effect {when}", cure="leave it out")
