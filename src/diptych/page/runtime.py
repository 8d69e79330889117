"""ONNX Runtime Web: where its files come from. They are not part of diptych: npm has them (MIT licence)."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diptych.atomic import atomic_write
from diptych.errors import OptionError, disk_errors, first_line

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the package as npm delivers it, in base64."""
FILES = {
    "wasm_script": "ort.wasm.bundle.min.mjs",
    "wasm_binary": "ort-wasm-simd-threaded.wasm",
    "gpu_script": "ort.jspi.bundle.min.mjs",
    "gpu_binary": "ort-wasm-simd-threaded.jspi.wasm",
}
"""Two builds: the smallest, for WebAssembly, and the smallest with WebGPU, for browsers that can wait for a promise
inside of WebAssembly."""
PATIENCE = 600
"""Seconds that npm may take."""


@dataclass(frozen=True)
class Runtime:
    """The files by the keys of ``FILES``, and the version of their package."""

    files: dict[str, bytes]
    version: str


def find_runtime(given: Path | None) -> Runtime:
    """The runtime in ``given``: the folder of its package (``node_modules/onnxruntime-web``), or the ``.tgz`` that
    ``npm pack`` writes. By default the package in the cache of this user; npm downloads it the first time.

    Raises:
        OptionError: ``given`` is neither, or the package cannot be downloaded.
    """
    source = given or _cached()
    try:
        if source.is_dir():
            return _read(lambda name: (source / name).read_bytes())
        with tarfile.open(source) as package:
            return _read(lambda name: _member(package, f"package/{name}"))
    except (OSError, EOFError, ValueError, KeyError, tarfile.TarError, zlib.error) as error:
        problem = f"{source} is not a whole package {PACKAGE} ({first_line(error)})"
        raise OptionError(problem, cure=f"give the folder or the .tgz of {PACKAGE}, version {VERSION}") from None


def _read(read: Callable[[str], bytes]) -> Runtime:
    files = {key: read(f"dist/{name}") for key, name in FILES.items()}
    return Runtime(files, str(json.loads(read("package.json"))["version"]))


def _member(package: tarfile.TarFile, name: str) -> bytes:
    """A file of the package, which is not unpacked to the disk."""
    file = package.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def _cached() -> Path:
    """The package in the cache. The first time, npm downloads it, and its checksum must be the expected one."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diptych"
    file = folder / f"{PACKAGE}-{VERSION}.tgz"
    if file.is_file() and checksum(file) == SHA512:
        return file
    npm = shutil.which("npm")
    if npm is None:
        problem = f"the page needs {PACKAGE} {VERSION}, and npm is not installed"
        raise OptionError(problem, cure="install npm, or give the package with --runtime")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", downloads]
        try:
            done = subprocess.run(command, cwd=downloads, capture_output=True, text=True, timeout=PATIENCE, check=False)
            reason = (done.stderr.strip().splitlines() or ["no package came"])[0]
        except subprocess.TimeoutExpired:
            reason = f"no answer in {PATIENCE} seconds"
        downloaded = Path(downloads) / file.name
        if not downloaded.is_file():
            problem = f"npm cannot download {PACKAGE} {VERSION} ({reason})"
            raise OptionError(problem, cure="connect to the network, or give the package with --runtime")
        if checksum(downloaded) != SHA512:
            problem = f"npm delivered {PACKAGE} {VERSION} with another checksum than its makers published"
            raise OptionError(problem, cure="try another network, or give the package with --runtime")
        with disk_errors(file), atomic_write(file) as temporary:
            shutil.copyfile(downloaded, temporary)
    return file


def checksum(file: Path) -> str:
    """SHA-512 of ``file`` in base64, as npm writes it."""
    with file.open("rb") as opened:
        return base64.b64encode(hashlib.file_digest(opened, "sha512").digest()).decode()
