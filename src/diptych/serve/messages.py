"""Mistakes as messages on the page."""

import html
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from diptych.errors import UserError


def asked(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` whose errors become one message on the page, which stays until it is closed."""

    @wraps(function)
    def safely(*values: Any) -> Any:
        try:
            return function(*values)
        except UserError as error:
            words = html.escape(str(error))
            raise gr.Error(words, duration=None, title="Not translated", print_exception=False) from None

    return safely
