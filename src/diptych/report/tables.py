"""The page's words and numbers: scores, how to use and to repeat the run, and its configuration."""

import shlex
from collections.abc import Iterator
from html import escape
from typing import Any

from diptych.report.elements import code, details, empty, name, note, pairs
from diptych.report.facts import Facts

ANCHORS = {"untranslated": "input", "untrained": "untrained", "real": "real"}
LEGEND = (
    "Input: left untranslated. Untrained: generators with initial weights."
    " Real: one half of the real pictures against the other."
)
PYTHON = """from PIL import Image
from diptych import Translator

translate = Translator.load({arguments})
translate(Image.open("input.jpg")).save("output.jpg")"""
USE = (
    "INPUT is a picture or a folder of pictures. To pass the translator on, <code>model.safetensors</code> is all that"
    " is needed, in place of the run."
)
MEANINGS = {
    "kid": "distance between the set of translations and the set of real pictures; unbiased, so sound on few pictures",
    "fid": "the same by another formula, which flatters large sets",
    "density": "how often translations lie where real pictures lie",
    "coverage": "the share of real pictures that have a translation near them",
    "diversity": "how much the translations differ from each other; it should be near that of real pictures",
    "psnr": "closeness to the true picture, pixel by pixel",
    "ssim": "closeness to the true picture in structure",
    "l1": "mean difference from the true picture, in levels of 255",
    "feature_distance": "difference from the true picture as a network sees it",
    "cycle_psnr": "closeness to the input of what comes back from the translation",
    "cycle_ssim": "the same in structure",
    "identity_l1": "how much a picture changes that is already of the domain",
}


def scores(facts: Facts) -> str:
    """The scores of each direction beside their anchors, what to notice, and the protocol."""
    if facts.scores is None:
        command = f"diptych evaluate {shlex.quote(str(facts.folder))}"
        return empty("No scores yet. This makes them:") + code(command)
    protocol = facts.scores.get("protocol") or {}
    seen = (protocol.get("model") or {}).get("pictures_seen")
    parts = []
    if isinstance(seen, int):
        gone_on = "; the run has gone on since" if seen < facts.pictures else ""
        parts.append(note(f"Of the model at {seen:,} pictures{gone_on}."))
    remarks = facts.scores.get("remarks") or []
    if remarks:
        parts.append(f'<ul class="remarks">{"".join(f"<li>{escape(str(remark))}</li>" for remark in remarks)}</ul>')
    keys: list[str] = []
    for direction, found in facts.scores["directions"].items():
        source, target = facts.names.along(direction)
        rows = "".join(_score(score) for score in found["scores"].values())
        heads = "".join(f'<th scope="col">{head}</th>' for head in ("", "trained", *ANCHORS.values()))
        caption = f"<caption>{name(source)} to {name(target)}</caption>"
        parts.append(f'<table class="scores">{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>')
        keys += [key for key in found["scores"] if key in MEANINGS and key not in keys]
    parts.append(note(f"{LEGEND} ↓ lower is better, ↑ higher is."))
    meanings = [(key.replace("_", " "), MEANINGS[key]) for key in keys]
    parts.append(details("What the scores mean", pairs(meanings)))
    parts.append(details("Protocol: with the same, anybody gets the same numbers", pairs(_flat(protocol))))
    return "".join(parts)


def _score(score: dict[str, Any]) -> str:
    better = score.get("better")
    arrow = {"lower": " ↓", "higher": " ↑"}.get(str(better), "")
    trained, given = score.get("trained"), score.get("untranslated")
    remarks = ""
    if interval := score.get("interval"):
        remarks += f"<small>{' … '.join(map(_shown, interval))} with 95 % confidence</small>"
    if better and trained is not None and given is not None:
        beats = trained < given if better == "lower" else trained > given
        remarks += "" if beats else '<small class="lost">no better than the input</small>'
    head = f'<th scope="row">{escape(str(score.get("name", "")))}{arrow}{remarks}</th>'
    cells = "".join(f'<td data-head="{word}">{_shown(score.get(key))}</td>' for key, word in ANCHORS.items())
    return f'<tr>{head}<td data-head="trained"><b>{_shown(trained)}</b></td>{cells}</tr>'


def _shown(value: Any) -> str:
    return f"{value:.3g}".replace("-", "−") if isinstance(value, int | float) else "–"


def how_to_use(facts: Facts) -> str:
    """The commands and the Python that translate with the run."""
    folder, parts = str(facts.folder), []
    for direction in facts.directions:
        source, target = facts.names.along(direction)
        option, argument = ("", "") if direction == "a2b" else (f" --direction {direction}", f", {direction!r}")
        command = f"diptych translate {shlex.quote(folder)} INPUT OUTPUT{option}"
        python = PYTHON.format(arguments=f"{folder!r}{argument}")
        parts.append(f"<div><h3>{name(source)} to {name(target)}</h3>{code(command)}{code(python)}</div>")
    return f'<div class="ways">{"".join(parts)}</div>{note(USE)}'


def how_to_repeat(facts: Facts) -> str:
    """The command, the seed, the versions and the pictures."""
    about = facts.about
    versions = ", ".join(f"{key} {version}" for key, version in about.get("versions", {}).items())
    rows = [("begun", about.get("begun")), ("forked from", about.get("parent"))]
    rows += [("seed", facts.options.get("optimiser.seed")), ("versions", versions)]
    for domain, given in about.get("pictures", {}).items():
        held = len(about.get("held_out", {}).get(domain, []))
        number = f"{given.get('number', 0):,} in {given.get('folder')}" + (f", {held:,} held out" if held else "")
        rows.append((f"pictures of {domain}", f"{number}; SHA-256 of their names {given.get('sha256')}"))
    return code(str(about.get("command", ""))) + pairs(row for row in rows if row[1] not in (None, ""))


def configuration(facts: Facts) -> str:
    """Every option."""
    return details(f"All {len(facts.options)} options", pairs(facts.options.items()))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested objects, each with its path."""
    if not isinstance(value, dict):
        yield name, value
        return
    for key, part in value.items():
        yield from _flat(part, f"{name}.{key}".strip("."))
