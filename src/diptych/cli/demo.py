"""``diptych demo``."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from diptych.cli.console import tune_malloc
from diptych.config import LengthConfig, SourceConfig
from diptych.config.constraints import option
from diptych.launcher import is_main
from diptych.presets import demo

SHORT_PICTURES = 96


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Train for some minutes on built-in pictures, and score the result.

    Emoji become neon signs, and neon signs become emoji. Held-out pictures are translated and compared with the truth.

    For example:
      diptych demo
      diptych demo --time 1m
      diptych demo --time 20m --run runs/longer-demo
    """

    run: Path = option(Path("runs/demo"), "Folder of the run; the pictures are written beside it.")
    time: str | None = option(None, "Time that everything may take, such as 20m. By default 5m15s.", "TIME")
    short: bool = option(False, "Train only a few updates: tests that everything works, and learns nothing.")
    open: bool = option(False, "Open the report in the browser at the end.")

    def __call__(self) -> int:
        started = time.monotonic()
        from diptych.demo.pictures import unpack
        from diptych.demo.show import COST, describe, score_and_draw
        from diptych.monitoring.progress import Terminal
        from diptych.parallel import halved_threads
        from diptych.report.report import write_report
        from diptych.training.loop import train

        pictures = self.run.with_name(f"{self.run.name}-pictures")
        if is_main():
            unpack(pictures)
        config = replace(demo(), source=SourceConfig(root=pictures))
        if self.short:
            config = replace(config, length=LengthConfig(pictures=SHORT_PICTURES))
        elif self.time is not None:
            config = replace(config, length=LengthConfig(time=self.time))
        tune_malloc(config.engine.device)
        run = train(config, self.run, display=Terminal(), started=started, afterwards=COST)
        if not is_main():
            return 0
        with halved_threads():  # as training: on all cores, it might wait for a busy one
            scores, picture = score_and_draw(run)
        for direction, score in scores.items():
            print(describe(direction, score))
        print(f"look at {write_report(run)}, or at {picture} alone")
        print(f"try it: diptych translate {run.folder} INPUT OUTPUT")
        print(f"open it in a browser: diptych serve {run.folder}")
        if self.open:
            import webbrowser

            webbrowser.open(run.report_file.resolve().as_uri())
        return 0
