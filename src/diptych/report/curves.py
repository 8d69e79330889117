"""The page's curves: each kind of loss, the learning rate and the speed."""

from collections.abc import Iterator

from diptych.report.charts import Chart, Line, draw_chart
from diptych.report.elements import empty, note
from diptych.report.facts import Facts

LOSSES = {
    "gan": ("Adversarial", "How far translations are from passing as real. Read it only beside the discriminator's."),
    "cycle": ("Cycle consistency", "What is lost on the way there and back, times its weight."),
    "identity": ("Identity", "How much a picture changes that is already of the domain, times its weight."),
    "l1": ("L1 to the true picture", "Times its weight."),
    "discriminator": ("Discriminator", "Near 0 it is never wrong; level with a coin's toss, it only guesses."),
}
"""What the losses are called, and what they say, by their names without the domain."""
READING = (
    "Over pictures seen. Faint: as measured; strong: smoothed. Each line bears the name of the domain that it is about."
)


def curves(facts: Facts) -> str:
    """A chart for each kind of loss, the learning rate and the speed."""
    charts = [*_score_chart(facts), *_loss_charts(facts)]
    for key, title, text, smooth in (
        ("learning_rate", "Learning rate", "", False),
        ("pictures_per_second", "Speed", "Pictures of each domain per second.", True),
    ):
        if points := facts.curves.get(key):
            charts.append(Chart(title, [Line(title.lower(), points)], text, smooth))
    if not charts:
        return empty("Nothing is measured yet.")
    return note(READING) + f'<div class="charts">{"".join(map(draw_chart, charts))}</div>'


def _score_chart(facts: Facts) -> Iterator[Chart]:
    """What held-out pictures scored while training."""
    ways = {direction: facts.curves.get(f"score.{direction}", []) for direction in facts.directions}
    lines = [Line(" to ".join(facts.names.along(direction)), points) for direction, points in ways.items() if points]
    if lines:
        best, _ = min(facts.curves.get("score.value", lines[0].points), key=lambda point: point[1])
        text = f"{facts.criterion}; lower is better. Best at {best:,.0f} pictures."
        yield Chart("Held-out pictures", lines, text, smooth=False)


def _loss_charts(facts: Facts) -> Iterator[Chart]:
    kinds: dict[str, list[Line]] = {}
    for key, points in facts.curves.items():
        if key.startswith("losses."):
            loss = key.removeprefix("losses.")
            kind, domain = (loss[:-2], loss[-1]) if loss.endswith(("_a", "_b")) else (loss, "")
            called = getattr(facts.names, domain) if domain else loss.replace("_", " ")
            kinds.setdefault(kind, []).append(Line(called, points))
    for kind, lines in kinds.items():
        title, text = LOSSES.get(kind, (kind.replace("_", " ").capitalize(), ""))
        yield Chart(title, lines, text)
