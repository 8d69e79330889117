"""``diptych demo``."""

import webbrowser
from dataclasses import dataclass, replace
from pathlib import Path

from diptych.config import LengthConfig, SourceConfig
from diptych.launcher import is_main
from diptych.presets import demo

SHORT_PICTURES = 96


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Train for some minutes on built-in pictures, and score it.

    Held-out pictures are translated and held against the truth.

    For example:
      diptych demo
      diptych demo --time 20m --run runs/longer-demo
    """

    run: Path = Path("runs/demo")
    """Folder of the run; the pictures are written beside it."""
    time: str | None = None
    """How long to train, such as 20m. By default 5m15s."""
    short: bool = False
    """Only a few updates: shows that everything works, and learns nothing."""
    open: bool = False
    """Show the report in the browser at the end."""

    def __call__(self) -> int:
        from diptych.demo.pictures import unpack
        from diptych.demo.show import describe, write_show
        from diptych.monitoring.progress import Terminal
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
        run = train(config, self.run, display=Terminal())
        if not is_main():
            return 0
        scores, picture = write_show(run)
        for direction, score in scores.items():
            print(describe(direction, score))
        print(f"look at {write_report(run)}, or at {picture} alone")
        print(f"try it: diptych translate {run.folder} INPUT OUTPUT")
        if self.open:
            webbrowser.open(run.report_file.resolve().as_uri())
        return 0
