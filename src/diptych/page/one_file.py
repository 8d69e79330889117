"""Puts everything into one HTML file, which needs no server: scripts, runtime and networks."""

import hashlib
from base64 import b64encode
from collections.abc import Container, Mapping, Sequence


def as_script(modules: Sequence[str]) -> str:
    """``modules``, in the order of their imports, as one: without ``import`` and ``export``.

    They share a scope, so no two of them may declare a name.
    """
    lines = "\n".join(modules).splitlines()
    return "\n".join(line.removeprefix("export ") for line in lines if not line.startswith("import ")) + "\n"


def embedded(parts: Mapping[str, bytes], *, texts: Container[str]) -> str:
    """Elements that hold ``parts`` under their names: as text, or in base64. Browsers do not run them."""
    elements = []
    for name, content in parts.items():
        text = content.decode() if name in texts else b64encode(content).decode()
        elements.append(f'<script type="text/plain" id="{name}">{text}</script>\n')
    return "".join(elements)


def hash_policy(script: str, style: str) -> str:
    """The content security policy of a file with this script and this style: no other ones, and no network."""
    return (
        f"default-src 'none'; script-src {_hash(script)} blob: 'wasm-unsafe-eval'; style-src {_hash(style)}; "
        "img-src blob: data:; media-src blob:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
