"""Completion in real shells: what pressing Tab gives. CI installs the shells."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diptych.cli import COMMANDS
from diptych.cli.completion import candidates
from diptych.cli.options import options_of

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--interactive"],
}
LOAD = {
    "bash": "source {}/_diptych",
    "zsh": "autoload -Uz compinit; compinit -D -u; source {}/_diptych",
    "zsh from fpath": "fpath+={}; autoload -Uz compinit; compinit -D -u",
    "fish": "source {}/_diptych",
}
"""How the script is loaded, by the name of the shell and more."""
ECHO = {
    "bash": "diptych() { echo \"ha''s: $*\"; }",
    "zsh": "diptych() { echo \"ha''s: $*\"; }",
    "fish": "function diptych; echo \"ha''s: $argv\"; end",
}
"""A stand-in that shows what it was called with. Its words differ from what the terminal echoes as it is typed."""


KEYS = {
    "transl\t": "translate",
    "train photog\t": "train photographs",
    "train --root photog\t": "train --root photographs",
    "translate --dir\tb\t": "translate --direction b2a",
    "train --gan-loss=le\t": "train --gan-loss least-squares",
    "train --generator.num-b\t": "train --generator.num-blocks",
    "train a b --no-fl\t": "train a b --no-flip",
    "train --help-\t": "train --help-all",
    "completion f\t": "completion fish",
    "train --generator unet --generator.num-l\t": "train --generator unet --generator.num-levels",
}


class Terminal:
    """A shell in a terminal, to type into."""

    def __init__(self, way, script, folder):
        (folder / "home").mkdir()
        (folder / "bin").mkdir()
        command = folder / "bin" / "diptych"  # which the script asks
        command.write_text(
            f"#!/bin/sh\nPYTHONPATH='{os.environ.get('PYTHONPATH', '')}' exec {sys.executable} -m diptych \"$@\"\n"
        )
        command.chmod(0o755)
        self.process, self.screen = pty.fork()
        if self.process == 0:
            environment = {
                "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
                "TERM": "dumb",
                "HOME": str(folder / "home"),
                "LC_ALL": "C.UTF-8",
            }
            os.chdir(folder)
            shell = START[way.split()[0]]
            os.execvpe(shell[0], shell, environment)
        self.type(f"{LOAD[way].format(script.parent)}\r")
        self.type(f"{ECHO[way.split()[0]]}\r")
        self.type("diptych ready\r", until="ha''s: ready")

    def type(self, keys, until=""):
        """What is shown after ``keys``, within some seconds, up to a line that begins with ``until``."""
        os.write(self.screen, keys.encode())
        shown, deadline = "", time.monotonic() + (20 if until else 0.5)
        while time.monotonic() < deadline and not (until and until in shown):
            if select.select([self.screen], [], [], 0.1)[0]:
                shown += os.read(self.screen, 65536).decode(errors="replace")
        return shown

    def close(self):
        os.kill(self.process, 9)
        os.waitpid(self.process, 0)
        os.close(self.screen)


def completion(shell):
    return subprocess.run(
        [sys.executable, "-m", "diptych", "completion", shell], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("way", list(LOAD))
def test_tab_completes(way, tmp_path):
    shell = way.split()[0]
    if not shutil.which(shell):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{shell} is missing: apt-get install {shell}")
    script = tmp_path / "functions" / "_diptych"
    script.parent.mkdir()
    script.write_text(completion(shell))
    (tmp_path / "photographs").mkdir()
    terminal = Terminal(way, script, tmp_path)
    try:
        for keys, words in KEYS.items():
            shown = terminal.type(f"diptych {keys}\r", until="ha''s: ")
            said = shown[shown.index("ha''s: ") :].splitlines()[0].replace("/", "").replace("=", " ")
            assert said == f"ha''s: {words}", shown  # zsh takes the slash away again, and joins a value by =
    finally:
        terminal.close()


def names_after(*words):
    return {name for name, _ in candidates(words)}


def test_every_command_and_option_is_completed():
    assert set(COMMANDS) < names_after("")
    for command, kind in COMMANDS.items():
        default = kind.defaults({}) if command == "train" else None
        expected = {name for option in options_of(kind, default) if not option.is_argument for name in option.names} | {
            "--help",
            "--help-all",
            "--debug",
        }
        assert names_after(command, "--") == expected


def test_the_options_of_what_was_chosen_are_completed():
    assert "--generator.num-levels" in names_after("train", "--generator", "unet", "--")
    assert "--generator.num-blocks" not in names_after("train", "--generator", "unet", "--")
    assert "--lambda-l1" in names_after("train", "--method=pix2pix", "--lambda")
    assert names_after("train", "--frobnicate", "--generator.num-b") == {"--generator.num-blocks"}


@pytest.mark.parametrize("shell", list(START))
def test_the_script_names_no_path_of_this_machine(shell):
    assert str(Path.home()) not in completion(shell)
    assert sys.prefix not in completion(shell)
