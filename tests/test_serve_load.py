"""``diptych serve`` under load: many requests at the same time, a client that dies, and hostile uploads meanwhile."""

import gc
import io
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from diptych import Translator
from helpers.models import save_random_model
from helpers.serving import LIMITS, serving
from helpers.translators import picture

REQUESTS, PARALLEL = 200, 8
MEMORY = 12 * 2**20
"""Bytes by which the process may grow in the second half, in which nothing is new: less than 1/8 MB a request."""


def png(values):
    made = io.BytesIO()
    Image.fromarray(values).save(made, format="PNG")
    return made.getvalue()


def start(client, content, name="picture.png"):
    """Uploads a file and asks for its translation. Returns where the answer will be."""
    (path,) = client.post("/gradio_api/upload", files={"files": (name, content)}).raise_for_status().json()
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, "model", "a2b", False]
    event = client.post("/gradio_api/call/translate", json={"data": data}).raise_for_status().json()["event_id"]
    return f"/gradio_api/call/translate/{event}"


def finish(client, where):
    """The kind of the answer (``complete`` or ``error``) and its data."""
    lines = client.get(where).raise_for_status().text.splitlines()
    kind = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")][-1]
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")][-1]
    return kind, json.loads(data)


def translated(client, values):
    kind, data = finish(client, start(client, png(values)))
    assert kind == "complete", data
    return np.asarray(Image.open(io.BytesIO(client.get(f"/gradio_api/file={data[0]['path']}").content)))


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


@pytest.mark.slow
def test_200_requests_8_at_a_time_with_a_client_that_dies(tmp_path):
    model = save_random_model(tmp_path / "model.safetensors")
    pictures = [picture(index, 20 + index % 3, 24) for index in range(REQUESTS)]
    expected = [np.asarray(Translator.load(model)(values)) for values in pictures]
    refused, stop = [], threading.Event()
    with serving([model], replace(LIMITS, max_waiting=2 * PARALLEL + 2)) as address:
        store = Path(os.environ["GRADIO_TEMP_DIR"])

        def attack():
            """Sends what is no picture, and files that are no upload, until the load ends."""
            with httpx.Client(base_url=address, timeout=60) as client:
                while not stop.wait(0.05):
                    kind, _ = finish(client, start(client, b"<script>alert(1)</script>"))
                    elsewhere = client.get("/gradio_api/file=/etc/passwd").status_code
                    refused.append((kind, elsewhere))

        def ask(number):
            return translated(client, pictures[number])

        attacker = threading.Thread(target=attack)
        attacker.start()
        try:
            half = REQUESTS // 2
            with httpx.Client(base_url=address, timeout=60) as client, ThreadPoolExecutor(PARALLEL) as pool:
                made = list(pool.map(ask, range(half)))
            before = resident()
            with httpx.Client(base_url=address, timeout=60) as client:  # dies while it waits for its answers
                for number in range(PARALLEL):
                    start(client, png(pictures[half + number]))
            with httpx.Client(base_url=address, timeout=60) as client, ThreadPoolExecutor(PARALLEL) as pool:
                made += pool.map(ask, range(half, REQUESTS))
        finally:
            stop.set()
            attacker.join()
        grown = resident() - before
        uploads = [path for path in store.rglob("*") if path.name == "picture.png"]
    assert len(made) == REQUESTS
    assert [number for number in range(REQUESTS) if not np.array_equal(made[number], expected[number])] == []
    assert len(refused) > 5
    assert set(refused) == {("error", 403)}
    assert uploads == []
    assert not store.exists()
    assert grown < MEMORY
