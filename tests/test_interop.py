"""The original code's checkpoints: read without a flag, used as they are, written back bit by bit."""

import io
import json
import os
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from diptych.config import PatchganConfig, PixelConfig, ResnetConfig, UnetConfig
from diptych.errors import WeightsError
from diptych.interop import load_original, save_original
from diptych.interop.architecture import Architecture, mismatch, read_architecture
from diptych.interop.names import authors_names, role_of
from diptych.interop.original import read_original
from diptych.networks import build_discriminator, build_generator

REFERENCE = Path(__file__).parent / "reference"
INDEX = json.loads((REFERENCE / "index.json").read_text())
FILES = {name: entry for name, entry in INDEX.items() if entry["kind"] in ("generator", "discriminator")}
SMALL = ResnetConfig(width=2, num_blocks=1)
BOTH_FORMS = pytest.mark.parametrize("zip_form", [True, False], ids=["zip", "before torch 1.6"])


def saved(value, path, *, zip_form=True):
    torch.save(value, path, _use_new_zipfile_serialization=zip_form)
    return path


def state_of(config=SMALL, channels=3):
    return build_generator(config, channels, channels).state_dict()


def without_statistics(state):
    return {key: value for key, value in state.items() if f"{key.rpartition('.')[0]}.weight" in state}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@BOTH_FORMS
@pytest.mark.parametrize("name", FILES)
def test_the_authors_files_give_the_stored_outputs(tmp_path, name, zip_form):
    entry, path = FILES[name], REFERENCE / FILES[name]["file"]
    if not zip_form:
        path = saved(torch.load(path, weights_only=True), tmp_path / path.name, zip_form=False)
    network, stored = load_original(path), load_file(REFERENCE / entry["io"])
    assert not network.training
    with torch.no_grad():
        output = network(stored["input"].float() / 127.5 - 1)
    assert (output - stored["output"]).abs().max() < 1e-5


@pytest.mark.parametrize("name", FILES)
def test_the_authors_files_are_written_back_key_by_key(tmp_path, name):
    path = REFERENCE / FILES[name]["file"]
    save_original(load_original(path), tmp_path / path.name)
    written = torch.load(tmp_path / path.name, weights_only=True)
    original = torch.load(path, weights_only=True)
    assert same(written, without_statistics(original) if name.startswith("legacy") else original)
    assert list(tmp_path.iterdir()) == [tmp_path / path.name]


def test_an_architecture_is_described_in_words():
    words = {name: str(read_original(REFERENCE / entry["file"]).architecture) for name, entry in FILES.items()}
    assert words["resnet9_batch_dropout"] == "ResNet of 9 blocks, width 4, batch norm, dropout, 3 to 2 channels"
    assert words["resnet6_none"] == "ResNet of 6 blocks, width 6, no norm, 3 to 3 channels"
    assert words["unet256_instance"] == "U-Net of 8 levels, width 2, instance norm, 3 to 3 channels"
    assert words["n_layers_4_instance"] == "PatchGAN of 4 layers, width 4, instance norm, 3 channels"
    assert words["pixel_batch"] == "pixel discriminator, width 8, batch norm, 3 channels"


def test_what_a_file_does_not_record_is_noted():
    assert "running statistics" in read_original(REFERENCE / FILES["legacy_resnet9_instance"]["file"]).notes[0]
    assert read_original(REFERENCE / FILES["resnet9_instance"]["file"]).notes == ()


WIDTHS, CHANNELS, NORMS = st.integers(1, 9), st.integers(1, 5), st.sampled_from(["instance", "batch", "none"])
RESNETS = st.builds(
    partial(ResnetConfig, upsampling="transposed", residual=False),
    width=WIDTHS,
    num_blocks=st.integers(0, 20),
    norm=NORMS,
    dropout=st.booleans(),
)
UNETS = st.builds(UnetConfig, width=WIDTHS, num_levels=st.integers(5, 12), norm=NORMS)
PATCHGANS = st.builds(PatchganConfig, width=WIDTHS, num_layers=st.integers(1, 9), norm=NORMS)
PIXELS = st.builds(PixelConfig, width=WIDTHS, norm=NORMS)


@settings(deadline=None)
@given(config=RESNETS.filter(lambda c: c.num_blocks or not c.dropout) | UNETS, given=CHANNELS, wanted=CHANNELS)
def test_a_generator_is_read_back_from_its_shapes(config, given, wanted):
    with torch.device("meta"):
        network = build_generator(config, given, wanted)
    assert read_architecture(network.state_dict()) == Architecture(config, given, wanted)
    assert mismatch(network.state_dict(), network) is None


@settings(deadline=None)
@given(config=PATCHGANS | PIXELS, channels=CHANNELS)
def test_a_discriminator_is_read_back_from_its_shapes(config, channels):
    with torch.device("meta"):
        network = build_discriminator(config, channels)
    assert read_architecture(network.state_dict()) == Architecture(config, channels, 1)


def test_the_prefix_of_a_wrapper_for_several_gpus_is_dropped(tmp_path):
    state = state_of()
    path = saved({f"module.{key}": value for key, value in state.items()}, tmp_path / "x.pth")
    assert same(load_original(path).state_dict(), state)


def test_batch_norm_from_before_it_counted_is_read(tmp_path):
    state = state_of(ResnetConfig(width=2, num_blocks=1, norm="batch"))
    old = {key: value for key, value in state.items() if "num_batches_tracked" not in key}
    assert same(load_original(saved(old, tmp_path / "x.pth")).state_dict(), state)


def test_half_precision_becomes_float32_and_is_noted(tmp_path):
    state = {key: value.half() for key, value in state_of().items()}
    found = read_original(saved(state, tmp_path / "x.pth"))
    assert found.notes == ("weights of another dtype are converted to float32",)
    assert same(found.state, {key: value.float() for key, value in state.items()})


def test_the_tensors_outlive_the_file(tmp_path):
    state = state_of()
    network = load_original(saved(state, tmp_path / "x.pth"))
    (tmp_path / "x.pth").write_bytes(b"")
    assert same(network.state_dict(), state)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("latest_net_G_A.pth", "a2b"), ("200_net_G_A.pth", "a2b"), ("my_own_net_G_A.pth", "a2b"), ("net_G_A.pth", "a2b"),
        ("latest_net_G_B.pth", "b2a"), ("latest_net_G.pth", "a2b"), ("latest_net_D_A.pth", "b"),
        ("latest_net_D_B.pth", "a"), ("latest_net_D.pth", "joint"), ("G__AB_200.pth", "a2b"),
        ("G__BA_1.pth", "b2a"), ("D__A_200.pth", "a"), ("D__B_200.pth", "b"), ("horse2zebra.pth", None),
        ("latest_net_G_A.pth.bak", None), ("latest_net_G_C.pth", None), ("magnet_G_A.pth", None), ("G__AA_1.pth", None),
    ],
)  # fmt: skip
def test_a_name_says_the_role(name, role):
    assert role_of(name) == role


@pytest.mark.parametrize(
    "roles", [{"a2b"}, {"b2a"}, {"a2b", "b2a"}, {"a2b", "b"}, {"a2b", "b2a", "a", "b"}, {"a2b", "joint"}]
)
def test_names_that_we_write_say_the_roles_they_were_written_for(roles):
    assert {role_of(name): role for role, name in authors_names(roles).items()} == {role: role for role in roles}


class Malice:
    """Unpickled, this runs code: it makes a file."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return os.mkdir, (str(self.victim),)


@BOTH_FORMS
def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path, zip_form):
    victim = tmp_path / "ran"
    path = saved(state_of() | {"model.99.weight": Malice(victim)}, tmp_path / "latest_net_G_A.pth", zip_form=zip_form)
    with pytest.raises(WeightsError, match=r"holds something other than tensors \('\w+.mkdir'\).*not loaded: save"):
        load_original(path)
    assert not victim.exists()
    torch.load(path, weights_only=False)  # the attack works, where nobody is careful
    assert victim.exists()


def written(content):
    return lambda path: path.write_bytes(content)


def holding(value):
    return lambda path: saved(value, path)


def flipped(path):
    content = bytearray(saved(state_of(), path).read_bytes())
    content[len(content) // 2] ^= 1  # among the numbers, where torch notices nothing
    path.write_bytes(content)


def cut(path):
    path.write_bytes(saved(state_of(), path).read_bytes()[:-1000])


def old_form_cut(path):
    path.write_bytes(saved(state_of(), path, zip_form=False).read_bytes()[:-1000])


def claiming(numbers, *, zip_form):
    """A function that writes a file: its only tensor has 100 numbers, but storage and shape claim ``numbers``."""

    def make(path):
        content = saved({"model.1.weight": torch.zeros(100)}, path, zip_form=zip_form).read_bytes()
        claim = b"\x8a\x08" + numbers.to_bytes(8, "little")  # as pickle writes a large number, for its b"Kd"
        if not zip_form:
            path.write_bytes(content.replace(b"Kd", claim))
            return
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(
                    name, old.read(name).replace(b"Kd", claim) if name.endswith("data.pkl") else old.read(name)
                )

    return make


def with_nan():
    state = state_of()
    state["model.1.weight"][0, 0, 0, 0] = float("nan")
    return state


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "does not exist: give a .pth file of the original code"),
        (lambda path: path.mkdir(), "cannot be read (Is a directory): move what is in its way, or give another .pth file"),
        (written(b""), "is empty: use another copy"),
        (written(b"hello"), "is not a PyTorch checkpoint: give"),
        (written(b"\x89PNG\r\n\x1a\n" + bytes(99)), "is not a PyTorch checkpoint: give"),
        (written(b"PK\x03\x04" + bytes(99)), "is damaged, or not a PyTorch checkpoint: use another copy"),
        (written((REFERENCE / "pixel_batch_net_D.io.safetensors").read_bytes()), "is a safetensors file"),
        (cut, "is damaged"),
        (old_form_cut, "is damaged"),
        (flipped, "is damaged"),
        (claiming(1000, zip_form=True), "is damaged"),
        (claiming(1 << 40, zip_form=True), "is damaged"),
        (claiming(1 << 40, zip_form=False), "is damaged"),
        (claiming(1 << 62, zip_form=False), "is damaged"),
        (holding({"model.1.weight": torch.zeros(1).expand(1 << 40)}), "it claims more numbers than it has"),
        (holding({"state": {}, "param_groups": []}), "holds a dict with 'state', 'param_groups', not a bare"),
        (holding({}), "holds a dict with nothing in it"),
        (holding([torch.zeros(1)]), "holds a value of type list, not a bare state dict: save the network's"),
        (holding({"model": state_of()}), "holds a dict with 'model', not a bare"),
        (holding({0: torch.zeros(1)}), "holds a dict with 0, not a bare"),
        (holding({"a": torch.zeros(2, 2).to_sparse()}), "holds a dict with 'a', not a bare"),
        (holding({"fc\n.weight": torch.zeros(1)}), r"no complete network of the original code (1 keys, the first 'fc\n.weight')"),
        (holding({"model.1.weight": torch.zeros(0, 3, 7, 7)}), "no complete network of the original code"),
        (holding({k: v for k, v in state_of().items() if k != "model.7.bias"}), "but model.7.bias is missing: give"),
        (holding(state_of() | {"model.2.extra": torch.zeros(1)}), "but 'model.2.extra' is not one of its keys: give"),
        (holding(state_of() | {"model.4.bias": torch.zeros(5)}), "but model.4.bias has shape [5] instead of [4]"),
        (holding(state_of() | {"model.4.bias": torch.zeros(4).int()}), "model.4.bias has dtype"),
        (holding(with_nan()), "holds NaN or infinite numbers (model.1.weight): use another copy"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, make, words):
    path = tmp_path / "latest_net_G_A.pth"
    make(path)
    with pytest.raises(WeightsError) as error:
        load_original(path)
    assert words in str(error.value)
    assert str(error.value).startswith(str(path))
    assert str(error.value).isprintable()


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "latest_net_G_A.pth"
    save_original(build_generator(SMALL, 3, 3), path)
    before = path.read_bytes()
    code = f"""
import resource, signal
from diptych.config import ResnetConfig
from diptych.interop import save_original
from diptych.networks import build_generator
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    save_original(build_generator(ResnetConfig(width=8, num_blocks=1), 3, 3), {str(path)!r})
except OSError as error:
    print("refused", "\\n" not in str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "refused True\n", done.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
