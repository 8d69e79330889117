"""Options of the original CycleGAN code, and their counterparts here."""

from collections.abc import Sequence

from diptych.interop.options_file import RESIZE

OPTIONS: dict[str, str] = {
    "--batchSize": "--batch-size",
    "--checkpoints-dir": "--run",
    "--dataroot": "--root",
    "--display-freq": "--num-samples",
    "--fineSize": "--crop-size",
    "--gan-mode": "--gan-loss",
    "--gpu-ids": "--device cpu or cuda (the variable CUDA_VISIBLE_DEVICES chooses the GPU)",
    "--identity": "--lambda-identity",
    "--init-type": "--initialisation",
    "--input-nc": "--channels-a",
    "--lambda-L1": "--lambda-l1",
    "--loadSize": "--load-size",
    "--lr": "--learning-rate",
    "--lr-decay-iters": "its part of the run as --decay-fraction",
    "--lr-policy": "--schedule",
    "--max-dataset-size": "a folder with fewer pictures",
    "--model": "--method",
    "--n-epochs": "the sum of n_epochs and n_epochs_decay as --epochs",
    "--n-epochs-decay": "its part of the run as --decay-fraction",
    "--n-layers-D": "--discriminator.num-layers",
    "--nThreads": "--num-workers",
    "--name": "--run",
    "--ndf": "--discriminator.width",
    "--netD": "--discriminator",
    "--netG": "--generator",
    "--ngf": "--generator.width",
    "--niter": "the sum of niter and niter_decay as --epochs",
    "--niter-decay": "its part of the run as --decay-fraction",
    "--no-dropout": "--generator.no-dropout",
    "--norm": "--generator.norm and --discriminator.norm",
    "--num-threads": "--num-workers",
    "--output-nc": "--channels-b",
    "--preprocess": "--resize",
    "--resize-or-crop": "--resize",
    "--save-by-iter": "--save-minutes",
    "--save-epoch-freq": "--save-minutes",
    "--save-latest-freq": "--save-minutes",
    "--suffix": "--run",
    "--update-html-freq": "--num-samples",
    "--verbose": "--dry-run",
    "--which-direction": "--direction",
    "--which-model-netD": "--discriminator",
    "--which-model-netG": "--generator",
}
"""What to give instead of each training option of the original. Its underscores are written as dashes."""

NO_COUNTERPART: dict[str, str] = {
    "--continue-train": "the same command resumes by itself",
    "--dataset-mode": "it follows from --method",
    **dict.fromkeys(
        (
            "--display-env",
            "--display-id",
            "--display-ncols",
            "--display-port",
            "--display-server",
            "--display-winsize",
            "--no-html",
        ),
        "report.html is written during training, without visdom",
    ),
    "--epoch-count": "a resumed run continues at its last checkpoint",
    "--init-gain": "it is 0.02",
    "--load-iter": "the last checkpoint is used",
    "--phase": "the folder names separate training from test pictures",
    "--print-freq": "losses are logged every 100 pictures",
    "--serial-batches": "the order is a function of --seed",
    **dict.fromkeys(("--use-wandb", "--wandb-project-name"), "--tensorboard writes curves for TensorBoard"),
}
"""Options of the original that have no counterpart, and why."""

VALUES: dict[tuple[str, str], str] = {
    ("--gan-loss", "lsgan"): "least-squares",
    **{
        ("--resize", original): resize if is_cropped else f"{resize} --crop-size 0"
        for original, (resize, is_cropped) in RESIZE.items()
    },
    ("--generator", "resnet_9blocks"): "resnet --generator.num-blocks 9",
    ("--generator", "resnet_6blocks"): "resnet --generator.num-blocks 6",
    ("--generator", "unet_256"): "unet --generator.num-levels 8",
    ("--generator", "unet_128"): "unet --generator.num-levels 7",
    ("--discriminator", "basic"): "patchgan --discriminator.num-layers 3",
    ("--discriminator", "n_layers"): "patchgan --discriminator.num-layers 3",
    ("--method", "cycle_gan"): "cyclegan",
    ("--direction", "AtoB"): "a2b",
    ("--direction", "BtoA"): "b2a",
}
"""Our value for each pair of our option and the original's value."""


def all_cures(words: Sequence[str]) -> str:
    """The cures for all options of the original in ``words``, separated; empty if the first word is none."""
    cures = []
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, _, value = word.partition("=")
        name = name.replace("_", "-")
        cures.append((name, option_cure(name, value or after)))
    if not cures[0][1]:
        return ""
    return "; ".join([cures[0][1], *(f"for {name}, {cure}" for name, cure in cures[1:] if cure)])


def option_cure(name: str, value: str = "") -> str:
    """The cure for the original's option ``name`` with ``value``; empty if the original has none of this name."""
    if name in OPTIONS:
        return value_cure(OPTIONS[name], value) or f"give {OPTIONS[name]}"
    return f"leave it out, since {NO_COUNTERPART[name]}" if name in NO_COUNTERPART else ""


def value_cure(name: str, value: str) -> str:
    """The cure for the original's ``value`` of our option ``name``; empty if it is not one."""
    counterpart = VALUES.get((name, value), "")
    return f"give {name} {counterpart}" if counterpart else ""
