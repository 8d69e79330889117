"""``diptych completion``."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

Shell = Literal["bash", "zsh", "fish"]


@dataclass(frozen=True)
class Completion:
    """Print a script by which the shell completes commands and options.

    To have it in every new shell, write it (after mkdir -p of its folder) to
      bash  ~/.local/share/bash-completion/completions/diptych
      zsh   ~/.zfunc/_diptych, with fpath+=~/.zfunc before compinit in ~/.zshrc
      fish  ~/.config/fish/completions/diptych.fish

    To have it in this shell alone
      bash  eval "$(diptych completion bash)"
      zsh   eval "$(diptych completion zsh)"
      fish  diptych completion fish | source

    For example:
      diptych completion bash
    """

    shell: Annotated[tyro.conf.Positional[Shell], tyro.conf.arg(metavar="SHELL")]
    """bash, zsh or fish."""

    def __call__(self) -> int:
        from diptych.cli import COMMANDS
        from diptych.cli.help import HELP, HELP_ALL, common_of
        from diptych.cli.options import options_of, summary
        from diptych.cli.shells import SCRIPTS, Command
        from diptych.cli.train import Train, all_options

        commands = [
            Command(
                name,
                summary(kind),
                options=all_options() if kind is Train else options_of(kind),
                helps=(HELP, HELP_ALL) if common_of(kind) else (HELP,),
            )
            for name, kind in COMMANDS.items()
        ]
        print(SCRIPTS[self.shell](commands), end="")
        return 0
