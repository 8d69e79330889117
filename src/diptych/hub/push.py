"""Uploads a model to the Hugging Face Hub."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from diptych.errors import OptionError
from diptych.hub.card import check_licence, model_card
from diptych.hub.examples import EXAMPLES, write_examples
from diptych.hub.facts import FACTS_FILE, facts_of
from diptych.hub.space import space_files
from diptych.inference.exported_model import is_exported
from diptych.model import model_file
from diptych.remote import hub_api, hub_errors
from diptych.run import Run

MODEL = "model.safetensors"


def push(
    path: Path,
    name: str,
    *,
    licence: str | None,
    private: bool = False,
    space: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> str:
    """Uploads the run or model file ``path`` as ``name``: the model, its card, its facts, examples and samples.

    Returns its address. If it was interrupted, call it again: what has arrived is not sent again. ``space`` also makes
    a Space of the same name.

    Raises:
        UserError: ``path`` has no model, there is no licence, or the Hub refuses.
    """
    if is_exported(path):
        raise OptionError(f"{path} is an exported file", cure="give the run, or its model.safetensors")
    licence, api = check_licence(licence), hub_api(name)
    with tempfile.TemporaryDirectory(prefix="diptych-push-") as temporary:
        folder = Path(temporary)
        write_files(path, folder, name, licence)
        files = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
        report(f"{len(files)} files, {sum(file.stat().st_size for file in files.values()) / 1e6:.1f} MB")
        address = _upload(api, name, files, private=private)
    if space:
        page = _upload(api, name, space_files(name), private=private, repo_type="space", space_sdk="gradio")
        report(f"Space: {page}")
    return address


def write_files(path: Path, folder: Path, name: str, licence: str) -> None:
    """Writes what is uploaded of ``path`` into ``folder``."""
    facts = replace(facts_of(path), name=name.partition("/")[2], licence=licence)
    shutil.copy(model_file(path), folder / MODEL)
    (folder / EXAMPLES).mkdir()
    write_examples(path, folder / EXAMPLES)
    grids = sorted(Run(path).samples.glob("[0-9]*.png"))
    if grids:
        shutil.copy(grids[-1], folder / "samples.png")
    (folder / FACTS_FILE).write_text(facts.to_json(), encoding="utf-8")
    (folder / "README.md").write_text(model_card(facts, name, has_samples=bool(grids)), encoding="utf-8")


def _upload(
    api: Any, name: str, files: Mapping[str, Path | bytes], *, private: bool, repo_type: str = "model", **created: str
) -> str:
    """Makes the repository if there is none, and replaces ``files`` in one commit. Returns its address."""
    from huggingface_hub import CommitOperationAdd

    with hub_errors(name):
        address = api.create_repo(name, repo_type=repo_type, private=private, exist_ok=True, **created)
        operations = [CommitOperationAdd(file, content) for file, content in files.items()]
        api.create_commit(name, operations, commit_message="Upload from diptych", repo_type=repo_type)
    return str(address)
