"""The processor: its name, and the instructions that decide how fast networks are."""

import platform
from pathlib import Path

import torch

ABILITIES = {"avx2": "AVX2", "avx512_f": "AVX-512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}
"""torch's names of instruction sets, and their usual names, from old to new."""
CPUINFO = Path("/proc/cpuinfo")


def abilities() -> list[str]:
    """Those of ``ABILITIES`` that this processor has and that torch may use (``ATEN_CPU_CAPABILITY`` can lower it)."""
    found, level = torch.cpu.get_capabilities(), torch.backends.cpu.get_cpu_capability()
    allowed = {"AVX512": list(ABILITIES), "AVX2": ["avx2"]}.get(level, [])
    return [ABILITIES[name] for name in allowed if found.get(name)]


def describe_processor(cpuinfo: Path = CPUINFO) -> str:
    """One line: name, family and model of the processor, and its ``abilities``. ``cpuinfo`` is Linux's description."""
    facts = _facts(cpuinfo)
    name = facts.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{key.removeprefix('cpu ')} {facts[key]}" for key in ("cpu family", "model") if key in facts]
    return ", ".join([" ".join([name, f"({', '.join(numbers)})"]) if numbers else name, *abilities()])


def _facts(cpuinfo: Path) -> dict[str, str]:
    """What Linux says of the first core; empty elsewhere."""
    try:
        first = cpuinfo.read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
