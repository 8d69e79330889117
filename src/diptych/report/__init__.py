"""``report.html``: one page about a run. It opens from disk and loads nothing else."""
