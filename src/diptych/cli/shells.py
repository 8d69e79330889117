"""What bash, zsh and fish are told, so that they complete commands, options, values and files by themselves.

The scripts hold all there is to complete and start no process: a key is answered at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diptych.cli.help import HELP, HELP_ALL
from diptych.cli.mistakes import option_names
from diptych.cli.options import Option

ABOUT_HELP = {HELP: "its options", HELP_ALL: "all its options"}


@dataclass(frozen=True)
class Command:
    """What there is to complete after the name of a command."""

    name: str
    summary: str
    options: list[Option]
    helps: tuple[str, ...]

    @property
    def arguments(self) -> list[Option]:
        return [option for option in self.options if option.is_argument]

    @property
    def named(self) -> list[Option]:
        return [option for option in self.options if not option.is_argument]


def bash(commands: Sequence[Command]) -> str:
    """For bash 3.2 or newer, with or without the package bash-completion."""
    values, words, arguments = [], [], []
    for command in commands:
        names = [name for option in command.named for name in option_names(option)]
        words.append(f'        {command.name}) words="{" ".join([*names, *command.helps])}" ;;')
        for option in command.named:
            if option.kind == "switch":
                continue
            action = "files=1" if option.kind == "path" else f'words="{" ".join(option.choices)}"'
            values.append(f"        {command.name}:{option.name}) {action}; return ;;")
        arguments += [
            f'        {command.name}) words="{" ".join(argument.choices)}"; return ;;'
            for argument in command.arguments
            if argument.choices
        ]
    return f"""# bash completion for diptych: written by diptych completion bash
_diptych_words() {{
    words="" files=0
    local command="${{COMP_WORDS[1]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{" ".join([*(command.name for command in commands), HELP, "--version"])}"
        return
    fi
    case "$command:$1" in
{_lines(values)}
    esac
    if [ "${{2:0:1}}" != - ]; then
        case "$command" in
{_lines(arguments)}
        *) files=1; return ;;
        esac
    fi
    case "$command" in
{_lines(words)}
    esac
}}
_diptych() {{
    local words files current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
    if [ "$current" = "=" ]; then  # bash takes --option=value apart
        current=""
    elif [ "$previous" = "=" ]; then
        previous="${{COMP_WORDS[COMP_CWORD-2]}}"
    fi
    _diptych_words "$previous" "$current"
    COMPREPLY=()
    if [ "$files" = 1 ]; then
        compopt -o filenames 2>/dev/null
        local IFS=$'\\n'
        COMPREPLY=($(compgen -f -- "$current"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}}
complete -F _diptych diptych
"""


def zsh(commands: Sequence[Command]) -> str:
    """For zsh 5 or newer."""
    cases = []
    for command in commands:
        specs = [spec for option in command.named for spec in _zsh_specs(option)]
        specs += [f"'*:{each.name}:{_zsh_action(each)}'" for each in command.arguments if each.is_repeated]
        specs += [
            f"'{place}:{each.name}:{_zsh_action(each)}'"
            for place, each in enumerate(command.arguments, start=1)
            if not each.is_repeated
        ]
        listed = " \\\n            ".join([*(f"'{name}[show {ABOUT_HELP[name]}]'" for name in command.helps), *specs])
        cases.append(f"        {command.name})\n            _arguments -S \\\n            {listed} ;;")
    names = "\n".join(f"        {_single(f'{command.name}:{command.summary}')}" for command in commands)
    return f"""#compdef diptych
# zsh completion for diptych: written by diptych completion zsh
_diptych() {{
    local curcontext="$curcontext" state line
    local -a commands
    commands=(
{names}
    )
    _arguments -C '--help[show the commands]' '--version[show the version]' '1: :->command' '*:: :->rest'
    case $state in
    command) _describe command commands ;;
    rest)
        case $words[1] in
{_lines(cases)}
        esac ;;
    esac
}}
if [ "$funcstack[1]" = _diptych ]; then
    _diptych "$@"
else
    compdef _diptych diptych
fi
"""


def fish(commands: Sequence[Command]) -> str:
    """For fish 3 or newer."""
    lines = ["# fish completion for diptych: written by diptych completion fish", "complete -c diptych -f"]
    none = "-n __fish_use_subcommand"
    lines += [
        f"complete -c diptych {none} -l version -d 'show the version'",
        f"complete -c diptych {none} -l help -d 'show the commands'",
    ]
    for command in commands:
        lines.append(f"complete -c diptych {none} -a {command.name} -d {_single(command.summary)}")
        seen = f"-n '__fish_seen_subcommand_from {command.name}'"
        for option in command.named:
            takes = "" if option.kind == "switch" else " -r -F" if option.kind == "path" else " -x"
            choices = f" -a {_single(' '.join(option.choices))}" if option.choices else ""
            for name in option_names(option):
                long = f"-l {name.removeprefix('--')}{takes}{choices}"
                lines.append(f"complete -c diptych {seen} {long} -d {_single(_short(option, name))}")
        lines += [
            f"complete -c diptych {seen} -l {name.removeprefix('--')} -d 'show {ABOUT_HELP[name]}'"
            for name in command.helps
        ]
        for argument in command.arguments:
            action = f"-a {_single(' '.join(argument.choices))}" if argument.choices else "-F"
            lines.append(f"complete -c diptych {seen} {action}")
    return "\n".join(lines) + "\n"


SCRIPTS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def _zsh_specs(option: Option) -> list[str]:
    for_zsh = str.maketrans({"[": "(", "]": ")", ":": r"\:"})
    return [
        _single(f"{name}[{_short(option, name).translate(for_zsh)}]")
        if option.kind == "switch"
        else _single(f"{name}=[{_short(option, name).translate(for_zsh)}]:{option.metavar}:{_zsh_action(option)}")
        for name in option_names(option)
    ]


def _zsh_action(option: Option) -> str:
    if option.choices:
        return f"({' '.join(option.choices)})"
    return "_files" if option.kind == "path" else " "


def _short(option: Option, name: str) -> str:
    """The first sentence about an option, under this name of it."""
    first = option.about.partition(". ")[0].rstrip(".")
    return f"Not: {first}" if name == option.opposite else first


def _single(text: str) -> str:
    """``text`` in single quotes, in which a straight one cannot stand."""
    return "'" + text.replace("'", "’") + "'"


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines)
