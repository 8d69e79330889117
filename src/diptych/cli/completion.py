"""``diptych completion``: scripts for bash, zsh and fish, which call this command for the completions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from diptych.cli.options import Option, options_of, summary
from diptych.cli.parser import DEBUG, HELP, HELP_ALL, scan
from diptych.config.constraints import REQUIRED, argument
from diptych.errors import UserError

Shell = Literal["bash", "zsh", "fish"]
FILES = ":files"
"""Tells the shell to complete names of files."""
SCRIPTS: dict[Shell, str] = {
    "bash": r"""
_diptych() {
    local IFS=$'\n' current="${COMP_WORDS[COMP_CWORD]}" found
    found="$(command diptych completion bash -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)"
    [ "$current" = "=" ] && current=""  # bash splits --option=value at the equals sign
    if [ "$found" = ":files" ]; then
        compopt -o filenames 2>/dev/null  # bash 3.2 has no compopt
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$found" -- "$current"))
    fi
}
complete -F _diptych diptych
""",
    "zsh": r"""#compdef diptych
_diptych() {
    local -a found
    found=("${(@f)$(command diptych completion zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ $found[1] = :files ]]; then
        compset -P '*='
        _files
    else
        _describe diptych found
    fi
}
if [ "$funcstack[1]" = _diptych ]; then
    _diptych "$@"
else
    compdef _diptych diptych
fi
""",
    "fish": r"""
function __diptych_complete
    set -l current (commandline -ct)
    set -l found (command diptych completion fish -- (commandline -opc)[2..-1] "$current" 2>/dev/null)
    if test "$found" = ":files"
        __fish_complete_path "$current"
    else
        printf '%s\n' $found
    end
end
complete -c diptych -f -a '(__diptych_complete)'
""",
}


@dataclass(frozen=True)
class Completion:
    """Print a script that completes commands, options and values in a shell.

    To load it in every new shell, write it to this file (mkdir -p its folder first)
      bash  ~/.local/share/bash-completion/completions/diptych
      zsh   ~/.zfunc/_diptych, with fpath+=~/.zfunc before compinit in ~/.zshrc
      fish  ~/.config/fish/completions/diptych.fish

    To load it in this shell only
      bash  eval "$(diptych completion bash)"
      zsh   eval "$(diptych completion zsh)"
      fish  diptych completion fish | source

    For example:
      diptych completion bash
    """

    shell: Shell = argument(REQUIRED, "bash, zsh or fish.", "SHELL")
    words: tuple[str, ...] = argument(
        (), "Print the completions of these words instead. The script uses this.", "[WORD...]"
    )

    def __call__(self) -> int:
        if not self.words:
            print(SCRIPTS[self.shell].lstrip("\n"), end="")
            return 0
        separator = {"bash": None, "zsh": ":", "fish": "\t"}[self.shell]
        for name, about in candidates(self.words):
            print(f"{name}{separator}{about}" if separator and about else name)
        return 0


def candidates(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The possible values of the last of ``words``, each with a short explanation."""
    from diptych.cli import COMMANDS

    *before, current = [word for word in words if word != "="] + ([""] if words[-1] == "=" else [])
    if not before:
        found = [(name, summary(kind)) for name, kind in COMMANDS.items()]
        found += [(HELP, "show the commands"), ("--version", "show the version"), (DEBUG, "show tracebacks")]
    elif before[0] in COMMANDS:
        found = list(_after_command(before[0], COMMANDS[before[0]], before[1:], current))
    else:
        found = []
    yield from (each for each in found if each[0] == FILES or each[0].startswith(current))


def _after_command(command: str, kind: type[Any], before: Sequence[str], current: str) -> Iterator[tuple[str, str]]:
    options = _options(command, kind, before)
    known = {name: option for option in options for name in option.names}
    name, equals, _ = current.partition("=")
    chosen = known.get(name if equals else before[-1] if before else "")
    if chosen is not None and chosen.type is not bool:
        yield from _values(chosen, f"{name}=" if equals else "")
    elif current.startswith("-"):
        yield from ((name, _brief(option, name)) for name, option in known.items() if name.startswith("--"))
        yield HELP, "show the help"
        yield HELP_ALL, "show all options"
        yield DEBUG, "show the traceback of an error"
    else:
        choices = [option for option in options if option.is_argument and option.choices]
        yield from _values(choices[0], "") if choices else [(FILES, "")]


def _options(command: str, kind: type[Any], words: Sequence[str]) -> list[Option]:
    """The options of the command after ``words``, which may hold mistakes or lack the last value."""
    for end in (len(words), len(words) - 1):
        try:
            given = scan(command, kind, words[:end])
            return options_of(kind, kind.defaults(given.values) if hasattr(kind, "defaults") else None)
        except UserError:
            continue
    return options_of(kind)


def _values(option: Option, before: str) -> Iterator[tuple[str, str]]:
    if option.choices:
        yield from ((f"{before}{choice}", "") for choice in option.choices)
    elif option.type is Path:
        yield FILES, ""


def _brief(option: Option, name: str) -> str:
    """The first sentence of the help."""
    first = option.help.partition(". ")[0].rstrip(".")
    return f"Not: {first}" if name == option.opposite else first
