"""The page's scores, its commands to use and to repeat the run, and the configuration."""

import shlex
from html import escape
from typing import Any

from diptych.config_json import flatten
from diptych.report.collect import ReportData
from diptych.report.elements import code, details, empty, name, note, pairs, three_digits

REFERENCES = {"untranslated": "input", "untrained": "untrained", "real": "real"}
LEGEND = (
    "Input: the source pictures, not translated. Untrained: generators with initial weights. Real: half of the real "
    "pictures compared with the other half."
)
PYTHON = """from PIL import Image
from diptych import Translator

translate = Translator.load({arguments})
translate(Image.open("input.jpg")).save("output.jpg")"""
USE = (
    "INPUT is a picture or a folder of pictures. <code>model.safetensors</code> alone is enough to translate: give it "
    "in place of the run."
)
MEANINGS = {
    "kid": "distance between the set of translations and the set of real pictures; unbiased, also for few pictures",
    "fid": "another distance between the two sets; biased: more pictures give a lower value",
    "density": "how densely real pictures surround the translations: low if translations look unreal",
    "coverage": "the fraction of real pictures that have a translation near them: low if translations lack variety",
    "diversity": "how much the translations differ from each other; it should be close to the value of real pictures",
    "psnr": "similarity to the true picture, pixel by pixel",
    "ssim": "similarity of structure to the true picture",
    "l1": "mean absolute difference from the true picture (0 to 255)",
    "feature_distance": "difference from the true picture in the features of a network",
    "cycle_psnr": "similarity of input and reconstruction, pixel by pixel",
    "cycle_ssim": "similarity of structure of input and reconstruction",
    "identity_l1": "how much a picture that is already in the target domain changes (0 to 255)",
}


def scores(data: ReportData) -> str:
    """The scores of each direction beside their reference values, remarks, and the protocol."""
    if data.scores is None:
        command = f"diptych evaluate {shlex.quote(str(data.folder))}"
        return empty("No scores yet. Compute them with:") + code(command)
    protocol = data.scores.get("protocol") or {}
    seen = (protocol.get("model") or {}).get("pictures_seen")
    parts = []
    if isinstance(seen, int):
        older = "; the run has continued since then" if seen < data.pictures else ""
        parts.append(note(f"Scores of the model after {seen:,} pictures{older}."))
    remarks = data.scores.get("remarks") or []
    if remarks:
        parts.append(f'<ul class="remarks">{"".join(f"<li>{escape(str(remark))}</li>" for remark in remarks)}</ul>')
    keys: list[str] = []
    for direction, found in data.scores["directions"].items():
        source, target = data.names.along(direction)
        rows = "".join(_score(score) for score in found["scores"].values())
        heads = "".join(f'<th scope="col">{head}</th>' for head in ("", "trained", *REFERENCES.values()))
        caption = f"<caption>{name(source)} to {name(target)}</caption>"
        parts.append(f'<table class="scores">{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>')
        keys += [key for key in found["scores"] if key in MEANINGS and key not in keys]
    parts.append(note(f"{LEGEND} ↓ lower is better, ↑ higher is better."))
    meanings = [(key.replace("_", " "), MEANINGS[key]) for key in keys]
    parts.append(details("What the scores mean", pairs(meanings)))
    parts.append(details("Protocol: repeat it to get the same numbers", pairs(flatten(protocol).items())))
    return "".join(parts)


def _score(score: dict[str, Any]) -> str:
    better = score.get("better")
    arrow = {"lower": " ↓", "higher": " ↑"}.get(str(better), "")
    trained, given = score.get("trained"), score.get("untranslated")
    remarks = ""
    if interval := score.get("interval"):
        remarks += f"<small>{' … '.join(map(three_digits, interval))} with 95 % confidence</small>"
    if better and trained is not None and given is not None:
        beats = trained < given if better == "lower" else trained > given
        remarks += "" if beats else '<small class="lost">not better than the input</small>'
    head = f'<th scope="row">{escape(str(score.get("name", "")))}{arrow}{remarks}</th>'
    cells = "".join(f'<td data-head="{word}">{three_digits(score.get(key))}</td>' for key, word in REFERENCES.items())
    return f'<tr>{head}<td data-head="trained"><b>{three_digits(trained)}</b></td>{cells}</tr>'


def how_to_use(data: ReportData) -> str:
    """Commands and Python code that translate with the run."""
    folder, parts = str(data.folder), []
    for direction in data.directions:
        source, target = data.names.along(direction)
        option, argument = ("", "") if direction == "a2b" else (f" --direction {direction}", f", {direction!r}")
        command = f"diptych translate {shlex.quote(folder)} INPUT OUTPUT{option}"
        python = PYTHON.format(arguments=f"{folder!r}{argument}")
        parts.append(f"<div><h3>{name(source)} to {name(target)}</h3>{code(command)}{code(python)}</div>")
    return f'<div class="ways">{"".join(parts)}</div>{note(USE)}'


def how_to_repeat(data: ReportData) -> str:
    """The command, the seed, the versions and the pictures."""
    about = data.about
    versions = "; ".join(
        ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in entry.items())
        for entry in about.get("versions", [])
    )
    rows = [("started", about.get("started")), ("forked from", about.get("parent"))]
    rows += [("seed", data.options.get("optimiser.seed")), ("versions", versions)]
    for domain, given in about.get("pictures", {}).items():
        held = len(about.get("held_out", {}).get(domain, []))
        number = f"{given.get('number', 0):,} in {given.get('folder')}" + (f", {held:,} held out" if held else "")
        rows.append((f"pictures of {domain}", f"{number}; SHA-256 of names, sizes and contents {given.get('sha256')}"))
    return code(str(about.get("command", ""))) + pairs(row for row in rows if row[1] not in (None, ""))


def configuration(data: ReportData) -> str:
    """Every option."""
    return details(f"All {len(data.options)} options", pairs(data.options.items()))
