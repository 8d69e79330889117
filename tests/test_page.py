"""The page that translates in the visitor's browser: what is refused, and where ONNX Runtime Web comes from."""

import errno
import io
import tarfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from diptych.cli import parse
from diptych.data.encoding import Encoding
from diptych.errors import OptionError, UserError
from diptych.model import load_model, save_model
from diptych.page import runtime
from diptych.page.page import FOLDER_POLICY, write_page
from diptych.page.parts import Parts, collect_parts
from diptych.pair import Pair
from helpers.models import save_random_model


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package like that of ONNX Runtime Web, with other contents."""
    file = tmp_path_factory.mktemp("npm") / "any name.tgz"
    with tarfile.open(file, "w:gz") as archive:
        for name in ("package.json", *(f"dist/{name}" for name in runtime.FILES.values())):
            content = b'{"version": "1.2.3"}' if name == "package.json" else name.encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def test_the_runtime_comes_from_a_package_or_its_folder(package, tmp_path):
    with tarfile.open(package) as archive:
        archive.extractall(tmp_path, filter="data")
    found = [runtime.find_runtime(path) for path in (package, tmp_path / "package")]
    assert found[0] == found[1]
    assert found[0].version == "1.2.3"
    assert found[0].files["wasm_binary"] == b"dist/ort-wasm-simd-threaded.wasm"


def test_what_is_no_package_is_refused(package, tmp_path):
    cut, other = tmp_path / "cut.tgz", tmp_path / "other.tgz"
    cut.write_bytes(package.read_bytes()[:200])
    other.write_bytes(b"hello")
    for path in (cut, other, tmp_path, tmp_path / "missing.tgz"):
        with pytest.raises(OptionError, match=r"is not a whole package .* give the folder or the \.tgz"):
            runtime.find_runtime(path)


def program(folder, text):
    """A program npm in a folder of its own."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "npm").chmod(0o755)
    return str(folder)


def test_npm_downloads_the_runtime_once_and_only_with_its_checksum(package, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OptionError, match="npm is not installed"):
        runtime.find_runtime(None)
    monkeypatch.setenv("PATH", f"{program(tmp_path / 'fails', 'echo no network >&2; exit 1')}:/bin:/usr/bin")
    with pytest.raises(OptionError, match=r"npm cannot download .* \(no network\)"):
        runtime.find_runtime(None)
    name = f"onnxruntime-web-{runtime.VERSION}.tgz"
    delivers = program(tmp_path / "delivers", f"echo x >> {tmp_path}/calls; cp '{package}' \"$5/{name}\"")
    monkeypatch.setenv("PATH", f"{delivers}:/bin:/usr/bin")
    with pytest.raises(OptionError, match="another checksum"):
        runtime.find_runtime(None)
    assert not (tmp_path / "cache" / "diptych" / name).exists()
    monkeypatch.setattr(runtime, "SHA512", runtime.checksum(package))
    assert runtime.find_runtime(None) == runtime.find_runtime(None)
    assert (tmp_path / "calls").read_text() == "x\n" * 2
    (tmp_path / "cache" / "diptych" / name).write_bytes(b"damaged")
    assert runtime.find_runtime(None).version == "1.2.3"


@pytest.mark.parametrize(
    ("encodings", "problem"),
    [
        (Pair(Encoding(4), Encoding(3)), "photos have 4 channels, and a browser shows 1 or 3"),
        (
            Pair(Encoding(3), Encoding(1, "uint16", 0, 4095)),
            "values of uint16 from 0 to 4095, and a browser reads 8 bits",
        ),
    ],
)
def test_a_model_of_pictures_that_no_browser_shows_is_refused(tmp_path, package, encodings, problem):
    file = save_random_model(tmp_path / "model.safetensors", channels=(encodings.a.channels, encodings.b.channels))
    model = load_model(file)
    save_model(file, model.networks, replace(model.card, encodings=encodings))
    with pytest.raises(OptionError, match=problem):
        collect_parts(file, runtime=package)


class Inline(HTMLParser):
    """Collects what a strict content security policy forbids."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        runs = tag == "script" and given.get("type") not in ("application/json", "text/plain") and "src" not in given
        if runs or tag == "style" or any(name == "style" or name.startswith("on") for name in given):
            self.found.append((tag, attrs))


def fake_parts(card, directions=("a2b",)):
    networks = tuple(
        SimpleNamespace(
            direction=each, source="<b>cats", target="dogs", inputs=3, outputs=3, half=True, pixels=(9, 9), content=b"x"
        )
        for each in directions
    )
    scripts = {"wasm_script.js": b"1", "gpu_script.js": b"2"}
    binaries = {f"{name}.bin": b"3" for name in ("wasm_binary", "gpu_binary", *directions)}
    return Parts(card, "", networks, "<i>CC0", "1.2.3", scripts, binaries)


def test_the_folder_has_nothing_inline_and_names_are_text(tmp_path):
    card = load_model(save_random_model(tmp_path / "model.safetensors")).card
    write_page(fake_parts(card), tmp_path / "new" / "site")
    page = (tmp_path / "new" / "site" / "index.html").read_text()
    parser = Inline()
    parser.feed(page)
    assert parser.found == []
    assert "unsafe-inline" not in page + FOLDER_POLICY
    assert "http" not in FOLDER_POLICY
    assert "<b>cats" not in page
    assert "&lt;b&gt;cats" in page
    assert "&lt;i&gt;CC0" in page
    assert (tmp_path / "new" / "site" / "onnxruntime-web.txt").read_text().count("Microsoft") == 1


def test_a_page_overwrites_nothing_and_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    parts = fake_parts(load_model(save_random_model(tmp_path / "model.safetensors")).card, ("a2b", "b2a"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    (tmp_path / "page.html").touch()
    for path in (tmp_path / "full", tmp_path / "page.html", tmp_path / "model.safetensors"):
        with pytest.raises(OptionError, match="exists already"):
            write_page(parts, path)
    for path in (tmp_path / "site", tmp_path / "one.html"):
        write_page(parts, path)
    (tmp_path / "empty").mkdir()
    write_bytes = Path.write_bytes

    def fail_at_the_last(path, content):
        if path.name == "sw.js":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_at_the_last)
    for folder in ("empty", "new"):
        with pytest.raises(UserError, match="No space left on device.*: free some space"):
            write_page(parts, tmp_path / folder)
    assert list((tmp_path / "empty").iterdir()) == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["a", "b", "--static", "site"], "--static writes the page of one run, and 2 are given"),
        (["a", "--static", "site", "--port", "80"], "port has no effect with --static"),
        (["a", "--runtime", "x"], "runtime has no effect without --static"),
        (["a.onnx", "--static", "site"], "a.onnx is an exported file: give the run"),
        (["a", "--static", "site"], "a does not exist"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(tmp_path, monkeypatch, words, problem):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=problem):
        parse(["serve", *words])()
    assert list(tmp_path.iterdir()) == []
