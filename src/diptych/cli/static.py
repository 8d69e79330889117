"""``diptych serve --static``: a page that needs no server."""

from collections.abc import Sequence
from pathlib import Path

from diptych.cli.console import stderr_console
from diptych.errors import OptionError


def write_static(models: Sequence[Path], path: Path, *, runtime: Path | None, licence: str, trust_code: bool) -> int:
    """Writes the page for the only one of ``models`` to ``path``, and prints what it holds.

    Raises:
        OptionError: there are several models, or ``path`` exists already.
        UserError: see ``collect_parts`` and ``write_page``.
    """
    from diptych.hub.facts import facts_of
    from diptych.inference.exported_model import is_exported
    from diptych.page.page import is_one_file, refuse_existing, write_page
    from diptych.page.parts import collect_parts
    from diptych.remote import local

    if len(models) > 1:
        raise OptionError(
            f"--static writes the page of one run, and {len(models)} are given", cure="give one at a time"
        )
    refuse_existing(path)
    model = local(models[0])
    if is_exported(model):
        raise OptionError(f"{model} is an exported file", cure="give the run, or its model.safetensors")
    facts = facts_of(model)
    parts = collect_parts(
        model, runtime=runtime, name=facts.name, licence=licence or facts.licence, trust_code=trust_code
    )
    written = write_page(parts, path)
    console = stderr_console()
    for network in parts.networks:
        weights = "fp16" if network.half else "fp32"
        console.print(f"{network.direction}: {network.source} to {network.target}, weights in {weights}")
        console.print(f"largest difference from PyTorch: {network.difference}")
    if is_one_file(path):
        console.print(f"{written / 1e6:.1f} MB in one file: double-click it, or send it to somebody")
    else:
        console.print(f"{written / 1e6:.1f} MB, of which a visitor loads {parts.loaded / 1e6:.1f} MB")
        console.print(f"copy the folder to any web server; to try it here: python3 -m http.server --directory {path}")
    print(path)
    return 0
