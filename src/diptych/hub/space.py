"""A Space: a machine of the Hub that shows the page of ``diptych serve``."""

import json
from importlib.metadata import distribution
from pathlib import Path

import diptych
from diptych import __version__

EXTRAS = ("app", "hub")
NEEDED = f"diptych[{','.join(EXTRAS)}]"
NOT_NEEDED = ("__pycache__", "pictures")
"""Folders of the package that the page does not use."""
APP = """from diptych.cli import main

main(["serve", "hf:{name}", "--host", "0.0.0.0"])
"""
README = """---
title: {title}
sdk: gradio
app_file: app.py
models:
- {name}
---

The page of [{name}](https://huggingface.co/{name}), served by diptych.
"""


def space_files(name: str) -> dict[str, bytes]:
    """The files of a Space for the model ``name``.

    It asks for the diptych that is installed here: the same version or address, if pip got it from an index or from an
    address. If it came from a folder or a file of this machine, the package itself goes along.
    """
    origin = _origin()
    is_local = origin.startswith("file:")
    texts = {
        "app.py": APP.format(name=name),
        "requirements.txt": "\n".join(_dependencies()) if is_local else origin or f"{NEEDED}=={__version__}",
        "README.md": README.format(name=name, title=name.partition("/")[2]),
    }
    return {file: f"{text.rstrip()}\n".encode() for file, text in texts.items()} | (_package() if is_local else {})


def _origin() -> str:
    """Where pip got this diptych from, as a requirement; empty for an index (PEP 610)."""
    known = json.loads(distribution("diptych").read_text("direct_url.json") or "{}")
    url, vcs = known.get("url", ""), known.get("vcs_info")
    if not url or url.startswith("file:"):
        return str(url)
    return f"{NEEDED} @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else f"{NEEDED} @ {url}"


def _dependencies() -> list[str]:
    """What diptych needs with ``EXTRAS``."""
    from packaging.requirements import Requirement

    found = map(Requirement, distribution("diptych").requires or [])
    wanted = [each for each in found if not each.marker or any(each.marker.evaluate({"extra": e}) for e in EXTRAS)]
    return sorted({f"{each.name}{each.specifier}" for each in wanted})


def _package() -> dict[str, bytes]:
    """The files of the package, for the folder ``diptych`` beside ``app.py``."""
    root = Path(diptych.__file__).parent
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and not {*path.parts} & {*NOT_NEEDED})
    return {f"diptych/{path.relative_to(root).as_posix()}": path.read_bytes() for path in files}
