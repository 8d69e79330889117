"""The Python in the README and the documentation runs, as it stands and in the order in which it stands."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import BLUE, ORANGE, square
from diptych.config import LengthConfig, SourceConfig
from diptych.losses import DISCRIMINATOR_LOSSES
from diptych.networks import GENERATORS
from diptych.training.loop import train
from test_training import TINY

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document):
    return re.findall(r"^```python\n(.*?)^```", document.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """What the documentation speaks of: two folders of pictures, a run on them, and a picture to translate."""
    monkeypatch.chdir(tmp_path)
    for folder, colour in (("photos", ORANGE), ("paintings", BLUE)):
        Path(folder).mkdir()
        for index in range(4):
            square(index, colour).save(f"{folder}/{index}.png")
    square(9, ORANGE).save("holiday.jpg")
    Path("mixed").mkdir()
    for name in ("day1", "day2", "night1"):
        square(1, BLUE).save(f"mixed/{name}.png")
    source = SourceConfig(a=Path("photos"), b=Path("paintings"))
    train(replace(TINY, source=source, length=LengthConfig(pictures=2)), Path("runs/photos2paintings"))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d)], ids=lambda path: path.name)
def test_python_in_the_documentation_runs(document, desk):
    namespace = {"__name__": "documentation"}
    known = [dict(DISCRIMINATOR_LOSSES), dict(GENERATORS)]
    try:
        for block in blocks(document):
            exec(compile(block, str(document), "exec"), namespace)
    finally:
        for registry, before in zip((DISCRIMINATOR_LOSSES, GENERATORS), known, strict=True):
            registry.clear()
            registry.update(before)


def test_links_between_documents_lead_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), (document.name, target)


def test_the_map_of_the_source_names_what_there_is():
    text = (ROOT / "README.md").read_text()
    package = ROOT / "src" / "diptych"
    for path in package.iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if not name.startswith("__") and name != "py.typed":
            assert name in text, name
    assert len(text.splitlines()) <= 200
