"""``diptych import`` and ``diptych export``: from the original's files to a model and back, bit by bit."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diptych.checksummed import read_checksummed
from diptych.cli import main
from diptych.config import (
    CycleganConfig,
    DataConfig,
    EngineConfig,
    LengthConfig,
    PatchganConfig,
    PixelConfig,
    ResnetConfig,
    SourceConfig,
    TrainConfig,
    UnetConfig,
)
from diptych.data.encoding import Encoding
from diptych.errors import WeightsError
from diptych.inference.translator import Translator
from diptych.interop import export_original, import_original, save_original
from diptych.interop.exporting import original_options
from diptych.interop.names import DESCRIPTIONS
from diptych.model import ModelCard, load_model, save_model
from diptych.networks import build_discriminator, build_generator
from diptych.pair import Pair
from diptych.training.loop import train

REFERENCE = Path(__file__).parent / "reference"
GENERATORS = sorted(path.name for path in REFERENCE.glob("*_net_G.pth"))
RESNET, PATCHGAN = ResnetConfig(width=2, num_blocks=1), PatchganConfig(width=2, num_layers=1)
CYCLEGAN = ["latest_net_G_A.pth", "latest_net_G_B.pth", "latest_net_D_A.pth", "latest_net_D_B.pth"]


def originals(folder, names, *, channels=(3, 3), generator=RESNET, discriminator=PATCHGAN):
    """Files ``names`` as the authors' code writes them, of networks between domains with these ``channels``."""
    a, b = channels
    for name in names:
        what = name.removesuffix(".pth").rpartition("net_")[2]
        if what.startswith("G"):
            network = build_generator(generator, *((b, a) if what == "G_B" else (a, b)))
        else:
            network = build_discriminator(discriminator, {"D_A": b, "D_B": a, "D": a + b}[what])
        save_original(network, folder / name)
    return [folder / name for name in names]


def states(folder):
    return {path.name: torch.load(path, weights_only=True) for path in folder.iterdir()}


def equal(first, second):
    return first.keys() == second.keys() and all(
        first[name].keys() == second[name].keys()
        and all(torch.equal(first[name][key], second[name][key]) for key in first[name])
        for name in first
    )


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


@pytest.fixture
def theirs(tmp_path):
    (tmp_path / "theirs").mkdir()
    return tmp_path / "theirs"


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_of_the_authors_is_imported_and_exported(tmp_path, name):
    import_original([REFERENCE / name], tmp_path / "model.safetensors")
    export_original(tmp_path / "model.safetensors", tmp_path / "back")
    original = torch.load(REFERENCE / name, weights_only=True)
    if name.startswith("legacy"):
        original = {key: value for key, value in original.items() if f"{key.rpartition('.')[0]}.weight" in original}
    assert equal(states(tmp_path / "back"), {"latest_net_G.pth": original})


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (CYCLEGAN, {}),
        (CYCLEGAN, {"channels": (1, 3), "discriminator": PixelConfig(width=2, norm="batch")}),
        (CYCLEGAN[:2], {"generator": UnetConfig(width=1, num_levels=5, norm="batch")}),
        (CYCLEGAN[:3], {"generator": ResnetConfig(width=1, num_blocks=0, norm="none")}),
        (["latest_net_G_A.pth", "latest_net_D_A.pth"], {}),
        (["latest_net_G_B.pth", "latest_net_D_B.pth"], {"channels": (1, 3)}),
        (["latest_net_G_B.pth"], {}),
        (["latest_net_G.pth", "latest_net_D.pth"], {"channels": (1, 3)}),
        (["latest_net_G.pth"], {"generator": ResnetConfig(width=1, num_blocks=2, dropout=True)}),
    ],
)
def test_the_round_trip_is_exact(tmp_path, theirs, names, options):
    found = import_original(originals(theirs, names, **options), tmp_path / "run")
    assert found.file == tmp_path / "run" / "model.safetensors"
    written = export_original(tmp_path / "run", tmp_path / "back")
    assert sorted(path.name for path in written.files.values()) == sorted(names)
    assert equal(states(theirs), states(tmp_path / "back"))


def test_what_is_imported_translates_in_its_direction(tmp_path, theirs):
    files = originals(theirs, CYCLEGAN, channels=(1, 3))
    model = load_model(import_original(files, tmp_path / "m.safetensors").file, discriminators=True)
    pictures = {"a": torch.rand(1, 1, 32, 32), "b": torch.rand(1, 3, 32, 32)}
    for name, ours, domain in (
        ("G_A", model.networks["a2b"], "a"), ("G_B", model.networks["b2a"], "b"),
        ("D_A", model.discriminators["b"], "b"), ("D_B", model.discriminators["a"], "a"),
    ):  # fmt: skip
        original = torch.load(theirs / f"latest_net_{name}.pth", weights_only=True)
        assert all(torch.equal(original[key], value) for key, value in ours.state_dict().items())
        ours(pictures[domain])
    card = model.card
    assert (card.channels, card.names, card.pictures, card.method) == ((1, 3), ("A", "B"), None, "cyclegan")
    assert card.data == DataConfig(resize="square", load_size=286, crop_size=256, channels_a=1, channels_b=3)
    assert load_model(tmp_path / "m.safetensors").discriminators == {}
    assert Translator.load(tmp_path / "m.safetensors", "b2a").channels_out == 1


def test_files_with_two_underscores_name_a_discriminator_by_its_input(tmp_path, theirs):
    for theirs_name, name in zip(CYCLEGAN, ("G__AB_9", "G__BA_9", "D__B_9", "D__A_9"), strict=True):
        originals(theirs, [theirs_name])[0].rename(theirs / f"{name}.pth")
    found = import_original(sorted(theirs.iterdir()), tmp_path / "run")
    assert {DESCRIPTIONS[role]: network.path.stem for role, network in found.networks.items()} == {
        "generator A → B": "G__AB_9", "generator B → A": "G__BA_9",
        "discriminator of A": "D__A_9", "discriminator of B": "D__B_9",
    }  # fmt: skip
    assert any("LeakyReLU" in note for note in found.notes)


def test_import_says_what_it_found_and_what_it_assumes(tmp_path, theirs, capsys):
    files = originals(theirs, CYCLEGAN)
    code, out, err = run(capsys, "import", *files, "--to", tmp_path / "run")
    assert code == 0
    assert out == f"{tmp_path / 'run' / 'model.safetensors'}\n"
    architecture = "ResNet of 1 blocks, width 2, instance norm, 3 to 3 channels"
    assert f"{files[0]}: generator A → B: {architecture}\n" in err
    assert f"{files[2]}: discriminator of B: PatchGAN of 1 layers, width 2, instance norm, 3 channels\n" in err
    assert "how pictures were preprocessed; the original's defaults are assumed: resized to 286" in err


def test_export_says_what_it_wrote(tmp_path, theirs, capsys):
    import_original(originals(theirs, CYCLEGAN[:2]), tmp_path / "run")
    code, out, err = run(capsys, "export", tmp_path / "run", "--original", tmp_path / "back")
    assert (code, out) == (0, f"{tmp_path / 'back'}\n")
    assert err.splitlines() == [
        "latest_net_G_A.pth: generator A → B",
        "latest_net_G_B.pth: generator B → A",
        "the original's test.py has no name for generators of this depth",
        "no discriminators: only a run's checkpoint holds them",
    ]


@pytest.mark.parametrize(
    ("generator", "options"),
    [
        (ResnetConfig(width=64, num_blocks=9), "--netG resnet_9blocks --ngf 64 --norm instance --no_dropout --input_nc 1 --output_nc 3"),
        (UnetConfig(width=32, num_levels=8, norm="batch", dropout=True), "--netG unet_256 --ngf 32 --norm batch --input_nc 1 --output_nc 3"),
        (ResnetConfig(num_blocks=3), ""),
        (UnetConfig(num_levels=5), ""),
    ],
)  # fmt: skip
def test_the_originals_options_for_a_model_are_printed(generator, options):
    card = ModelCard(
        method="cyclegan", generator=generator, encodings=Pair(Encoding(1), Encoding(3)), names=Pair("A", "B"), data=DataConfig(), pictures=0, ema=False
    )  # fmt: skip
    assert original_options(card, ["a2b", "b2a"]) == options
    turned = options.replace("--input_nc 1 --output_nc 3", "--input_nc 3 --output_nc 1 --direction BtoA")
    assert original_options(card, ["b2a", "joint"]) == turned


OPTIONS_FILE = """----------------- Options ---------------
               batch_size: 1
                crop_size: 64                            \t[default: 256]
                direction: BtoA                          \t[default: AtoB]
                  isTrain: True                          \t[default: None]
                load_size: 72                            \t[default: 286]
                    model: pix2pix                       \t[default: cycle_gan]
               no_dropout: False
                  no_flip: True                          \t[default: False]
               preprocess: scale_width_and_crop          \t[default: resize_and_crop]
----------------- End -------------------
"""


def test_a_folder_is_imported_with_what_its_options_file_says(tmp_path, theirs):
    originals(theirs, ["latest_net_G.pth"], channels=(3, 1), generator=UnetConfig(width=1, num_levels=5))
    (theirs / "train_opt.txt").write_text(OPTIONS_FILE)
    (theirs / "test_opt.txt").write_text("crop_size: 1")
    found = import_original([theirs], tmp_path / "m.safetensors")
    card = load_model(found.file).card
    assert card.data == DataConfig(resize="width", load_size=72, crop_size=64, flip=False, channels_a=1, channels_b=3)
    assert (card.method, card.generator.dropout) == ("pix2pix", True)
    assert list(load_model(found.file).networks) == ["b2a"]
    options = "--resize width --load-size 72 --crop-size 64 --no-flip"
    assert found.notes == (
        f"preprocessing taken from {theirs / 'train_opt.txt'}; to train further with it, give {options}",
        "a U-Net's weights do not record dropout: it is on (from train_opt.txt)",
    )
    (theirs / "train_opt.txt").write_text("preprocess: crop")
    without = import_original([theirs], tmp_path / "without.safetensors").notes
    assert without[0].endswith("give --resize none --crop-size 256")
    assert without[1].endswith("it is off (the method's default)")
    (theirs / "train_opt.txt").write_text(OPTIONS_FILE)
    again = import_original([theirs], tmp_path / "other.safetensors", direction="a2b")
    assert list(load_model(again.file).networks) == ["a2b"]


@pytest.mark.parametrize(
    ("line", "words"),
    [("crop_size: large", "crop_size is 'large': correct"), ("preprocess: zoom", "preprocess is 'zoom': give one of")],
)
def test_an_invalid_options_file_is_one_line(tmp_path, theirs, line, words):
    originals(theirs, CYCLEGAN[:2])
    (theirs / "opt.txt").write_text(f"{line}\n")
    with pytest.raises(WeightsError, match=rf"opt\.txt: {words}"):
        import_original([theirs], tmp_path / "run")
    (theirs / "opt.txt").write_text(f"{line}\nisTrain: False\n")
    assert import_original([theirs], tmp_path / "run").card.data.load_size == 286


def test_a_run_is_exported_with_the_discriminators_of_its_checkpoint(squares, tmp_path):
    config = TrainConfig(
        source=SourceConfig(root=squares),
        method=CycleganConfig(pool_size=2),
        generator=replace(RESNET, upsampling="transposed", residual=False),
        discriminator=PATCHGAN,
        data=DataConfig(load_size=36, crop_size=32),
        length=LengthConfig(pictures=4),
        engine=EngineConfig(precision="fp32"),
    )
    done = train(config, tmp_path / "run")
    export_original(done.folder, tmp_path / "out")
    tensors, _ = read_checksummed(done.checkpoint_files()[-1], "checkpoint")
    back = states(tmp_path / "out")
    assert sorted(back) == sorted(CYCLEGAN)
    for name, prefix in (
        ("G_A", "ema.generators.a2b."), ("G_B", "ema.generators.b2a."), ("D_A", "discriminators.b."), ("D_B", "discriminators.a."),
    ):  # fmt: skip
        state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        assert equal({"": back[f"latest_net_{name}.pth"]}, {"": state}), name
    assert import_original(sorted((tmp_path / "out").iterdir()), tmp_path / "again").card.discriminator == PATCHGAN


def mistaken(theirs):
    """Files to make mistakes with."""
    originals(theirs, [*CYCLEGAN, "latest_net_D.pth", "5_net_G_A.pth"])
    originals(theirs, ["wide_net_G_B.pth"], generator=replace(RESNET, width=3))
    originals(theirs, ["grey_net_G_B.pth"], channels=(1, 3))
    originals(theirs, ["grey_net_D_A.pth"], channels=(3, 1))
    shutil.copy(theirs / "latest_net_G_A.pth", theirs / "horse.pth")
    shutil.copy(theirs / "latest_net_G_A.pth", theirs / "wrong_net_D_A.pth")
    shutil.copy(theirs / "latest_net_D_A.pth", theirs / "sees_b.pth")
    (theirs / "taken").mkdir()
    (theirs / "taken" / "model.safetensors").write_text("precious")
    (theirs / "file").write_text("not a folder")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("import --to new", "import needs FILE: give diptych import FILE... --to RUN_OR_FILE"),
        ("import latest_net_G_A.pth", "--to"),
        ("import nothing.pth --to new", "nothing.pth does not exist: give a .pth file"),
        ("import latest_net_D_A.pth --to new", "there is no generator among the files"),
        ("import horse.pth latest_net_G_B.pth --to new", "horse.pth is a generator, and its name does not say which: rename"),
        ("import latest_net_G_A.pth sees_b.pth --to new", "sees_b.pth is a discriminator, and its name does not say which"),
        ("import wrong_net_D_A.pth --to new", "wrong_net_D_A.pth is not a discriminator of B but a ResNet of 1 blocks"),
        ("import latest_net_G_A.pth 5_net_G_A.pth --to new", "and 5_net_G_A.pth are both the generator A → B: give one"),
        ("import latest_net_G_A.pth wide_net_G_B.pth --to new", "width 2, instance norm, 3 to 3 channels, but wide_net"),
        ("import latest_net_G_A.pth grey_net_G_B.pth --to new", "the channels of A and B are 3 and 3 in latest_net_G_A.pth, but 1 and 3 in grey_net_G_B.pth"),
        ("import latest_net_G_A.pth grey_net_D_A.pth --to new", "takes 1 channels, but the generators need 3: leave it out"),
        ("import latest_net_G_A.pth --to model.pth", "model.pth is not a model file: give a folder, or a file that"),
        ("import latest_net_G_A.pth --to taken", "taken/model.safetensors exists already: give another"),
        ("import latest_net_G_A.pth --to taken/model.safetensors", "taken/model.safetensors exists already: give another"),
        ("import latest_net_G_A.pth --to new --direction b2a", "the name of latest_net_G_A.pth already gives its direction: leave"),
        ("import taken --to new", "taken holds no latest_net_*.pth: give the files themselves"),
        ("export taken --original file", "file is a file: give a folder to write to"),
        ("translate . a.png b.png", ". holds no model.safetensors: convert its .pth files with diptych import . --to MODEL"),
        ("import latest_net_G_A.pth --to file", "file/model.safetensors cannot be written (File exists)"),
        ("export taken", "no format is given: give FILE.onnx, FILE.pt2, FILE.xml or --original DIR"),
        ("export taken --original new", "taken/model.safetensors is damaged, or not a diptych file"),
        ("export nothing --original new", "nothing does not exist"),
        ("export latest_net_G_A.pth --original new", "latest_net_G_A.pth is not a diptych file: convert original checkpoints with diptych import"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(theirs, monkeypatch, capsys, arguments, words):
    mistaken(theirs)
    monkeypatch.chdir(theirs)
    before = sorted(theirs.rglob("*"))
    code, out, err = run(capsys, *arguments.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert sorted(theirs.rglob("*")) == before
    assert (theirs / "taken" / "model.safetensors").read_text() == "precious"


def test_nothing_is_overwritten_by_an_export(tmp_path, theirs, capsys):
    import_original(originals(theirs, CYCLEGAN), tmp_path / "run")
    before = states(theirs)
    code, _, err = run(capsys, "export", tmp_path / "run", "--original", theirs)
    assert code == 2
    assert f"{theirs / 'latest_net_G_A.pth'} exists already: give another folder" in err
    assert equal(states(theirs), before)


REFUSED = "m.safetensors has {}, which the original code does not have: export a run that was trained with {}\n"


@pytest.mark.parametrize(
    ("generator", "discriminator", "problem"),
    [
        ({"upsampling": "nearest"}, {}, ("generators that upsample by nearest", "--generator.upsampling transposed")),
        ({"upsampling": "blur"}, {}, ("generators that upsample by blur", "--generator.upsampling transposed")),
        ({"antialias": True}, {}, ("generators with blur filters", "--generator.no-antialias")),
        ({}, {"antialias": True}, ("discriminators with blur filters", "--discriminator.no-antialias")),
        (
            {"upsampling": "bilinear", "residual": True},
            {"antialias": True},
            (
                "generators that upsample by bilinear, generators that add their output to the input and "
                "discriminators with blur filters",
                "--generator.upsampling transposed, --generator.no-residual and --discriminator.no-antialias",
            ),
        ),
    ],
)
def test_what_the_original_cannot_express_is_refused(generator, discriminator, problem, tmp_path, capsys):
    config, critic = replace(RESNET, **generator), PatchganConfig(width=2, num_layers=1, **discriminator)
    card = ModelCard(
        method="cyclegan", generator=config, discriminator=critic, encodings=Pair(Encoding(3), Encoding(3)), names=Pair("A", "B"), data=DataConfig(), pictures=0, ema=False
    )  # fmt: skip
    networks = {"a2b": build_generator(config, 3, 3)}
    save_model(tmp_path / "m.safetensors", networks, card, {"b": build_discriminator(critic, 3)})
    code, _, err = run(capsys, "export", tmp_path / "m.safetensors", "--original", tmp_path / "out")
    assert code == 2
    assert err.endswith(REFUSED.format(*problem))
    assert not (tmp_path / "out").exists()


def test_an_antialiased_network_of_the_cut_code_is_refused_as_what_it_is(tmp_path, capsys):
    network = build_generator(replace(RESNET, antialias=True, upsampling="blur"), 3, 3)
    filters = {f"{name}.filt": layer.filt for name, layer in network.named_modules() if hasattr(layer, "filt")}
    assert len(filters) == 4
    torch.save(network.state_dict() | filters, tmp_path / "latest_net_G.pth")
    code, _, err = run(capsys, "import", tmp_path / "latest_net_G.pth", "--to", tmp_path / "m.safetensors")
    assert code == 2
    assert "latest_net_G.pth has blur filters: it is an antialiased network of the CUT code" in err
    assert not (tmp_path / "m.safetensors").exists()
