"""The actions of the page: each takes the values of components and returns new ones."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from diptych.config import Direction
from diptych.errors import OptionError
from diptych.hub import words
from diptych.serve import shown
from diptych.serve.answers import Answer, answer, answer_all
from diptych.serve.files import Store
from diptych.serve.limits import Limits
from diptych.serve.models import Catalogue


def no_picture() -> OptionError:
    """A new error each time: one that is raised again would keep the frames of all requests that raised it."""
    return OptionError("there is no picture", cure="drop one, paste one, or choose an example")


@dataclass(frozen=True)
class Actions:
    """The functions behind the page. Uploads are deleted at the end of each.

    Their arguments are JSON from visitors, unchecked. Gradio does not read the pictures, since it knows fewer formats.
    """

    catalogue: Catalogue
    limits: Limits
    store: Store
    examples: dict[str, list[tuple[Path, Direction]]]

    def show_one(self, picture: Any, model: Any, direction: Any, back: Any) -> list[Any]:
        """For the page: before and after, a line about it, the file to download, the way back."""
        made = self._answer(picture, model, direction, back, previews=True)
        lines = [f"{made.width}×{made.height} pixels in {made.seconds:.2g} s", *map(words.text, made.notes)]
        before, after, *rest = map(str, made.previews)
        return [
            (before, after),
            "  \n".join(lines),
            gr.DownloadButton(value=str(made.translation), visible=True),
            gr.ImageSlider(value=(before, rest[0]) if rest else None, visible=bool(rest)),
        ]

    def translate(self, picture: Any, model: Any, direction: Any, back: Any) -> list[Any]:
        """For programs: the translation, the translation of that, and notes."""
        made = self._answer(picture, model, direction, back, previews=False)
        return [str(made.translation), made.back and str(made.back), made.notes]

    def translate_all(self, pictures: Any, model: Any, direction: Any) -> list[Any]:
        """For programs: a zip, and a line for each picture that is not in it."""
        if not isinstance(pictures, list):
            raise no_picture()
        uploads = list(map(self._upload, pictures))
        try:
            folder = self.store.new_folder()
            made = answer_all(self.catalogue, self.limits, uploads, folder, name=str(model), direction=str(direction))
        finally:
            for upload in uploads:
                self.store.forget(upload)
        return [str(made[0]), made[1]]

    def show_many(self, pictures: Any, model: Any, direction: Any) -> list[Any]:
        """For the page: the zip, what is in it, and no more uploads."""
        archive, problems = self.translate_all(pictures, model, direction)
        failed = [f"- {words.text(problem)}" for problem in problems]
        lines = [f"{len(pictures) - len(failed)} translated, {len(failed)} not", *failed]
        return [gr.DownloadButton(value=archive, visible=True), "\n".join(lines), None]

    def choose_example(self, model: str, event: gr.SelectData) -> list[Any]:
        """A copy of an example as the upload, and its direction."""
        known = dict(enumerate(self.examples[model]))
        path, direction = known.get(event.index) or known[0]
        copy = self.store.new_folder() / path.name
        shutil.copy(path, copy)
        return [str(copy), direction]

    def choose_model(self, model: str) -> list[Any]:
        """Title, directions, examples and facts of ``model``."""
        served = self.catalogue.models[model]
        settings = shown.gallery(self.examples[model])
        return [
            shown.heading(served),
            gr.Radio(**shown.directions(served)),
            gr.Gallery(**settings),
            shown.about(served),
        ]

    def _answer(self, picture: Any, model: Any, direction: Any, back: Any, *, previews: bool) -> Answer:
        if picture is None:
            raise no_picture()
        upload = self._upload(picture)
        try:
            return answer(
                self.catalogue,
                self.limits,
                upload,
                self.store.new_folder(),
                name=str(model),
                direction=str(direction),
                back=back is True,
                previews=previews,
            )
        finally:
            self.store.forget(upload)

    def _upload(self, value: Any) -> Path:
        """The upload that a visitor refers to. Nobody can name another file."""
        path = self.store.upload(value.get("path")) if isinstance(value, dict) else None
        if path is None:
            raise OptionError("the picture is not on the server", cure="choose it again")
        return path
