"""The page of ``diptych serve`` in Chromium: it translates, refuses, and asks nothing of other machines."""

import re
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from diptych import Translator
from helpers.models import save_random_model
from helpers.serving import serving
from helpers.translators import picture

pytestmark = pytest.mark.slow
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
GRADIO_SAYS = "Method not implemented."
"""What Gradio's own script writes to the console when a stream ends."""
GRADIO_HAS = ("aria-prohibited-attr",)
"""Barriers of Gradio's own components: the empty slider is a div with a label."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder as of the Hub, with one example for each direction."""
    folder = tmp_path_factory.mktemp("browser")
    save_random_model(folder / "model.safetensors")
    (folder / "examples").mkdir()
    for index, name in enumerate("ab"):
        Image.fromarray(picture(index, 30 + index, 44)).save(folder / "examples" / f"{name}-1.png")
    return folder


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """A model without examples, from grey pictures to colour ones."""
    return save_random_model(tmp_path_factory.mktemp("second") / "second.safetensors", channels=(1, 3))


@pytest.fixture(scope="module")
def address(model, second):
    with serving([model, second]) as address:
        yield address


@contextmanager
def opened(browser, address, viewport=DESKTOP, **options):
    """The page, which must stay without errors and ask only its own server."""
    page = browser.new_page(viewport=viewport, **options)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.wait_for_selector("#run")
    yield page
    assert [text for text in complaints if text != GRADIO_SAYS] == []
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
    page.close()


def downloaded(page):
    with page.expect_download() as download:
        page.locator("#download").first.click()
    return np.asarray(Image.open(download.value.path()))


def wait_for(page, size):
    page.get_by_text(f"{size[0]}×{size[1]} pixels in").wait_for()


def test_it_translates_in_both_directions_at_three_sizes(browser, address, model, tmp_path):
    for index, size in enumerate([(64, 64), (81, 37), (130, 200)]):
        with opened(browser, address) as page:
            values = picture(index, size[1], size[0])
            Image.fromarray(values).save(tmp_path / f"{index}.png")
            page.locator("#picture input[type=file]").first.set_input_files(tmp_path / f"{index}.png")
            wait_for(page, size)
            assert np.array_equal(downloaded(page), Translator.load(model, "a2b")(values))
            assert page.locator("#slider img").count() == 2
            assert page.locator("#way-back img").count() == 2
            before = page.locator("#slider img").first.get_attribute("src")
            page.locator("#direction input").nth(1).check(force=True)
            page.locator("#run").click()  # the server has deleted the upload: the browser sends it again
            page.wait_for_function(
                "before => document.querySelector('#slider img').getAttribute('src') !== before", arg=before
            )
            assert np.array_equal(downloaded(page), Translator.load(model, "b2a")(values))


def test_a_wrong_file_gets_a_message_and_the_next_picture_works(browser, address, tmp_path):
    (tmp_path / "wrong.png").write_text("<script>alert(1)</script>")
    Image.fromarray(picture(0, 40, 50)).save(tmp_path / "good.png")
    page = browser.new_page(viewport=DESKTOP)
    page.goto(address)
    page.locator("#picture input[type=file]").first.set_input_files(tmp_path / "wrong.png")
    page.get_by_text("wrong.png is not a picture").wait_for()
    page.get_by_label("Clear").first.click()
    page.locator("#picture input[type=file]").first.set_input_files(tmp_path / "good.png")
    wait_for(page, (50, 40))
    page.close()


def test_an_example_and_another_model_are_chosen(browser, address, model):
    with opened(browser, address) as page:
        page.locator("#examples button.thumbnail-item").nth(1).click()  # that of B: its direction is chosen too
        wait_for(page, (44, 31))
        example = np.asarray(Image.open(model / "examples" / "b-1.png"))
        assert np.array_equal(downloaded(page), Translator.load(model, "b2a")(example))
        page.locator("#model input").click()
        page.get_by_role("option", name="second").click()
        page.locator("#examples").wait_for(state="hidden")


def test_a_picture_is_pasted(browser, address):
    with opened(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.evaluate(
            """async () => {
                const canvas = new OffscreenCanvas(52, 36);
                canvas.getContext("2d").fillRect(9, 9, 20, 20);
                const blob = await canvas.convertToBlob({ type: "image/png" });
                await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
            }"""
        )
        page.get_by_label("Paste from clipboard").click()
        wait_for(page, (52, 36))


def test_the_picture_of_the_camera_is_sent(browser, address):
    """It is larger than the limit of this server, which says so: so it has read it."""
    with opened(browser, address, permissions=["camera"]) as page:
        page.get_by_label("Capture from camera").click()
        page.get_by_text("Click to Access Webcam").click()
        page.wait_for_function("document.querySelector('video')?.videoWidth > 0")
        page.get_by_label("capture photo").click()
        page.locator("#run").click()
        page.get_by_text(re.compile("image.png has [0-9]{3,}×[0-9]{3,} pixels, more than 1 million")).first.wait_for()


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")], ids=["desktop", "phone"])
def test_it_fits_and_axe_finds_no_barrier(browser, address, viewport, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, address, viewport, color_scheme=scheme) as page:
        for tab in ("Many", "About", "Picture"):
            page.get_by_role("tab", name=tab).click()
            page.locator(f"[role=tab][aria-selected=true]:has-text('{tab}')").wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            found = Axe().run(page).response["violations"]
            assert [each for each in found if each["id"] not in GRADIO_HAS] == []
