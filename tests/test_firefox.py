"""Both web pages in Firefox: pictures go in, and their translations come out. The rest is tested in Chromium."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from diptych import Translator
from helpers.browser import served
from helpers.firefox import launched_firefox
from helpers.serving import serving
from helpers.translators import picture

pytestmark = pytest.mark.slow
SIZES = [(37, 53), (96, 64), (130, 201)]
READ_CANVAS = """
    const canvas = document.getElementById("after"), { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    return [width, height, btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""))];
"""
READ_SLIDER = """
    return Promise.all([...document.querySelectorAll("#slider img")].map(async ({ src }) => {
        const bytes = new Uint8Array(await (await fetch(src)).arrayBuffer());
        return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    }));
"""


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    with launched_firefox(tmp_path_factory.mktemp("firefox")) as firefox:
        yield firefox


def colour(values):
    return np.dstack([values] * 3) if values.ndim == 2 or values.shape[2] == 1 else values


@pytest.mark.parametrize("form", ["folder", "file"])
def test_the_page_without_a_server_translates_as_the_command_line(firefox, static_page, tmp_path, form):
    with served(static_page / "site") as address:
        firefox.open(address if form == "folder" else (static_page / "page.html").as_uri())
        firefox.wait("document.getElementById('status').textContent.startsWith('Ready')")
        for direction, channels in (("a2b", 1), ("b2a", 3)):
            firefox.run(f"document.querySelector('input[value={direction}]').click()")
            translator = Translator.load(static_page / "model.safetensors", direction)
            for height, width in SIZES:
                values = picture(height, height, width)[:, :, :channels]
                Image.fromarray(values.squeeze()).save(tmp_path / "in.png")
                firefox.run("document.getElementById('compare').className = ''")
                firefox.give("#file", tmp_path / "in.png")
                firefox.wait("document.querySelector('#compare.done, #error:not(:empty)')")
                *size, pixels = firefox.run(READ_CANVAS)
                assert size == [width, height]
                found = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height, width, 4)[:, :, :3]
                expected = colour(translator(values))
                assert np.abs(found.astype(int) - expected).max() <= 1
                assert expected.std() > 5
        firefox.run("document.getElementById('compare').className = ''")
        (tmp_path / "wrong.png").write_text("<script>alert(1)</script>")
        firefox.give("#file", tmp_path / "wrong.png")
        firefox.wait("document.getElementById('error').textContent.includes('wrong.png is not a picture')")


def test_the_served_page_translates_as_the_command_line(firefox, static_page, tmp_path):
    model = static_page / "model.safetensors"
    values = picture(0, 50, 70)[:, :, 0]
    Image.fromarray(values).save(tmp_path / "in.png")
    with serving([model]) as address:
        firefox.open(address)
        firefox.wait("document.querySelector('#picture input[type=file]')")
        firefox.give("#picture input[type=file]", tmp_path / "in.png")
        firefox.wait("document.querySelector('#status').textContent.includes('70×50 pixels in')")
        shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in firefox.run(READ_SLIDER)]
        expected = Translator.load(model, "a2b")(values)
        assert any(np.array_equal(values, each) for each in shown)
        assert any(np.array_equal(expected, each) for each in shown)
