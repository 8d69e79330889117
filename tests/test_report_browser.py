"""The report in a real browser: Chromium, from disk, without a network. CI installs it; elsewhere it may be missing."""

import hashlib
from contextlib import contextmanager
from dataclasses import replace

import pytest

from diptych.config import LengthConfig, SourceConfig
from diptych.training.loop import train
from helpers.runs import TINY
from helpers.squares import make_squares

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of a run with several sample grids, with scores, and with an alarm of long words."""
    folder = tmp_path_factory.mktemp("browser")
    config = replace(TINY, source=SourceConfig(root=make_squares(folder / "pictures", train=24)))
    config = replace(config, length=LengthConfig(pictures=200), output=replace(config.output, num_samples=2))
    run = train(config, folder / "run")
    score = {"name": "KID (EfficientNet-Lite0)", "better": "lower", "trained": 0.3, "untranslated": 0.2}
    found = {"scores": {"kid": score | {"untrained": 0.5, "real": -0.000387, "interval": [0.25, 0.35]}}}
    run.write_json(run.scores_file, {"directions": {"a2b": found}, "protocol": {"sha256": "0" * 64}})
    run.log({"pictures": 200, "alarms": [{"alarm": "l" * 80, "value": 1.0, "threshold": 2.0, "advice": "x"}]})
    from diptych.report.report import write_report

    return write_report(run)


@contextmanager
def opened(browser, report, viewport=DESKTOP, scheme="light", **options):
    """The report in a new page that must stay without errors and without requests."""
    page = browser.new_page(viewport=viewport, color_scheme=scheme, reduced_motion="reduce", **options)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    yield page
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()]
    page.close()


def digest(image):
    """A hash of the picture that ``image`` shows."""
    return hashlib.sha256(image.get_attribute("src").encode()).hexdigest()


def handle_at(frame):
    """The position of the handle and the right edge of the input picture, as fractions of the width."""
    handle, box = frame.locator(".handle").bounding_box(), frame.bounding_box()
    return (handle["x"] + handle["width"] / 2 - box["x"]) / box["width"]


@pytest.mark.slow
def test_the_slider_shows_one_sample_grid_after_the_other(browser, report):
    with opened(browser, report) as page:
        shown = page.locator("#grids img:visible")
        assert shown.count() == 1
        assert shown.get_attribute("data-at") == "200"
        newest = digest(shown)
        page.locator("#time").focus()
        page.keyboard.press("Home")
        assert shown.count() == 1
        assert digest(shown) != newest
        assert shown.get_attribute("data-at") == "0"
        assert page.locator(".time output").inner_text() == "0 pictures"
        slider = page.locator("#time")
        width = slider.bounding_box()["width"]
        slider.click(position={"x": width - 3, "y": 14})
        assert digest(shown) == newest


def test_the_handle_follows_the_pointer_and_the_arrow_keys(browser, report):
    with opened(browser, report) as page:
        frame = page.locator(".compare").first
        frame.scroll_into_view_if_needed()
        assert handle_at(frame) == pytest.approx(0.5, abs=0.01)
        box = frame.bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] / 2, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=3)
        assert handle_at(frame) == pytest.approx(0.8, abs=0.01)
        page.mouse.up()
        page.mouse.move(box["x"], middle)
        assert handle_at(frame) == pytest.approx(0.8, abs=0.01)
        for key, expected in (("ArrowLeft", 0.79), ("ArrowRight", 0.8), ("Home", 0.0), ("End", 1.0)):
            page.keyboard.press(key)
            assert handle_at(frame) == pytest.approx(expected, abs=0.01)
        page.keyboard.press("Home")
        given = frame.locator(".given").evaluate("element => getComputedStyle(element).clipPath")
        assert given.startswith(("inset(0px calc(100%", "inset(0px 100%"))


def test_the_handle_follows_a_finger(browser, report):
    with opened(browser, report, PHONE, has_touch=True, is_mobile=True) as page:
        frame = page.locator(".compare").nth(1)
        frame.scroll_into_view_if_needed()
        box = frame.bounding_box()
        page.touchscreen.tap(box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2)
        assert handle_at(frame) == pytest.approx(0.25, abs=0.01)


def test_curves_show_their_values_under_the_pointer(browser, report):
    with opened(browser, report) as page:
        chart = page.locator(".chart", has_text="Cycle consistency")
        output = chart.locator("output").first
        last = output.inner_text()
        chart.locator("svg").hover(position={"x": 60, "y": 60})
        assert chart.locator(".at").inner_text() == "at 100"
        assert output.inner_text() != last
        page.mouse.move(2, 2)
        assert output.inner_text() == last


@pytest.mark.parametrize(
    "viewport", [DESKTOP, PHONE, {"width": 320, "height": 600}], ids=["desktop", "phone", "narrow"]
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_follows_light_and_dark(browser, report, viewport, scheme):
    with opened(browser, report, viewport, scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (brightness(paper) > 0.8) == (scheme == "light")
        for selector in (
            "body",
            ".state",
            ".note",
            ".alarms h2",
            ".alarms small",
            ".lost",
            "dt",
            "pre",
            ".legend",
            "footer",
        ):
            assert contrast(page, selector) >= 4.5, selector


def contrast(page, selector):
    """WCAG's contrast ratio of the text of ``selector`` and what is behind it."""
    ink, paper = page.locator(selector).first.evaluate(
        """element => {
            const ink = getComputedStyle(element).color;
            for (let behind = element; behind; behind = behind.parentElement) {
                const paper = getComputedStyle(behind).backgroundColor;
                if (paper !== "rgba(0, 0, 0, 0)") return [ink, paper];
            }
        }"""
    )
    light, dark = sorted((brightness(ink), brightness(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def brightness(colour):
    """The relative luminance of ``rgb(…)``."""
    levels = [float(level) / 255 for level in colour.strip("rgb()").split(",")[:3]]
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return sum(weight * level for weight, level in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.slow
def test_without_a_script_the_newest_samples_and_all_numbers_are_there(browser, report):
    with opened(browser, report, java_script_enabled=False) as page:
        assert page.locator("#grids img:visible").count() == 1
        assert page.locator("#grids img:visible").get_attribute("data-at") == "200"
        assert page.locator(".legend output").first.inner_text()
