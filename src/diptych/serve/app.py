"""The page: which of Gradio's components there are, and which action each starts."""

from importlib.resources import files
from typing import Any

import gradio as gr

from diptych.serve import shown
from diptych.serve.actions import Actions
from diptych.serve.files import Store
from diptych.serve.limits import Limits
from diptych.serve.messages import asked
from diptych.serve.models import Catalogue

SESSIONS = 64
"""How many visitors Gradio remembers: 90 kB each. It may forget one, since browsers keep the pictures themselves."""
COMPUTES: dict[str, Any] = {"concurrency_id": "network", "concurrency_limit": 1, "preprocess": False}
"""Of events that translate: one at a time, by all cores."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUICK: dict[str, Any] = PRIVATE | {"show_progress": "hidden", "concurrency_limit": None}
"""Of events that compute nothing. They pass the queue too, as the server has no address for others."""
SLIDER: dict[str, Any] = {"max_height": 440, "buttons": ["fullscreen"], "interactive": False}


def build(catalogue: Catalogue, limits: Limits, store: Store) -> gr.Blocks:
    """The page for the models of ``catalogue``."""
    models = catalogue.models
    first = next(iter(models))
    examples = {
        name: shown.examples_of(served, store.examples / str(index))
        for index, (name, served) in enumerate(models.items())
    }
    actions = Actions(catalogue, limits, store, examples)
    title = models[first].facts.title if len(models) == 1 else "diptych"
    blocks: gr.Blocks = gr.Blocks(title=title, analytics_enabled=False)
    blocks.state_session_capacity = SESSIONS
    with blocks:
        heading = gr.Markdown(shown.heading(models[first]), elem_id="heading")
        with gr.Row(elem_id="choices"):
            model = gr.Dropdown([*models], value=first, label="Model", visible=len(models) > 1, elem_id="model")
            direction = gr.Radio(**shown.directions(models[first]), label="Direction", elem_id="direction")
        with gr.Tab("Picture"):
            gallery = _one_picture(actions, model, direction)
        with gr.Tab("Many"):
            _many_pictures(actions, model, direction)
        with gr.Tab("About"):
            about = gr.Markdown(shown.about(models[first]), elem_id="about")
        gr.Markdown(shown.promise(limits), elem_id="promise")
        model.change(actions.choose_model, model, [heading, direction, gallery, about], **QUICK)
        _for_programs(actions, first, models[first].default_direction)
        blocks.queue(max_size=limits.max_waiting, default_concurrency_limit=1)
    return blocks


def _one_picture(actions: Actions, model: gr.Dropdown, direction: gr.Radio) -> gr.Gallery:
    """The tab for one picture. Returns its examples."""
    has_back = any(len(served.translators) == 2 for served in actions.catalogue.models.values())
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=280):
            picture = gr.Image(
                label="Picture",
                sources=["upload", "clipboard", "webcam"],
                type="filepath",
                image_mode=None,
                height=300,
                buttons=[],
                elem_id="picture",
            )
            back = gr.Checkbox(has_back, label="Also translate it back", visible=has_back, elem_id="back")
            run = gr.Button("Translate", variant="primary", elem_id="run")
        with gr.Column(scale=3, min_width=280):
            slider = gr.ImageSlider(label="Before and after", elem_id="slider", **SLIDER)
            status = gr.Markdown(elem_id="status")
            download = gr.DownloadButton("Download the translation", visible=False, elem_id="download")
            way_back = gr.ImageSlider(label="The way back", visible=False, elem_id="way-back", **SLIDER)
    gallery = gr.Gallery(
        **shown.gallery(actions.examples[model.value]),
        label="Examples: choose one",
        elem_id="examples",
        allow_preview=False,
        buttons=[],
        interactive=False,
        object_fit="cover",
    )
    given, made = [picture, model, direction, back], [slider, status, download, way_back]
    send_again = files("diptych.serve").joinpath("upload.js").read_text(encoding="utf-8")
    translates: dict[str, Any] = {"fn": asked(actions.show_one), "inputs": given, "outputs": made, "js": send_again}
    gr.on([run.click, picture.upload], **translates, **COMPUTES, **PRIVATE)
    chosen = gallery.select(actions.choose_example, model, [picture, direction], **QUICK)
    chosen.success(**translates, **COMPUTES, **PRIVATE)
    return gallery


def _many_pictures(actions: Actions, model: gr.Dropdown, direction: gr.Radio) -> None:
    """The tab for a batch."""
    gr.Markdown(
        f"Up to {actions.limits.max_files} pictures that diptych reads. The answer is a zip of their translations."
    )
    batch = gr.File(label="Pictures", file_count="multiple", height=220, elem_id="batch")
    run = gr.Button("Translate all", variant="primary", elem_id="run-all")
    archive = gr.DownloadButton("Download the zip", visible=False, elem_id="archive")
    outcome = gr.Markdown(elem_id="outcome")
    run.click(asked(actions.show_many), [batch, model, direction], [archive, outcome, batch], **COMPUTES, **PRIVATE)


def _for_programs(actions: Actions, model: str, direction: str) -> None:
    """The two addresses for programs: see docs/serve.md."""
    with gr.Column(visible=False):
        picture, pictures = gr.File(label="picture"), gr.File(label="pictures", file_count="multiple")
        names = [gr.Textbox(model, label="model"), gr.Textbox(direction, label="direction")]
        back = gr.Checkbox(False, label="back")
        one = [gr.File(label="translation"), gr.File(label="translated back"), gr.JSON(label="notes")]
        many = [gr.File(label="zip"), gr.JSON(label="problems")]
        start = gr.Button()
    start.click(asked(actions.translate), [picture, *names, back], one, api_name="translate", **COMPUTES)
    start.click(asked(actions.translate_all), [pictures, *names], many, api_name="translate_all", **COMPUTES)
