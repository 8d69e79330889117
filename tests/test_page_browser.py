"""The page that translates in the visitor's browser: both of its forms, in Chromium."""

import io
import re
import struct
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from diptych.inference.translator import Translator
from helpers.browser import served

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FORMS = ("folder", "file")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(static_page):
    """A is grey, B is in colour."""
    return static_page / "model.safetensors"


@pytest.fixture(scope="module")
def addresses(static_page):
    with served(static_page / "site") as site:
        yield {"folder": site, "file": (static_page / "page.html").as_uri()}


@contextmanager
def opened(browser, address, *, viewport=DESKTOP, **options):
    """The page, which must stay without errors, and send nothing but requests for its own files."""
    context = browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
    page = context.new_page()
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    context.on("request", lambda request: requests.append(request))
    page.goto(address)
    yield page
    assert complaints == []
    elsewhere = [
        each.url for each in requests if not each.url.startswith((address, "data:", f"blob:{address}", "blob:null/"))
    ]
    assert elsewhere == []
    assert all(each.method == "GET" and each.post_data is None for each in requests)
    context.close()


def give(page, content, name="picture.png"):
    """Gives a file to the page, and waits until it is translated or refused."""
    page.evaluate(
        "() => { document.getElementById('compare').className = document.getElementById('error').textContent = '' }"
    )
    page.locator("#file").set_input_files({"name": name, "mimeType": "", "buffer": content})
    page.locator("#compare.done, #error:not(:empty)").first.wait_for(timeout=60_000)


def translation(page):
    """What can be downloaded, and its name."""
    with page.expect_download() as download:
        page.locator("#download").click()
    return np.asarray(Image.open(download.value.path())), download.value.suggested_filename


def encoded(array, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def noise(height, width, channels, seed=0):
    """Smooth noise, so that an error of a pixel's place shows."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, channels), np.uint8)
    image = Image.fromarray(small.squeeze()).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_is_translated_as_by_the_command_line(browser, addresses, model, form):
    with opened(browser, addresses[form]) as page:
        for direction, target in (("a2b", "paintings"), ("b2a", "photos")):
            page.locator(f"input[value={direction}]").check()
            translator = Translator.load(model, direction)
            for height, width in ((37, 53), (96, 64), (150, 211)):
                picture = noise(height, width, 3 if direction == "b2a" else 1)
                give(page, encoded(picture), f"a {height}.png")
                found, name = translation(page)
                assert name == f"a {height}-{target}.png"
                expected = translator(picture).astype(int)
                expected = expected if expected.ndim == 3 and expected.shape[2] == 3 else np.dstack([expected] * 3)
                difference = np.abs(found[:, :, :3].astype(int) - expected)
                assert found.shape[:2] == (height, width)
                assert difference.max() <= 1
                assert expected.std() > 5  # not one flat colour, which would always be right


def test_transparency_and_orientation_are_those_of_the_command_line(browser, addresses, model):
    translator = Translator.load(model, "b2a")
    picture = noise(60, 80, 4)
    with opened(browser, addresses["folder"]) as page:
        page.locator("input[value=b2a]").check()
        give(page, encoded(picture))
        found, _ = translation(page)
        expected = np.asarray(translator(Image.fromarray(picture))).astype(int)
        assert np.array_equal(found[:, :, 3], picture[:, :, 3])
        weighted = (found[:, :, 0] - expected[:, :, 0]) * (picture[:, :, 3] / 255)
        assert np.abs(weighted).max() <= 2  # browsers keep colours multiplied by transparency, rounded
        turned = Image.Exif()
        turned[0x0112] = 6
        give(page, encoded(picture[:, :, :3], exif=turned))
        found, _ = translation(page)
        expected = np.asarray(translator(Image.fromarray(np.rot90(picture[:, :, :3], -1)))).astype(int)
        assert found.shape[:2] == (80, 60)
        assert np.abs(found[:, :, 0] - expected).max() <= 1


def bomb(side):
    """A PNG of ``side`` × ``side`` pixels in few bytes."""
    rows = zlib.compress((b"\0" + bytes(side // 8)) * side, 9)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


SCRIPT = b"<script>alert(1)</script>"
GOOD = encoded(noise(40, 50, 3))
HOSTILE = {
    "empty.png": (b"", "is empty"),
    "page.png": (b"<!doctype html>" + SCRIPT, "not a picture that a browser reads"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not a picture"),
    "scan.tif": (encoded(noise(20, 20, 3), "TIFF"), "not a picture that a browser reads"),
    "cut.png": (GOOD[: len(GOOD) // 2], "is damaged"),
    "head.jpg": (b"\xff\xd8\xff\xe0" + SCRIPT * 9, "is damaged"),
    "polyglot.gif": (b"GIF89a/*" + b"\0" * 40 + b"*/=1;alert(1)//", "is damaged"),
    "bomb.png": (bomb(9_000), "9000 × 9000 pixels"),
    "larger bomb.png": (bomb(60_000), "is damaged"),  # the browser itself refuses it
}


@pytest.mark.parametrize("form", FORMS)
def test_a_hostile_file_gets_a_message_and_the_next_picture_is_translated(browser, addresses, tmp_path, form):
    with opened(browser, addresses[form]) as page:
        for name, (content, message) in HOSTILE.items():
            give(page, content, name)
            assert message in page.locator("#error").inner_text()
            assert name in page.locator("#error").inner_text()
        huge = tmp_path / "huge.png"
        with huge.open("wb") as file:
            file.truncate(210_000_000)
        page.locator("#file").set_input_files(huge)
        page.get_by_text("huge.png has 210 MB").wait_for()
        deep = noise(30, 30, 1).astype(np.uint16) * 257
        give(page, encoded(deep), "deep.png")
        assert "16 bits" in page.locator("#notes").inner_text()
        give(page, GOOD + SCRIPT, "both.png")  # a picture that is also a page is just a picture
        assert page.locator("#error").inner_text() == ""
        assert translation(page)[0].shape[:2] == (40, 50)


def with_tiles(static_page, target):
    """The page as a file that translates 128 × 128 pixels at once."""
    text = (static_page / "page.html").read_text()
    start = text.index('"pixels": [') + len('"pixels": [')
    target.write_text(text[:start] + "16384, 16384" + text[text.index("]", start) :])
    return target


def test_a_large_picture_is_translated_in_tiles_and_can_be_cancelled(browser, static_page, tmp_path):
    small = with_tiles(static_page, tmp_path / "small.html")
    picture = np.tile(noise(32, 32, 1), (9, 10))[:260, :300]  # periodic, so that tiles have the statistics of the whole
    results = []
    for file in (static_page / "page.html", small):
        with opened(browser, file.as_uri()) as page:
            give(page, encoded(picture))
            results.append(translation(page)[0].astype(int))
            tiled = "translated in 9 tiles" in page.locator("#notes").inner_text()
            assert tiled == (file == small)
            if tiled:
                page.locator("#file").set_input_files(
                    {"name": "x.png", "mimeType": "", "buffer": encoded(noise(1200, 1600, 1))}
                )
                page.get_by_text(re.compile(r"Translating: \d+ of \d+ tiles")).wait_for()
                page.locator("#file").set_input_files({"name": "wrong.png", "mimeType": "", "buffer": b"x"})
                page.get_by_text("wrong.png is not a picture").wait_for()  # and the translation goes on
                page.locator("#cancel").click()
                page.get_by_text("Cancelled.").wait_for()
                give(page, GOOD)
                assert translation(page)[0].shape[:2] == (40, 50)
    whole, tiles = results
    apart, moved = (np.abs(other - tiles).mean() for other in (whole, np.roll(whole, 1, axis=1)))
    assert apart < 5 < 20 < moved


def test_tiles_that_differ_meet_without_a_step(browser, static_page, tmp_path):
    """Of a picture whose right half has more contrast, tiles have other statistics than the whole."""
    contrast = np.where(np.arange(384) < 192, 0.15, 1.0)[None, :]
    picture = (128 + (np.tile(noise(32, 32, 1), (4, 12)) - 128.0) * contrast).round().astype(np.uint8)
    results = []
    for file in (static_page / "page.html", with_tiles(static_page, tmp_path / "small.html")):
        with opened(browser, file.as_uri()) as page:
            give(page, encoded(picture))
            results.append(translation(page)[0].astype(float))
    whole, tiles = results
    apart = np.abs(tiles - whole).mean((0, 2)).reshape(-1, 4).mean(1)  # of each four columns
    assert np.ptp(apart) > 12  # the tiles do differ in how far they are from the whole
    assert np.abs(np.diff(apart)).max() < np.ptp(apart) / 2


def test_the_folder_works_without_a_network_and_then_with_threads(browser, static_page):
    with served(static_page / "site") as address, opened(browser, address) as page:
        page.get_by_text("Ready.").wait_for(timeout=60_000)
        page.evaluate("() => navigator.serviceWorker.ready.then(() => undefined)")
        page.reload()
        page.get_by_text("Ready.").wait_for(timeout=60_000)
        assert page.evaluate("() => crossOriginIsolated")
        page.context.set_offline(True)
        page.reload()
        give(page, GOOD)
        assert translation(page)[0].shape[:2] == (40, 50)
        several = page.evaluate("() => navigator.hardwareConcurrency > 1")
        assert several == ("threads" in page.locator("#computes").text_content())


def test_a_picture_may_be_chosen_before_the_model_is_loaded(browser, addresses):
    context = browser.new_context(service_workers="block")
    waiting = []
    context.route("**/wasm_binary.bin", lambda route: waiting.append(route))
    page = context.new_page()
    page.goto(addresses["folder"])
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "", "buffer": GOOD})
    page.get_by_text("Your picture is translated as soon as the model is loaded.").wait_for()
    assert page.locator("#before").is_visible()
    while not waiting:
        page.wait_for_timeout(50)
    waiting[0].continue_()
    page.locator("#compare.done").wait_for(timeout=60_000)
    context.close()


ADAPTER = """
    Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => ({ info: {} }) } });
"""
RUNTIME = """
    export const env = { wasm: {} };
    export class Tensor { constructor(type, data) { this.data = data; } }
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const create = async (model, { executionProviders: [name] }) => {
        const isGpu = name === "webgpu";
        if (isGpu && %(fails)s) throw new Error("no kernel");
        const run = async ({ input }) => {
            await wait(isGpu ? %(ms)d : 300);
            const data = input.data.map((value) => isGpu ? Math.min(255, value + %(off)d) : value);
            return { output: { getData: async () => data, dispose() {} } };
        };
        return { inputMetadata: [{ shape: [1, 1, 1, 1] }], run };
    };
    export const InferenceSession = { create };
"""
"""A stand-in for the runtime with WebGPU, which needs a GPU. Its networks return the picture, and WebGPU is ``off``."""


@pytest.mark.parametrize(
    ("ms", "off", "fails", "used"),
    [(5, 1, "false", "WebGPU"), (5, 2, "false", "WebAssembly"), (900, 0, "false", "WebAssembly"),
     (5, 0, "true", "WebAssembly")],
)  # fmt: skip
def test_webgpu_is_used_if_it_is_faster_and_right(browser, addresses, ms, off, fails, used):
    context = browser.new_context(service_workers="block")
    context.add_init_script(ADAPTER)
    script = RUNTIME % {"ms": ms, "off": off, "fails": fails}
    context.route("**/gpu_script.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
    context.route("**/gpu_binary.bin", lambda route: route.fulfill(body=b"none"))
    page = context.new_page()
    page.goto(addresses["folder"])
    page.get_by_text("Ready.").wait_for()
    assert page.locator("#computes").text_content().startswith(used)
    context.close()


def test_paste_drop_camera_and_keys(browser, addresses):
    with opened(browser, addresses["folder"], permissions=["camera"]) as page:
        for kind in ("paste", "drop"):
            page.evaluate(
                """([kind, bytes]) => {
                    const data = new DataTransfer();
                    data.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
                    const event = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: data }) : new DragEvent(kind, { dataTransfer: data });
                    document.body.dispatchEvent(Object.defineProperty(event, "bubbles", { value: true })) && dispatchEvent(event);
                }""",
                [kind, list(GOOD)],
            )
            page.locator("#compare.done").wait_for(timeout=60_000)
            assert translation(page)[1] == "given-paintings.png"
        page.locator("#file").evaluate("() => { document.getElementById('compare').className = '' }")
        page.evaluate("() => document.getElementById('camera').click()")
        page.locator("#video").evaluate(
            "video => new Promise((resolve) => { video.onresize = resolve; if (video.videoWidth) resolve(); })"
        )
        page.locator("#shoot").click()
        page.locator("#compare.done").wait_for(timeout=60_000)
        assert translation(page)[1] == "camera-paintings.png"
        assert page.evaluate("() => !document.getElementById('video').srcObject.active")
        split = page.locator("#split")
        split.focus()
        page.keyboard.press("Home")
        assert split.get_attribute("aria-valuetext") == "100 % translation"
        assert page.locator("#after").evaluate("element => getComputedStyle(element).clipPath").startswith("inset(0px")


@pytest.mark.parametrize(("form", "scheme", "viewport"), [("folder", "light", DESKTOP), ("file", "dark", PHONE)])
def test_axe_finds_no_barrier(browser, addresses, form, scheme, viewport):
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, addresses[form], color_scheme=scheme, viewport=viewport) as page:
        checked = [Axe().run(page)]
        give(page, GOOD)
        assert (
            page.locator("#compare").bounding_box()["width"] > 250
        )  # a small picture is enlarged: names cover its edge
        checked.append(Axe().run(page))
        page.locator("summary").click()
        give(page, b"x", "wrong.png")
        checked.append(Axe().run(page))
        assert [each.generate_report() for each in checked if each.violations_count] == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
