"""The protocol of an evaluation: everything that is needed to compute the same scores again."""

from importlib.metadata import version
from typing import Any

import torch

from diptych.checksummed import sha256_of
from diptych.evaluation import distances
from diptych.evaluation.eval_set import Pictures
from diptych.evaluation.features import BATCH_SIZE, FeatureNetwork
from diptych.evaluation.measure import MIN_TO_SPLIT, NUM_SPLITS
from diptych.evaluation.subject import Subject
from diptych.model import versions
from diptych.pair import Pair


def protocol(
    subject: Subject,
    pictures: Pair[Pictures],
    network: FeatureNetwork,
    *,
    paired: bool,
    seed: int,
    palette: list[str] | None,
) -> dict[str, Any]:
    """The protocol of an evaluation as JSON."""
    card, data, file = subject.card, subject.card.data, subject.file
    size = "their own size" if data.resize == "none" else f"{data.crop_size or data.load_size} ({data.resize})"
    subset_size, num_subsets = distances.kid_subsets(*pictures.map(len))
    return {
        "features": {"network": network.name, "sha256": network.sha256, "size": network.size},
        "resize": f"to {size}, uncropped; then to {network.size}×{network.size} (Pillow bicubic)",
        "bits": 8,
        "pictures": {
            name: {
                "folder": str(domain.domain.folder),
                "number": len(domain),
                "interpolation": domain.encoding.interpolation,
                "names_sha256": domain.domain.sha256,
                "contents_sha256": domain.contents_sha256,
            }
            for name, domain in zip(card.names, pictures, strict=True)
        },
        "paired": paired,
        "label_map_colours": palette,
        "model": {"file": file.name, "sha256": sha256_of(file), "ema": card.ema, "pictures_seen": card.pictures},
        "seed": seed,
        "kid": {
            "kernel": "(x·y / D + 1)³, unbiased",
            "subset_size": subset_size,
            "num_subsets": num_subsets,
            "num_bootstraps": distances.NUM_BOOTSTRAPS,
            "level": distances.CONFIDENCE,
        },
        "density_coverage": {"num_neighbours": distances.NUM_NEIGHBOURS},
        "real_halves": {"num_splits": NUM_SPLITS, "min_pictures": MIN_TO_SPLIT},
        "untrained": {"initialisation": "normal", "seed": seed},
        "engine": {
            "device": str(network.device),
            "precision": "fp32",
            "translations": subject.engine,
            "threads": torch.get_num_threads(),
            "batch_size": BATCH_SIZE,
        },
        "versions": versions() | {"torchmetrics": version("torchmetrics")},
    }
