"""Processes of ``python ARGUMENTS``, forked from one that has imported torch.

Each starts with torch and PIL in memory and imports diptych itself. That saves 4 s of processor time each. Where a test is
about starting Python (launchers, shells, PYTHONPATH, what is imported), use ``subprocess``.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["torch._dynamo", "torch.nn.parallel", "torch.distributed", "PIL.Image", "rich.progress", "safetensors.torch"]
)


class Process:
    """Starts ``python ARGUMENTS`` (``-m MODULE``, ``-c CODE`` or a file). Has the methods of ``subprocess.Popen``."""

    def __init__(self, arguments: Sequence[object], *, env: Mapping[str, str] | None = None, cwd: Path | None = None):
        (out, child_out), (err, child_err) = (_CONTEXT.Pipe(duplex=False) for _ in range(2))
        state = [*map(str, arguments)], dict(env or os.environ), cwd or Path.cwd(), child_out, child_err
        self._process = _CONTEXT.Process(target=_run, args=state, daemon=True)
        self._process.start()
        for pipe in (child_out, child_err):
            pipe.close()
        self._readers = ThreadPoolExecutor(2)  # both at once: a process waits while a pipe is full
        self._written = [self._readers.submit(_read, pipe) for pipe in (out, err)]
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for its end. Returns what it has written to the standard output and error."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        self._readers.shutdown()
        out, err = (written.result() for written in self._written)
        return out, err

    def wait(self, timeout: float | None = None) -> int:
        self.communicate(timeout)
        return self.returncode


def run_python(
    arguments: Sequence[object], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs ``python ARGUMENTS`` to its end. With ``check``, asserts that it succeeds."""
    process = Process(arguments, env=env, cwd=cwd)
    out, err = process.communicate()
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess([*map(str, arguments)], process.returncode, out, err)


def _read(pipe: Connection) -> str:
    with pipe, open(pipe.fileno(), closefd=False) as stream:
        return stream.read()


def _run(arguments: list[str], env: dict[str, str], cwd: Path, out: Connection, err: Connection) -> None:
    """What the forked process does: as the interpreter does with its arguments."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for pipe, descriptor in ((out, 1), (err, 2)):
        os.dup2(pipe.fileno(), descriptor)
        pipe.close()
    option, *rest = arguments
    if option == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif option == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(option).parent))
        runpy.run_path(option, run_name="__main__")
