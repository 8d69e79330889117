"""What both forms of the page are made of: the networks and the runtime."""

import gzip
from dataclasses import dataclass
from pathlib import Path

from diptych.model import ModelCard, load_model
from diptych.page.networks import PageNetwork, page_networks, refuse_unshowable
from diptych.page.runtime import find_runtime


@dataclass(frozen=True)
class Parts:
    """The parts of a page, by the names of their files."""

    card: ModelCard
    name: str
    """Of the run; empty if unknown."""
    networks: tuple[PageNetwork, ...]
    licence: str
    runtime: str
    """Version of ONNX Runtime Web."""
    scripts: dict[str, bytes]
    binaries: dict[str, bytes]
    """Compressed."""

    @property
    def loaded(self) -> int:
        """Bytes that a visitor loads to translate in the first direction with WebAssembly; the page's own are few."""
        first = f"{self.networks[0].direction}.bin"
        return len(self.scripts["wasm_script.js"]) + len(self.binaries["wasm_binary.bin"]) + len(self.binaries[first])


def collect_parts(
    source: Path, *, runtime: Path | None = None, name: str = "", licence: str = "", trust_code: bool = False
) -> Parts:
    """The parts of a page that translates with ``source``, a run or a model file.

    The page shows ``licence``, that of the model, and ``name``, that of the run, if its domains have none. ``runtime``:
    see ``find_runtime``. ``trust_code``: see ``load_model``.

    Raises:
        UserError: ``source`` cannot be read or exported, a browser cannot show its pictures, or the runtime is missing.
    """
    model = load_model(source, trust_code=trust_code)
    refuse_unshowable(model.card, source)
    found = find_runtime(runtime)
    networks = tuple(page_networks(model, source, licence=licence, trust_code=trust_code))
    binaries = {f"{each.direction}.bin": packed(each.content) for each in networks}
    binaries |= {f"{key}.bin": packed(content) for key, content in found.files.items() if key.endswith("binary")}
    scripts = {f"{key}.js": content for key, content in found.files.items() if key.endswith("script")}
    return Parts(model.card, name, networks, licence, found.version, scripts, binaries)


def packed(content: bytes) -> bytes:
    """``content`` compressed, since many hosts do not compress it: the page unpacks it. The same bytes each time."""
    return gzip.compress(content, 9, mtime=0)
