"""The page's words and numbers: scores, how to use and to repeat the run, and its configuration."""

import shlex
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from diptych.evaluation.report.facts import Facts

ANCHORS = {"untranslated": "input", "untrained": "untrained", "real": "real"}
LEGEND = (
    "Input: left untranslated. Untrained: generators with initial weights."
    " Real: one half of the real pictures against the other."
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
        return f'<p class="empty">No scores yet. This makes them:</p>{_code(command)}'
    protocol = facts.scores.get("protocol") or {}
    seen = (protocol.get("model") or {}).get("pictures_seen")
    parts = []
    if isinstance(seen, int):
        gone_on = "; the run has gone on since" if seen < facts.pictures else ""
        parts.append(f'<p class="note">Of the model at {seen:,} pictures{gone_on}.</p>')
    remarks = facts.scores.get("remarks") or []
    if remarks:
        parts.append(f'<ul class="remarks">{"".join(f"<li>{escape(str(remark))}</li>" for remark in remarks)}</ul>')
    keys: list[str] = []
    for direction, found in facts.scores["directions"].items():
        source, target = facts.along(direction)
        rows = "".join(_score(score) for score in found["scores"].values())
        heads = "".join(f'<th scope="col">{head}</th>' for head in ("", "trained", *ANCHORS.values()))
        caption = f"<caption><bdi>{escape(source)}</bdi> to <bdi>{escape(target)}</bdi></caption>"
        parts.append(f'<table class="scores">{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>')
        keys += [key for key in found["scores"] if key in MEANINGS and key not in keys]
    parts.append(f'<p class="note">{LEGEND} ↓ lower is better, ↑ higher is.</p>')
    meanings = [(key.replace("_", " "), MEANINGS[key]) for key in keys]
    parts.append(_details("What the scores mean", _pairs(meanings)))
    parts.append(_details("Protocol: with the same, anybody gets the same numbers", _pairs(_flat(protocol))))
    return "".join(parts)


def _score(score: dict[str, Any]) -> str:
    better = score.get("better")
    arrow = {"lower": " ↓", "higher": " ↑"}.get(str(better), "")
    trained, given = score.get("trained"), score.get("untranslated")
    low, high = score.get("interval") or (None, None)
    under = f"<small>{_shown(low)} … {_shown(high)}</small>" if low is not None else ""
    if better and trained is not None and given is not None:
        beaten = trained < given if better == "lower" else trained > given
        under += "" if beaten else '<small class="lost">no better than the input</small>'
    cells = "".join(f'<td data-head="{head}">{_shown(score.get(key))}</td>' for key, head in ANCHORS.items())
    name = escape(str(score.get("name", "")))
    return f'<tr><th scope="row">{name}{arrow}</th><td data-head="trained"><b>{_shown(trained)}</b>{under}</td>{cells}</tr>'


def _shown(value: Any) -> str:
    return f"{value:.3g}".replace("-", "−") if isinstance(value, int | float) else "–"


def how_to_use(facts: Facts) -> str:
    """The commands and the Python that translate with the run."""
    folder, parts = str(facts.folder), []
    for direction in facts.directions:
        source, target = facts.along(direction)
        other = direction != "a2b"
        command = f"diptych translate {shlex.quote(folder)} INPUT OUTPUT" + (
            f" --direction {direction}" if other else ""
        )
        code = (
            "from PIL import Image\nfrom diptych import Translator\n\n"
            f"translate = Translator.load({folder!r}{f', {direction!r}' if other else ''})\n"
            'translate(Image.open("input.jpg")).save("output.jpg")'
        )
        heading = f"<h3><bdi>{escape(source)}</bdi> to <bdi>{escape(target)}</bdi></h3>"
        parts.append(f"<div>{heading}{_code(command)}{_code(code)}</div>")
    note = '<p class="note">INPUT is a picture or a folder of pictures. To pass it on: <code>model.safetensors</code> is all that is needed, in place of the run.</p>'
    return f'<div class="ways">{"".join(parts)}</div>{note}'


def how_to_repeat(facts: Facts) -> str:
    """The command, the seed, the versions and the pictures."""
    about = facts.about
    rows = [("begun", about.get("begun")), ("forked from", about.get("parent"))]
    rows += [("seed", facts.options.get("optimiser.seed"))]
    rows += [("versions", ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items()))]
    for name, domain in about.get("pictures", {}).items():
        held = len(about.get("held_out", {}).get(name, []))
        text = f"{domain.get('number', 0):,} pictures in {domain.get('folder')}, {held:,} held out, SHA-256 of the names {domain.get('sha256')}"
        rows.append((name, text))
    return _code(str(about.get("command", ""))) + _pairs(
        (name, value) for name, value in rows if value not in (None, "")
    )


def configuration(facts: Facts) -> str:
    """Every option."""
    return _details(f"All {len(facts.options)} options", _pairs(facts.options.items()))


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def _code(text: str) -> str:
    return f'<div class="code"><pre tabindex="0"><code>{escape(text)}</code></pre><button type="button" hidden>Copy</button></div>'


def _pairs(rows: Iterable[tuple[str, Any]]) -> str:
    cells = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in rows)
    return f"<dl>{cells}</dl>"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested objects, each with its path."""
    if not isinstance(value, dict):
        yield name, value
        return
    for key, part in value.items():
        yield from _flat(part, f"{name}.{key}".strip("."))
