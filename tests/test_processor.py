"""The processor's name and abilities, and the memory layout that follows from them."""

import os
import subprocess
import sys

import pytest
import torch

from diptych.config import EngineConfig
from diptych.device import resolve_engine
from diptych.processor import abilities, describe_processor

CPUINFO = """processor : 0
vendor_id : GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz

processor : 1
cpu family : 7
"""
AVX2, AVX512 = ["AVX2"], ["AVX2", "AVX-512"]
BF16, AMX = [*AVX512, "AVX512-BF16"], [*AVX512, "AVX512-BF16", "AMX"]


def test_a_processor_is_described_by_name_numbers_and_abilities(tmp_path):
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    expected = ["Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz (family 6, model 143)", *abilities()]
    assert describe_processor(tmp_path / "cpuinfo") == ", ".join(expected)


def test_where_the_system_says_nothing_the_description_is_that_of_python(tmp_path):
    described = describe_processor(tmp_path / "missing")
    assert described
    assert "(" not in described


def test_abilities_are_those_that_torch_may_use():
    flags = torch.cpu.get_capabilities()
    assert ("AMX" in abilities()) == bool(flags.get("amx_bf16"))
    command = [sys.executable, "-c", "from diptych.processor import abilities; print(*abilities())"]
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [name for name in abilities() if name == "AVX2"]


@pytest.mark.parametrize(
    ("processor", "precision", "expected"),
    [
        ([], "fp32", False),
        (AVX2, "fp32", False),
        (AVX512, "fp32", True),
        (AVX512, "bf16", False),
        (BF16, "fp32", True),
        (BF16, "bf16", False),
        (AMX, "bf16", True),
        (AMX, "fp32", True),
    ],
)
def test_the_memory_layout_follows_the_abilities_of_the_processor(processor, precision, expected, monkeypatch):
    monkeypatch.setattr("diptych.device.abilities", lambda: processor)
    assert resolve_engine(EngineConfig(device="cpu", precision=precision)).channels_last is expected
    for given in (True, False):
        assert (
            resolve_engine(EngineConfig(device="cpu", precision=precision, channels_last=given)).channels_last is given
        )


@pytest.mark.parametrize(("processor", "precision"), [(AVX2, "fp32"), (AVX512, "fp32"), (BF16, "bf16"), (AMX, "bf16")])
def test_precision_is_bf16_where_the_processor_has_it(processor, precision, monkeypatch):
    monkeypatch.setattr("diptych.device.abilities", lambda: processor)
    assert resolve_engine(EngineConfig(device="cpu")).precision == precision
