"""The page's HTML, and the data that its scripts read."""

import json
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from diptych.page.parts import Parts
from diptych.pair import title_of

Located = Mapping[str, Mapping[str, Any]]
"""Where each part is: its address, or the id of its element; and its size in bytes."""


def html_of(
    parts: Parts, located: Located, *, policy: str, style: str, script: str, embedded: str = "", offline: str = ""
) -> bytes:
    """The page. ``policy`` is its content security policy, ``offline`` the address of its service worker."""
    networks = parts.networks
    first, title = networks[0], title_of(parts.card.names, [each.direction for each in networks], parts.name)
    choices = "".join(
        f'<label><input type="radio" name="direction" value="{each.direction}"{" checked" if each is first else ""}>'
        f"{escape(each.source)} → {escape(each.target)}</label>"
        for each in networks
    )
    template = (files("diptych.page") / "assets" / "index.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        policy=policy,
        title=escape(title),
        heading=re.sub("[⇄→]", r"<i>\g<0></i>", escape(title)),
        style=style,
        script=script,
        directions=choices,
        one_direction=" hidden" if len(networks) == 1 else "",
        facts="".join(f"<dt>{key}</dt><dd>{escape(value)}</dd>" for key, value in _facts(parts).items()),
        runtime=escape(parts.runtime),
        embedded=embedded,
        data=json.dumps(_data(parts, located) | {"offline": offline}).replace("<", "\\u003c"),
    )
    return page.encode()


def _facts(parts: Parts) -> dict[str, str]:
    card, networks = parts.card, parts.networks
    sizes = " + ".join(f"{len(parts.binaries[f'{each.direction}.bin']) / 1e6:.1f} MB" for each in networks)
    types = " and ".join(sorted({"fp16" if each.half else "fp32" for each in networks}))
    return {
        "Method": card.method,
        "Seen in training": "unknown" if card.pictures is None else f"{card.pictures:,} pictures of each kind",
        "Licence of the model": parts.licence or "not stated",
        "Networks": f"{sizes}, weights in {types}",
    }


def _data(parts: Parts, located: Located) -> dict[str, Any]:
    """What the scripts read."""
    runtimes = {
        kind: {"script": located[f"{kind}_script.js"], "binary": located[f"{kind}_binary.bin"]}
        for kind in ("wasm", "gpu")
    }
    directions = [
        {
            "key": each.direction,
            "source": each.source,
            "target": each.target,
            "inputs": each.inputs,
            "outputs": each.outputs,
            "model": located[f"{each.direction}.bin"],
        }
        for each in parts.networks
    ]
    pixels = [min(each) for each in zip(*(each.pixels for each in parts.networks), strict=True)]
    return {
        "directions": directions,
        "runtimes": runtimes,
        "worker": located["worker.js"],
        "pixels": pixels,
        "varies": getattr(parts.card.generator, "norm", "instance") == "instance",
        "stride": parts.card.generator.stride,
    }
