"""The cures of errors about models, import and export: provoke the error, do what it says, and succeed."""

import shutil
from pathlib import Path

import pytest
import torch

from diptych.config import PatchganConfig, ResnetConfig
from diptych.interop import save_original
from diptych.networks import build_discriminator, build_generator
from helpers.cures import NEW, ORIGINAL, RUN, diptych, follow

MODEL = RUN / "model.safetensors"
A2B, B2A, DISCRIMINATOR = (Path(f"theirs/latest_net_{name}.pth") for name in ("G_A", "G_B", "D_A"))
IMPORT = f"import {A2B} --to new"
TRANSLATE = f"translate {MODEL} photos painted"
EXPORT = f"export {RUN} --original out"


def generator(path=A2B, *, width=2, channels=(3, 3)):
    """A file as the authors' code writes it."""
    path.parent.mkdir(exist_ok=True)
    save_original(build_generator(ResnetConfig(width=width, num_blocks=1), *channels), path)


def discriminator(path=DISCRIMINATOR, *, channels=3):
    path.parent.mkdir(exist_ok=True)
    save_original(build_discriminator(PatchganConfig(width=2, num_layers=1), channels), path)


def generators():
    generator(A2B)
    generator(B2A)


def saved(change):
    """A generator's file whose state dict went through ``change``."""
    generator()
    torch.save(change(torch.load(A2B, weights_only=True)), A2B)


def without_a_layer(state):
    return dict(list(state.items())[:-1])


def with_a_wide_layer(state):
    return {
        key: tensor.repeat(2, *[1] * (tensor.ndim - 1)) if key == "model.1.weight" else tensor
        for key, tensor in state.items()
    }


def not_finite(state):
    return {key: tensor * torch.nan for key, tensor in state.items()}


def written(content, path=A2B):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def cut_off():
    generator()
    A2B.write_bytes(A2B.read_bytes()[:-100])


def flip_a_bit():
    content = bytearray(MODEL.read_bytes())
    content[-1] ^= 1
    shutil.copy(MODEL, "copy.safetensors")
    MODEL.write_bytes(content)


def truncate():
    shutil.copy(MODEL, "copy.safetensors")
    MODEL.write_bytes(MODEL.read_bytes()[:100])


def copy_back():
    shutil.copy("copy.safetensors", MODEL)


def options_file(line):
    generators()
    Path("theirs/train_opt.txt").write_text(f"{line}\nisTrain: True\n")


def another_run(options):
    code, lines = diptych(f"{NEW} {options}")
    assert code == 0, lines


def default_run(options=""):
    """A run whose generators are the default, but small."""
    assert ORIGINAL in NEW
    code, lines = diptych(f"{NEW.replace(ORIGINAL, '')} {options}")
    assert code == 0, lines


CASES = {
    "a misspelt model": (None, "translate runs/photos2painting photos painted", f"did you mean {RUN}?", None, f"translate {RUN} photos painted"),
    "a .pth as a model": (
        generator, f"translate {A2B} photos painted", "convert original checkpoints with diptych import", lambda: diptych(IMPORT), "translate new photos painted"),
    "a folder of .pth as a model": (
        generators, "translate theirs photos painted", "diptych import theirs --to MODEL", lambda: diptych("import theirs --to new"), "translate new photos painted"),
    "a text as a model": (lambda: Path("x.txt").write_text("x"), "translate x.txt photos painted", "give a run, or its model.safetensors", None, TRANSLATE),
    "a model that is cut off": (truncate, TRANSLATE, "use another copy of it", copy_back, TRANSLATE),
    "a model with a flipped bit": (flip_a_bit, TRANSLATE, "use another copy of it", copy_back, TRANSLATE),
    "a checkpoint as a model": (
        lambda: shutil.copy(max(RUN.glob("checkpoints/*")), "x.safetensors"), "translate x.safetensors photos painted", "give a model", None, TRANSLATE),
    "a folder without a model": (lambda: Path("new").mkdir(), "translate new photos painted", "give a run that has trained, or a model file", None, TRANSLATE),
    "two formats": (None, f"export {RUN} x.onnx --original out", "give one at a time", None, EXPORT),
    "no format": (None, f"export {RUN}", "--original DIR", None, EXPORT),
    "a file as the folder": (lambda: Path("file").touch(), f"export {RUN} --original file", "give a folder to write to", None, EXPORT),
    "a model with a range": (
        lambda: another_run("--range-a 0 9"), "export new --original out", "export a run that was trained with no --range-a", None, EXPORT),
    "blur filters": (lambda: another_run("--generator.upsampling blur"), "export new --original out", "trained with --generator.upsampling transposed", None, EXPORT),
    "upsampling that they lack": (
        lambda: another_run("--generator.upsampling nearest"), "export new --original out", "trained with --generator.upsampling transposed",
        lambda: another_run("--generator.upsampling transposed --run newer"), "export newer --original out"),
    "generators that learn the change": (
        lambda: another_run("--generator.residual"), "export new --original out", "trained with --generator.no-residual",
        lambda: another_run("--generator.no-residual --run newer"), "export newer --original out"),
    "the default of CycleGAN": (
        lambda: default_run(), "export new --original out", "trained with --generator.upsampling transposed and --generator.no-residual",
        lambda: default_run("--run newer --generator.upsampling transposed --generator.no-residual"), "export newer --original out"),
    "the default of CUT": (
        lambda: default_run("--method cut"), "export new --original out",
        "with --generator.upsampling transposed, --generator.no-antialias and --discriminator.no-antialias",
        lambda: default_run("--method cut --run newer --generator.upsampling transposed --generator.no-antialias --discriminator.no-antialias"),
        "export newer --original out"),
    "a direction that the name gives": (generator, f"{IMPORT} --direction b2a", "leave --direction out", None, IMPORT),
    "no generator": (discriminator, f"import {DISCRIMINATOR} --to new", "give latest_net_G_A.pth too", generator, f"import {DISCRIMINATOR} {A2B} --to new"),
    "a target of another format": (generator, f"import {A2B} --to new.pth", "or a file that ends in .safetensors", None, f"import {A2B} --to new.safetensors"),
    "a folder without networks": (
        lambda: generator(Path("theirs/9_net_G_A.pth")), "import theirs --to new", "give the files themselves", None, "import theirs/9_net_G_A.pth --to new"),
    "names that do not say which": (
        lambda: (generator(Path("theirs/horse.pth")), generator(B2A)), f"import theirs/horse.pth {B2A} --to new", "rename it to latest_net_G_A.pth",
        lambda: Path("theirs/horse.pth").rename(A2B), f"import {A2B} {B2A} --to new"),
    "a discriminator without a name": (
        lambda: (generator(), discriminator(Path("theirs/judge.pth"))), f"import {A2B} theirs/judge.pth --to new", "rename it to latest_net_D_A.pth",
        lambda: Path("theirs/judge.pth").rename(DISCRIMINATOR), f"import {A2B} {DISCRIMINATOR} --to new"),
    "a generator named as a discriminator": (
        lambda: (generator(), generator(DISCRIMINATOR)), f"import {A2B} {DISCRIMINATOR} --to new", "latest_net_G_B.pth (B → A)",
        lambda: DISCRIMINATOR.rename(B2A), f"import {A2B} {B2A} --to new"),
    "two of one direction": (
        lambda: (generator(), generator(Path("theirs/5_net_G_A.pth"))), f"import {A2B} theirs/5_net_G_A.pth --to new", "give one of them", None, IMPORT),
    "generators of other channels": (
        lambda: (generator(), generator(B2A, channels=(1, 3))), f"import {A2B} {B2A} --to new", "give networks of one model", lambda: generator(B2A),
        f"import {A2B} {B2A} --to new"),
    "generators of other widths": (
        lambda: (generator(), generator(B2A, width=3)), f"import {A2B} {B2A} --to new", "give networks of one model", lambda: generator(B2A),
        f"import {A2B} {B2A} --to new"),
    "a discriminator of other channels": (
        lambda: (generator(), discriminator(channels=1)), f"import {A2B} {DISCRIMINATOR} --to new", "leave it out", None, IMPORT),
    "a wrong preprocessing": (
        lambda: options_file("preprocess: zoom"), "import theirs --to new", "give one of", lambda: options_file("preprocess: none"), "import theirs --to new"),
    "a wrong size": (
        lambda: options_file("crop_size: large"), "import theirs --to new", "correct or remove the file", Path("theirs/train_opt.txt").unlink, "import theirs --to new"),
    "part of a network": (
        lambda: saved(lambda state: {"x": torch.ones(1)}), IMPORT, "give a ResNet, U-Net, PatchGAN or pixel network that it saved", generator, IMPORT),
    "a missing bias": (lambda: saved(without_a_layer), IMPORT, "", generator, IMPORT),
    "a layer of another size": (lambda: saved(with_a_wide_layer), IMPORT, "give a file as the original code saved it", generator, IMPORT),
    "NaN": (lambda: saved(not_finite), IMPORT, "use another copy of it, or an earlier epoch's", generator, IMPORT),
    "a whole training state": (
        lambda: saved(lambda state: {"model": state, "epoch": 3}), IMPORT, "save the network's state_dict() alone with torch.save",
        lambda: torch.save(torch.load(A2B)["model"], A2B), IMPORT),
    "a whole network": (
        lambda: (generator(), torch.save(ResnetConfig(), A2B)), IMPORT, "save the network's state_dict() alone with torch.save", generator, IMPORT),
    "a missing .pth": (None, IMPORT, "give a .pth file of the original code", generator, IMPORT),
    "an empty .pth": (lambda: written(b""), IMPORT, "use another copy of it", generator, IMPORT),
    "a model to import": (lambda: written(MODEL.read_bytes()), IMPORT, "give a .pth file; a model.safetensors needs no import", None, TRANSLATE),
    "a text as .pth": (lambda: written(b"Dear diary"), IMPORT, "give a .pth file of the original code", generator, IMPORT),
    "a .pth that is cut off": (cut_off, IMPORT, "use another copy of it", generator, IMPORT),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_cure_of(desk, name):
    follow(CASES[name])


EXPORTS = {
    "a name of another format": (None, f"export {RUN} x.pb", "give a name that ends in one of them", None, f"export {RUN} x.pt2"),
    "a file that exists": (Path("x.pt2").touch, f"export {RUN} x.pt2", "or remove it", Path("x.pt2").unlink, f"export {RUN} x.pt2"),
    "bits beside a range": (
        lambda: another_run("--range-a 0 9 --range-b 0 9"), "export new x.pt2 --bits 8", "leave --bits out", None, "export new x.pt2"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTS)
def test_the_cure_of_an_export(desk, name):
    follow(EXPORTS[name])
