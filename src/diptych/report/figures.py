"""The page's pictures: the lead, before and after, and the sample grids over time."""

from html import escape

from diptych.monitoring.grid import Block
from diptych.report.collect import ReportData
from diptych.report.elements import empty, name, note, scrolling
from diptych.report.embed import MAX_COMPARED, SMALL, Embedded, embed_array, embed_grid, embed_lead, thinned


def lead(data: ReportData) -> str:
    """The picture at the top of the page, if the run has one."""
    if data.picture is None:
        return ""
    try:
        picture, description = embed_lead(data.picture)
    except OSError:
        return ""
    lines = "<br>".join(map(name, description.splitlines()))
    sheet = scrolling(_image(picture, description or "the run's picture"), text="picture", key="picture")
    return f'<figure class="lead">{sheet}<figcaption>{lines}</figcaption></figure>'


def comparisons(data: ReportData) -> str:
    """Sample pictures and their translations, with a handle between the two."""
    blocks = [_comparisons(block) for block in data.blocks]
    if not any(blocks):
        return empty("There are no pictures to compare" + (f": {data.no_blocks}" if data.no_blocks else " yet."))
    which = (
        "These pictures were held out of training."
        if data.held_out
        else "These are training pictures: none are held out."
    )
    return note(f"{which} Drag the handle, or use the arrow keys.") + "".join(blocks)


def _comparisons(block: Block) -> str:
    before, after = block.rows[:2]
    pairs = list(zip(before.pictures, after.pictures, strict=True))[:MAX_COMPARED]
    frames = [
        _comparison(before.caption, after.caption, embed_array(given), embed_array(made), f"{index} of {len(pairs)}")
        for index, (given, made) in enumerate(pairs, start=1)
    ]
    return f'<h3>{name(block.heading)}</h3><div class="frames">{"".join(frames)}</div>' if frames else ""


def _comparison(source: str, target: str, given: Embedded, made: Embedded, which: str) -> str:
    small = " small" if max(given.width, given.height) <= SMALL else ""
    label = escape(f"{source}, picture {which}: position of the boundary between input and translation")
    return (
        f'<div class="compare{small}" style="aspect-ratio:{given.width}/{given.height}">'
        f"{_image(made, f'{source} {target}, picture {which}')}"
        f'<div class="given">{_image(given, f"{source}, picture {which}")}</div>'
        f'<span class="tag left">{name(source)}</span><span class="tag right">{name(target)}</span>'
        f'<input type="range" min="0" max="100" value="50" aria-label="{label}"><span class="handle"></span></div>'
    )


def samples_over_time(data: ReportData) -> str:
    """The sample grids with a slider. Without JavaScript, the newest one."""
    shown: list[tuple[int, Embedded]] = []
    for pictures, path in thinned(data.grids):
        try:
            shown.append((pictures, embed_grid(path)))
        except OSError:  # truncated by a kill or a full disk
            continue
    if not shown:
        return empty("No samples yet.")
    last = len(shown) - 1
    images = ""
    for index, (pictures, picture) in enumerate(shown):
        attributes = f'data-at="{pictures:,}"' + (" hidden" if index < last else "")
        images += _image(picture, f"samples at {pictures:,} pictures", attributes)
    limits = f'min="0" max="{last}" value="{last}" step="1"' + ("" if last else " disabled")
    slider = f'<input type="range" id="time" {limits} aria-label="samples over time">'
    output = f'<output for="time">{shown[-1][0]:,} pictures</output>'
    left_out = f"{len(shown)} of {len(data.grids)} sample grids. All of them are in <code>samples/</code>."
    below = note(left_out) if len(shown) < len(data.grids) else ""
    return f'<p class="time">{slider}{output}</p>{scrolling(images, text="samples", key="grids")}{below}'


def _image(picture: Embedded, alt: str, attributes: str = "") -> str:
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img src="{picture.uri}" {size} alt="{escape(alt)}" draggable="false" {attributes}>'
