"""Writes the page: a folder for any static host, or one file that opens from disk."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from diptych.atomic import atomic_write
from diptych.errors import OptionError, disk_errors
from diptych.page.html import html_of
from diptych.page.one_file import as_script, embedded, hash_policy
from diptych.page.parts import Parts, packed

ASSETS = files("diptych.page") / "assets"
MODULES = ("picture.js", "engine.js", "main.js")
"""In the order of their imports."""
NOTICE = "onnxruntime-web.txt"
"""The licence of the runtime, which travels with it."""
FOLDER_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Nothing inline, and no other address than the page's own."""


def is_one_file(path: Path) -> bool:
    """Whether ``path`` is to be one file."""
    return path.suffix.lower() in (".html", ".htm")


def refuse_existing(path: Path) -> None:
    """Raises ``OptionError`` if something is there that a page would overwrite. An empty folder is fine."""
    is_free_folder = path.is_dir() and not is_one_file(path) and not any(path.iterdir())
    if path.exists() and not is_free_folder:
        raise OptionError(f"{path} exists already", cure="give another name, or remove it")


def write_page(parts: Parts, path: Path) -> int:
    """Writes the page to ``path``: a file that ends in ``.html``, or a new or empty folder. Returns its size in bytes.

    Raises:
        OptionError: ``path`` exists already.
        UserError: it cannot be written.
    """
    refuse_existing(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return _write_file(parts, path) if is_one_file(path) else _write_folder(parts, path)


def _write_file(parts: Parts, path: Path) -> int:
    inside = {name: packed(content) for name, content in parts.scripts.items()} | parts.binaries
    inside["worker.js"] = _asset("worker.js")
    script, style = as_script([_asset(name).decode() for name in MODULES]), _asset("page.css").decode()
    page = html_of(
        parts,
        {name: {"id": name, "bytes": len(content)} for name, content in inside.items()},
        policy=hash_policy(script, style),
        style=f"<style>{style}</style>",
        script=f'<script type="module">{script}</script>',
        embedded=embedded(inside, texts={"worker.js"}) + f"<!--\n{_asset(NOTICE).decode()}-->",
    )
    with atomic_write(path) as temporary:
        temporary.write_bytes(page)
    return len(page)


def _write_folder(parts: Parts, path: Path) -> int:
    named = {name: _asset(name) for name in ("page.css", *MODULES, "worker.js", NOTICE)}
    contents = named | parts.scripts | parts.binaries
    contents["index.html"] = html_of(
        parts,
        {name: {"url": name, "bytes": len(content)} for name, content in contents.items()},
        policy=FOLDER_POLICY,
        style='<link rel="stylesheet" href="page.css">',
        script='<script type="module" src="main.js"></script>',
        offline="./sw.js",
    )
    contents["sw.js"] = _service_worker(contents)
    was_there = path.is_dir()
    try:
        path.mkdir(exist_ok=True)
        for name, content in contents.items():
            (path / name).write_bytes(content)
    except BaseException:
        for name in contents:
            (path / name).unlink(missing_ok=True)
        if not was_there:
            shutil.rmtree(path, ignore_errors=True)
        raise
    return sum(map(len, contents.values()))


def _service_worker(contents: Mapping[str, bytes]) -> bytes:
    """The service worker, which keeps ``contents`` but the runtime with WebGPU: few browsers need it."""
    each = b"".join(hashlib.sha256(content).digest() for content in contents.values())
    kept = ["./", *(name for name in contents if not name.startswith("gpu_"))]
    name = f"diptych-{hashlib.sha256(each).hexdigest()[:16]}"
    text = Template(_asset("sw.js").decode()).substitute(name=name, files=json.dumps(kept), policy=FOLDER_POLICY)
    return text.encode()


def _asset(name: str) -> bytes:
    return (ASSETS / name).read_bytes()
