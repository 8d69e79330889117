"""Writes ``report.html`` into a run folder, and translates sample pictures for it if none are given."""

from collections.abc import Sequence
from pathlib import Path

import torch

from diptych.atomic import atomic_write
from diptych.errors import UserError
from diptych.inference.forward import inference_forwards
from diptych.model import load_model
from diptych.monitoring.grid import Block
from diptych.monitoring.samples import sample_blocks, sample_pictures
from diptych.report.collect import collect
from diptych.report.page import draw_page
from diptych.run import Run


def write_report(run: Run, blocks: Sequence[Block] | None = None) -> Path:
    """Writes the report of ``run``, and returns its path.

    ``blocks`` are sample pictures and their translations; without them, the run's model makes them.

    Raises:
        RunError: its ``config.json`` cannot be read.
        OSError: the disk is full or read-only; the old report is unchanged.
    """
    no_blocks = ""
    if blocks is None:
        try:
            blocks = translate_samples(run)
        except UserError as error:
            blocks, no_blocks = (), error.problem
    page = draw_page(collect(run, blocks, no_blocks))
    with atomic_write(run.report_file) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run.report_file


def translate_samples(run: Run) -> list[Block]:
    """Translates the sample pictures of ``run`` with its model.

    Raises:
        UserError: there is no model yet, or the pictures are gone.
    """
    model, config = load_model(run.folder), run.config()
    pictures = sample_pictures(run.split().shown, config)
    with inference_forwards(model.networks) as generators:
        return sample_blocks(generators, pictures, model.card.names, torch.device("cpu"), paired=config.method.paired)
