"""Numbers that the authors' code computed; see ``tests/reference/README.md``."""

import json
from pathlib import Path

import torch

REFERENCE = Path(__file__).parents[1] / "reference"
INDEX = json.loads((REFERENCE / "index.json").read_text())

# We name discriminators and identity losses by the domain of their images; the authors name them by a direction.
CYCLEGAN_NETWORKS = {
    "G_A": "generators.a2b",
    "G_B": "generators.b2a",
    "D_A": "discriminators.b",
    "D_B": "discriminators.a",
}
CYCLEGAN_LOSSES = {
    "G_A": "gan_b", "G_B": "gan_a", "cycle_A": "cycle_a", "cycle_B": "cycle_b",
    "idt_A": "identity_b", "idt_B": "identity_a", "D_A": "discriminator_b", "D_B": "discriminator_a",
}  # fmt: skip


def picture(values, dtype=torch.float32):
    return values.to(dtype) / 127.5 - 1
