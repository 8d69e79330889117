"""``report.html``: one page about a run that opens from disk and loads nothing else."""
