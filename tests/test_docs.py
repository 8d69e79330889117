"""The README and the documentation: their Python runs, their commands work, their links have targets."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from diptych import registry
from diptych.cli import COMMANDS, main, parse
from diptych.cli.train import Train
from diptych.config import LengthConfig, SourceConfig
from diptych.data.survey import Survey
from diptych.interop import export_original
from diptych.losses import DISCRIMINATOR_LOSSES
from diptych.pair import Pair
from diptych.run import Run
from diptych.training.loop import train
from diptych.training.plan.defaults import resolve
from diptych.training.plan.recipe import with_recipe
from helpers.runs import TINY
from helpers.squares import BLUE, ORANGE, square

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```\n", flags=re.MULTILINE | re.DOTALL)


def name_of(path):
    return path.name


IN_FILE = re.compile(r"# (\S+\.py)\n")
"""The first line of a code block that belongs in a file: its name."""


def blocks_in(document):
    return [code for language, code in FENCED.findall(document.read_text()) if language == "python"]


def python_in(document):
    return [code for code in blocks_in(document) if not IN_FILE.match(code)]


def write_files_of(document, folder):
    """Writes the blocks of code that belong into files."""
    for code in blocks_in(document):
        if name := IN_FILE.match(code):
            file = folder / name[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code)


def commands_in(document):
    """The diptych commands in code blocks, without the comments beside them."""
    text = FENCED.sub(lambda block: block[2] if block[1] in ("", "sh") else "", document.read_text())
    lines = re.sub(r"\\\n\s+", "", text).splitlines()
    found = (re.match(r"(?:    )?(?:pip install .* && )?(diptych .*)", line) for line in lines)
    return [re.split(r"\s{3,}", match[1].strip())[0] for match in found if match]


def spans_in(document):
    """Inline code in sentences and tables."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCED.sub("", document.read_text()))


COMMANDS_IN_DOCUMENTS = sorted({(d.name, command) for d in DOCUMENTS for command in commands_in(d)})
README_COMMANDS = commands_in(ROOT / "README.md")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """What the documentation speaks of: two folders of pictures, a run on them, a picture to translate, the original
    code's checkpoints."""
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
    run = train(replace(TINY, source=source, length=LengthConfig(pictures=2)), Path("runs/photos2paintings"))
    export_original(run.folder, Path())


@pytest.mark.slow
@pytest.mark.parametrize("document", [d for d in DOCUMENTS if python_in(d)], ids=name_of)
def test_python_in_the_documentation_runs(document, desk):
    namespace = {"__name__": "documentation"}
    known = dict(DISCRIMINATOR_LOSSES)
    try:
        for block in python_in(document):
            exec(compile(block, str(document), "exec"), namespace)
    finally:
        DISCRIMINATOR_LOSSES.clear()
        DISCRIMINATOR_LOSSES.update(known)


@pytest.mark.parametrize(("document", "command"), COMMANDS_IN_DOCUMENTS)
def test_commands_in_the_documentation_work(document, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files_of(ROOT / "docs" / document if document != "README.md" else ROOT / document, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    asked = parse(shlex.split(command)[1:])
    if isinstance(asked, Train):
        config = asked.options
        if config.source == SourceConfig():  # resumes a run, which is not here
            config = replace(config, source=SourceConfig(a=Path("photos"), b=Path("paintings")))
        photographs = Survey(num_pictures=400, shorter_side=512.0, all_channels=frozenset({3}), folder=Path("photos"))
        config = replace(config, engine=replace(config.engine, device="cpu"))
        choose = partial(with_recipe, epoch_size=400, report=str, measure=lambda engine: 1e11)
        resolve(config, Pair(photographs, photographs), choose)


SHORT = "--pictures 2 --generator.width 4 --generator.num-blocks 1 --discriminator.width 4 --discriminator.num-layers 1"


@pytest.mark.slow
def test_the_readmes_commands_run(desk):
    """In the order of the README; training is shortened, and the demo is skipped: CI runs it."""
    shortened = {"diptych train photos paintings": f"diptych train photos paintings {SHORT} --run runs/short"}
    for command in README_COMMANDS:
        if command == "diptych demo":
            continue
        with pytest.raises(SystemExit) as exit_, contextlib.redirect_stdout(io.StringIO()):
            main(shlex.split(shortened.get(command, command))[1:])
        allowed = {0, 1} if command.startswith("diptych check") else {0}  # four pictures are few: a warning
        assert exit_.value.code in allowed, command
    assert set(shortened) < set(README_COMMANDS)


@pytest.mark.slow
def test_the_package_of_extend_md_trains_from_the_command_line(desk, tmp_path):
    """The generator and the method of extend.md, by its own commands, in a process that has only PYTHONPATH for them."""
    page = ROOT / "docs" / "extend.md"
    write_files_of(page, tmp_path)
    commands = commands_in(page)
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)[1:]
        if words[0] == "train":
            own = "--generator.width" in words
            short = SHORT.replace("--generator.width 4 --generator.num-blocks 1 ", "") if own else SHORT
            words += [*shlex.split(short), *([] if "--run" in words else ["--run", "runs/outside"])]
        words = [word.replace("runs/photos2paintings", "runs/outside") for word in words]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
        done = subprocess.run(
            [sys.executable, "-m", "diptych", *words], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
    assert Run(Path("runs/outside")).about()["config"]["generator"] == {"kind": "mynets.plain:PlainConfig", "width": 8}


def options_in(text):
    """The options that ``text`` names; a switch is the same one turned on and turned off, and _ is read as -."""
    return {
        re.sub(r"(?<=[-.])(\[no-\]|no-)", "", option).replace("_", "-") for option in re.findall(r"--[\w.\[\]-]+", text)
    }


def options_of(name):
    """All options of a command, in any choice of method and networks."""
    variants = [[]]
    if name == "train":
        choices = {
            "--method": registry.METHODS,
            "--generator": registry.GENERATORS,
            "--discriminator": registry.DISCRIMINATORS,
        }
        variants = [[option, kind] for option, kinds in choices.items() for kind in kinds.kinds]
    shown = io.StringIO()
    for variant in variants:
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            parse([name, *variant, "--help-all"])()
    return options_in(shown.getvalue())


@pytest.fixture(scope="module")
def known_options():
    return {name: options_of(name) for name in COMMANDS}


LAUNCHERS = {"--multi-gpu", "--cpu", "--shutdown-timeout"}
"""Options of accelerate launch and torchrun."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_options_and_commands_named_in_sentences_exist(document, known_options):
    every = set().union(*known_options.values()) | LAUNCHERS
    for span in spans_in(document):
        words = span.split()
        if words[0] == "diptych" and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in {*COMMANDS, "COMMAND"}, span
            unknown = options_in(span) - known_options.get(words[1], every)
        elif words[0].startswith("--"):
            unknown = options_in(span) - every
        else:
            unknown = set()
        assert not unknown, span


def anchors_of(page):
    """The anchors of a page's headings, as code hosts and mkdocs both make them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_have_a_target(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text())):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors_of(there), target


def test_the_site_lists_every_page():
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_the_file_map_in_the_readme_matches_the_source():
    text = (ROOT / "README.md").read_text()
    package = ROOT / "src" / "diptych"
    for path in package.iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        if not name.startswith("__") and name != "py.typed":
            assert name in text, name
    assert len(text.splitlines()) <= 150


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 10
    for page in [*pages, *tmp_path.rglob("*.css")]:
        loaded = re.findall(r"<(?:script|img|link)[^>]*https?://[^>]*>|url\(.?https?:[^)]*\)", page.read_text())
        assert not loaded, page
