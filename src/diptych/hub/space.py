"""A Space: a machine of the Hub that shows the page of ``diptych serve``."""

from diptych import __version__

APP = """from diptych.cli import main

main(["serve", "hf:{name}", "--host", "0.0.0.0"])
"""
README = """---
title: {title}
sdk: gradio
app_file: app.py
models:
- {name}
---

The page of [{name}](https://huggingface.co/{name}), served by diptych.
"""


def space_files(name: str) -> dict[str, str]:
    """The files of a Space for the model ``name``."""
    return {
        "app.py": APP.format(name=name),
        "requirements.txt": f"diptych[app,hub]=={__version__}\n",
        "README.md": README.format(name=name, title=name.partition("/")[2]),
    }
