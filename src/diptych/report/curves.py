"""The page's charts: scores while training, each kind of loss, the learning rate and the speed."""

from collections.abc import Iterator

from diptych.report.charts import Chart, Line, draw_chart
from diptych.report.collect import ReportData
from diptych.report.elements import empty, note

LOSSES = {
    "gan": (
        "Adversarial",
        "Low if the discriminator scores translations as real. Compare it with the discriminator's loss.",
    ),
    "cycle": ("Cycle consistency", "Difference between a picture and its reconstruction, times its weight."),
    "identity": ("Identity", "Change of a picture that is already in the target domain, times its weight."),
    "nce": (
        "PatchNCE",
        "Low if a patch of a translation resembles the same patch of its input more than other patches.",
    ),
    "l1": ("L1 to the true picture", "Mean absolute difference, times its weight."),
    "discriminator": (
        "Discriminator",
        "Near 0, the discriminator is never wrong. It cannot tell real from translated at 0.25 (least squares), 0.69 "
        "(vanilla) or 1 (hinge).",
    ),
}
"""Title and explanation of each kind of loss, by its name without the domain; charts come in this order."""
READING = (
    "Horizontal axis: pictures seen. Faint: measured. Strong: smoothed. Losses are named after the domain of their "
    "pictures."
)


def curves(data: ReportData) -> str:
    """All charts that have points."""
    charts = [*_score_chart(data), *_loss_charts(data)]
    for key, title, text, smooth in (
        ("learning_rate", "Learning rate", "", False),
        ("pictures_per_second", "Speed", "Pictures of each domain per second.", True),
    ):
        if points := data.curves.get(key):
            charts.append(Chart(title, [Line(title.lower(), points)], text, smooth))
    if not charts:
        return empty("Nothing has been measured yet.")
    return note(READING) + f'<div class="charts">{"".join(map(draw_chart, charts))}</div>'


def _score_chart(data: ReportData) -> Iterator[Chart]:
    """The scores of held-out pictures while training."""
    ways = {direction: data.curves.get(f"score.{direction}", []) for direction in data.directions}
    lines = [Line(" to ".join(data.names.along(direction)), points) for direction, points in ways.items() if points]
    if lines:
        best, _ = min(data.curves.get("score.value", lines[0].points), key=lambda point: point[1])
        text = f"{data.criterion}; lower is better. Best at {best:,.0f} pictures."
        yield Chart("Score of held-out pictures", lines, text, smooth=False)


def _loss_charts(data: ReportData) -> Iterator[Chart]:
    kinds: dict[str, list[Line]] = {}
    for key, points in sorted(data.curves.items()):
        if key.startswith("losses."):
            loss = key.removeprefix("losses.")
            kind, domain = (loss[:-2], loss[-1]) if loss.endswith(("_a", "_b")) else (loss, "")
            called = getattr(data.names, domain) if domain else loss.replace("_", " ")
            kinds.setdefault(kind, []).append(Line(called, points))
    for kind in sorted(kinds, key=[*LOSSES, *kinds].index):
        title, text = LOSSES.get(kind, (kind.replace("_", " ").capitalize(), ""))
        yield Chart(title, kinds[kind], text)
