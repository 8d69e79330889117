"""Which calls Gradio can answer. It prints a traceback for others."""

from typing import Any

import gradio as gr
from pydantic import ValidationError

from diptych.serve.http import API

CALL, JOIN = f"{API}/call/", f"{API}/queue/join"


def is_call(blocks: gr.Blocks, path: str, body: Any) -> bool:
    """Whether ``blocks`` has what the JSON ``body``, sent to ``path``, calls, and takes its values."""
    if not path.startswith((CALL, JOIN)):
        return True
    if not isinstance(body, dict):
        return False
    index, values, name = body.get("fn_index"), body.get("data"), path.removeprefix(CALL).strip("/")
    found = next(
        (each for number, each in blocks.fns.items() if (each.api_name == name if index is None else number == index)),
        None,
    )
    if found is None or not isinstance(values, list) or len(values) < len(found.inputs):
        return False
    return all(map(_is_value, found.inputs, values))


def _is_value(component: Any, value: Any) -> bool:
    """Whether ``value`` has the form of what ``component`` takes."""
    model = getattr(component, "data_model", None)
    try:
        return value is None or model is None or bool(model.model_validate(value, context={"validate_meta": True}))
    except ValidationError:
        return False
