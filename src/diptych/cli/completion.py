"""``diptych completion``."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

Shell = Literal["bash", "zsh", "fish"]


@dataclass(frozen=True)
class Completion:
    """Print a script that lets the shell complete commands, options, their values and files.

    Once, for good (make the folder if it is missing, and open a new shell):
      bash: diptych completion bash > ~/.local/share/bash-completion/completions/diptych
      zsh:  diptych completion zsh > ~/.zfunc/_diptych, and in ~/.zshrc, before compinit: fpath+=~/.zfunc
      fish: diptych completion fish > ~/.config/fish/completions/diptych.fish

    In this shell alone: eval "$(diptych completion bash)", or zsh; in fish: diptych completion fish | source

    For example:
      diptych completion bash
    """

    shell: Annotated[tyro.conf.Positional[Shell], tyro.conf.arg(metavar="SHELL")]
    """bash, zsh or fish."""

    def __call__(self) -> int:
        from diptych.cli import COMMANDS
        from diptych.cli.options import options_of, summary
        from diptych.cli.shells import SCRIPTS, Command
        from diptych.cli.train import Train, all_options

        commands = [
            Command(name, summary(kind), all_options() if kind is Train else options_of(kind))
            for name, kind in COMMANDS.items()
        ]
        print(SCRIPTS[self.shell](commands), end="")
        return 0
