"""Writing ``report.html`` into a run's folder, and the held-out pictures for it where nobody hands them over."""

from collections.abc import Sequence
from pathlib import Path

import torch

from diptych.atomic import atomic_write
from diptych.errors import UserError
from diptych.inference.forward import inference_forwards
from diptych.model import load_model
from diptych.monitoring.grid import Block
from diptych.monitoring.samples import sample_blocks, sample_pictures
from diptych.report.facts import collect
from diptych.report.page import draw_page
from diptych.run import Run


def write_report(run: Run, blocks: Sequence[Block] | None = None) -> Path:
    """Writes the report of ``run`` as it is now, and returns where.

    ``blocks`` are its sample pictures and their translations; by default the run's model makes them.

    Raises:
        RunError: its ``config.json`` cannot be read.
        OSError: the disk is full or may not be written; the report is as it was.
    """
    no_blocks = ""
    if blocks is None:
        try:
            blocks = translate_samples(run)
        except UserError as error:
            blocks, no_blocks = (), error.problem
    page = draw_page(collect(run, blocks, no_blocks))
    with atomic_write(run.report_file) as aside:
        aside.write_text(page, encoding="utf-8")
    return run.report_file


def translate_samples(run: Run) -> list[Block]:
    """The sample pictures of ``run``, and what its model makes of them.

    Raises:
        UserError: there is no model yet, or its pictures are gone.
    """
    model, config = load_model(run.folder), run.config()
    data, stride = model.card.data, model.card.generator.stride
    pictures = run.split().shown.map(
        lambda domain, channels: sample_pictures(domain, data, channels=channels, stride=stride), model.card.channels
    )
    with inference_forwards(model.networks) as translators:
        return sample_blocks(translators, pictures, model.card.names, torch.device("cpu"), paired=config.method.paired)
