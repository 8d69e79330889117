"""``report.html``: all of a run on one page that needs nothing else, to open from disk."""
