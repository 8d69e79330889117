"""``diptych serve``: its answers, its limits, and what strangers send."""

import gc
import io
import json
import os
import socket
import weakref
import zipfile
import zlib
from pathlib import Path

import gradio_client
import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image

from diptych.cli import main
from diptych.data.formats.reading import read_picture
from diptych.errors import OptionError
from diptych.serve import http
from diptych.serve.actions import Actions
from helpers.models import save_random_model
from helpers.serving import LIMITS, serving
from helpers.translators import picture

SIZES = ((64, 64), (37, 81), (200, 130))
FILE = {"_type": "gradio.FileData"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("served") / "model.safetensors")


@pytest.fixture(scope="module")
def address(model):
    with serving([model]) as address:
        yield address


@pytest.fixture(scope="module")
def client(address, tmp_path_factory):
    return gradio_client.Client(address, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))


@pytest.fixture
def store():
    """The folder with what visitors have sent."""
    return Path(os.environ["GRADIO_TEMP_DIR"])


def send(client, path, **options):
    return client.predict(picture=gradio_client.handle_file(path), api_name="/translate", **options)


def by_command(model, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["translate", str(model), *map(str, arguments), "--precision", "fp32"])
    assert exit_.value.code == 0


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_its_answers_equal_the_command_line(client, model, tmp_path, direction):
    for index, (width, height) in enumerate(SIZES):
        Image.fromarray(picture(index, height, width)).save(tmp_path / "in.png")
        by_command(model, tmp_path / "in.png", tmp_path / "out.png", "--direction", direction)
        translation, back, _ = send(client, tmp_path / "in.png", direction=direction, back=True)
        assert np.array_equal(Image.open(translation), Image.open(tmp_path / "out.png"))
        reverse = {"a2b": "b2a", "b2a": "a2b"}[direction]
        by_command(model, tmp_path / "out.png", tmp_path / "back.png", "--direction", reverse)
        assert np.array_equal(Image.open(back), Image.open(tmp_path / "back.png"))


def test_sixteen_bits_stay_sixteen_bits(client, model, tmp_path):
    tifffile.imwrite(tmp_path / "deep.tif", picture(0, 40, 50, dtype=np.uint16))
    by_command(model, tmp_path / "deep.tif", tmp_path / "out.tif")
    translation, *_ = send(client, tmp_path / "deep.tif")
    given = read_picture(Path(translation)).values
    assert given.dtype == np.uint16
    assert np.array_equal(given, read_picture(tmp_path / "out.tif").values)


def test_a_batch_comes_back_as_a_zip_with_a_line_for_each_that_is_not_in_it(client, tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for index, folder in enumerate(folders):
        folder.mkdir()
        Image.fromarray(picture(index, 40, 50)).save(folder / "same.png")
    (tmp_path / "notes.txt").write_text("no picture")
    files = [*(folder / "same.png" for folder in folders), tmp_path / "notes.txt"]
    archive, problems = client.predict(pictures=[*map(gradio_client.handle_file, files)], api_name="/translate_all")
    with zipfile.ZipFile(archive) as packed:
        images = {name: np.asarray(Image.open(io.BytesIO(packed.read(name)))) for name in packed.namelist()}
    assert len(images) == 2
    assert not np.array_equal(*images.values())
    assert len(problems) == 1
    assert problems[0].startswith("notes.txt is not a picture")


def bomb(path):
    """A PNG of a few kB that claims 20,000 × 20,000 pixels."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (20000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = zlib.compress(bytes(10**6))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def wide(path):
    Image.new("RGB", (1100, 1000)).save(path)


def cut_off(path):
    Image.fromarray(picture(0)).save(path)
    path.write_bytes(path.read_bytes()[:2000])


HOSTILE = {
    "text.png": (lambda path: path.write_text("<script>alert(1)</script>"), "is not a picture"),
    "empty.png": (lambda path: path.touch(), "is empty"),
    "bomb.png": (bomb, "pixels"),
    "wide.png": (wide, "has 1100×1000 pixels, more than 1 million"),
    "cut.png": (cut_off, "is cut off or damaged"),
    "page.svg": (lambda path: path.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>'), "is not a picture"),
    "document.pdf": (lambda path: path.write_bytes(b"%PDF-1.7\n" + bytes(200)), "is a PDF file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_no_good_gets_one_message_and_the_next_picture_works(client, store, tmp_path, name):
    make, words = HOSTILE[name]
    make(tmp_path / name)
    with pytest.raises(gradio_client.exceptions.AppError, match=words) as raised:
        send(client, tmp_path / name)
    assert str(store) not in str(raised.value)
    assert "\n" not in str(raised.value)
    Image.fromarray(picture(0, 40, 50)).save(tmp_path / "good.png")
    send(client, tmp_path / "good.png")
    assert not list(store.rglob("good.png"))
    assert not list(store.rglob(name))


def test_a_polyglot_comes_back_as_a_picture_alone(client, tmp_path):
    """A GIF that is also a zip: the answer holds only the picture."""
    Image.fromarray(picture(0, 40, 50)).save(tmp_path / "both.gif")
    with zipfile.ZipFile(tmp_path / "both.gif", "a") as packed:
        packed.writestr("evil.txt", "evil")
    assert zipfile.is_zipfile(tmp_path / "both.gif")
    translation, *_ = send(client, tmp_path / "both.gif")
    assert not zipfile.is_zipfile(translation)
    assert Image.open(translation).size == (50, 40)


def test_models_and_directions_that_do_not_exist_are_named(client, tmp_path):
    Image.fromarray(picture(0, 40, 50)).save(tmp_path / "good.png")
    with pytest.raises(gradio_client.exceptions.AppError, match="there is no model"):
        send(client, tmp_path / "good.png", model="../model")
    with pytest.raises(gradio_client.exceptions.AppError, match="has no direction"):
        send(client, tmp_path / "good.png", direction="a2c")


def call(address, name, *data):
    """The outcome of a call by HTTP alone, without the client's own checks."""
    started = httpx.post(f"{address}/gradio_api/call/{name}", json={"data": [*data]})
    if started.status_code != 200:
        return f"{started.status_code}"
    return httpx.get(f"{address}/gradio_api/call/{name}/{started.json()['event_id']}", timeout=30).text


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../../etc/passwd", "{store}/../../etc/passwd", "{store}/examples/0/a-1.png",
     "http://127.0.0.1:9/x.png", "file:///etc/passwd", "{store}", "\0", "x" * 5000],
)  # fmt: skip
def test_a_request_cannot_name_a_file_that_is_not_its_upload(address, store, path, capfd):
    named = {"path": path.format(store=store), "meta": FILE}
    for name, value in (("translate", named), ("translate_all", [named])):
        outcome = call(address, name, value, "model", "a2b", *([False] if name == "translate" else []))
        assert outcome == "400" or "event: error" in outcome
        assert "root:" not in outcome
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("path", ["call/translate", "call/nothing", "call/v2/translate", "queue/join"])
@pytest.mark.parametrize(
    "body",
    ["{", "[]", "null", '{"data": 5}', '{"data": []}', '{"data": [1, 2, 3, 4]}', '{"data": [{"path": 5}, 1, 2, 3]}',
     '{"fn_index": 99, "data": [], "session_hash": "x"}', '{"fn_index": {}, "data": []}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_call_is_refused_without_a_traceback_in_the_terminal(address, path, body, capfd):
    assert httpx.post(f"{address}/gradio_api/{path}", content=body).status_code == 400
    assert "Traceback" not in capfd.readouterr().err


def test_only_addresses_that_the_page_uses_exist(address, store):
    for path in (
        "/gradio_api/proxy=http://127.0.0.1:9/", "/gradio_api/file=http://127.0.0.1:9/x", "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd", f"/gradio_api/file={store}/../../etc/passwd", "/docs", "/monitoring",
        "/gradio_api/process_recording", "/gradio_api/runs", "/gradio_api/vibe-code",
    ):  # fmt: skip
        assert httpx.get(address + path).status_code in (403, 404), path


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/evil.png", "..\\evil.png", "a\nb.png", "<img src=x>.png", "." * 300]
)
def test_names_of_uploads_lead_nowhere(address, store, name):
    (path,) = httpx.post(f"{address}/gradio_api/upload", files={"files": (name, b"x")}).json()
    assert Path(path).parent.parent == store
    assert not set("<>\n\\") & set(Path(path).name)


def test_large_bodies_are_refused(address):
    one = {"files": ("big.png", bytes(LIMITS.max_bytes + 1))}
    assert httpx.post(f"{address}/gradio_api/upload", files=one).status_code == 413
    many = {"files": ("big.png", bytes(LIMITS.max_files * LIMITS.max_bytes + 2 * 10**6))}
    assert httpx.post(f"{address}/gradio_api/upload", files=many).status_code == 413
    body = json.dumps({"data": ["x" * 2 * 10**6]})
    assert httpx.post(f"{address}/gradio_api/call/translate", content=body).status_code == 413

    def chunks():  # without a length
        for _ in range(30):
            yield bytes(10**5)

    answer = httpx.post(f"{address}/gradio_api/call/translate", content=chunks())
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "start", [b"", b"GET / HT", b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nab"]
)
def test_a_sender_who_stops_is_cut_off(address, monkeypatch, start):
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.3)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(start)
        while connection.recv(4096):  # an answer, or nothing; then the end
            pass


def test_an_error_keeps_nothing_of_the_request_that_made_it():
    actions = Actions(None, LIMITS, None, {})

    class Session:
        """What Gradio holds for a visitor."""

    def request(action):
        session = Session()
        with pytest.raises(OptionError, match="there is no picture"):
            action(None, "model", "a2b", *([False] if action == actions.translate else []))
        return weakref.ref(session)

    kept = [request(action) for action in (actions.translate, actions.translate_all)]
    gc.collect()
    assert [each() for each in kept] == [None, None]


def test_without_gradio_one_line_says_what_to_install(model, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as exit_:
        main(["serve", str(model)])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "diptych: diptych serve needs: pip install 'diptych[app]'\n"


def test_a_port_that_is_taken_is_one_line(model, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit) as exit_:
            main(["serve", str(model), "--port", port, "--engine", "torch"])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("Address already in use): give another --port")
