"""Against numbers computed by the authors' code; see ``reference/README.md``."""

import pytest
import torch
from safetensors.torch import load_file

from diptych.config import CycleganConfig, PatchganConfig, Pix2pixConfig, PixelConfig, ResnetConfig, UnetConfig
from diptych.methods import Execution, build_method
from diptych.networks import build_discriminator, build_generator
from diptych.pair import Pair
from helpers.methods import ONE_BY_ONE, flat
from helpers.reference import CYCLEGAN_LOSSES, CYCLEGAN_NETWORKS, INDEX, REFERENCE, picture

GENERATORS = [name for name, entry in INDEX.items() if entry["kind"] == "generator"]
DISCRIMINATORS = [name for name, entry in INDEX.items() if entry["kind"] == "discriminator"]


def generator_config(entry):
    kind, size = entry["netG"].split("_")
    common = {"width": entry["ngf"], "norm": entry["norm"], "dropout": entry["dropout"]}
    if kind == "resnet":
        return ResnetConfig(num_blocks=int(size.removesuffix("blocks")), **common)
    return UnetConfig(num_levels=int(size).bit_length() - 1, **common)


def discriminator_config(entry):
    if entry["netD"] == "pixel":
        return PixelConfig(width=entry["ndf"], norm=entry["norm"])
    return PatchganConfig(width=entry["ndf"], norm=entry["norm"], num_layers=entry["n_layers_D"])


@pytest.mark.parametrize("name", GENERATORS + DISCRIMINATORS)
def test_outputs_equal_the_authors(name):
    entry = INDEX[name]
    if entry["kind"] == "generator":
        network = build_generator(generator_config(entry), entry["input_nc"], entry["output_nc"])
    else:
        network = build_discriminator(discriminator_config(entry), entry["input_nc"])
    state = torch.load(REFERENCE / entry["file"], weights_only=True)
    if entry.get("norm") == "instance":
        state = {key: value for key, value in state.items() if "running_" not in key and "num_batches" not in key}
    network.load_state_dict(state)
    stored = load_file(REFERENCE / entry["io"])
    with torch.no_grad():
        output = network.eval()(picture(stored["input"]))
    assert (output - stored["output"]).abs().max() < 1e-5
    if "parameters" in entry:
        assert sum(p.numel() for p in network.parameters()) == entry["parameters"]


PIX2PIX_NETWORKS = {"G": "generators.a2b", "D": "discriminators.joint"}


def build(options):
    """The method that the authors trained with ``options``."""
    gan_loss = {"lsgan": "least-squares"}.get(options["gan_mode"], options["gan_mode"])
    if options["netG"].startswith("unet"):
        generator = UnetConfig(width=options["ngf"], num_levels=7, norm=options["norm"])
        discriminator = PatchganConfig(width=options["ndf"], norm=options["norm"])
        config = Pix2pixConfig(gan_loss=gan_loss, lambda_l1=options["lambda_L1"])
    else:
        generator = ResnetConfig(width=options["ngf"], num_blocks=6)
        discriminator = PatchganConfig(width=options["ndf"])
        config = CycleganConfig(
            gan_loss=gan_loss,
            lambda_a=options["lambda_A"],
            lambda_b=options["lambda_B"],
            lambda_identity=options["lambda_identity"],
            pool_size=options["pool_size"],
        )
    return build_method(config, generator, discriminator, Pair(3, 3))


def assert_equal_training(name, method, networks, compare, execution=ONE_BY_ONE):
    """Trains ``method`` in float64 on the stored pictures; ``compare`` sees each step's losses, ours and theirs."""
    entry, stored = INDEX[name], load_file(REFERENCE / INDEX[name]["file"])
    modules = torch.nn.ModuleDict(method.modules()).double()
    for theirs, ours in networks.items():
        prefix = f"initial.{theirs}."
        state = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
        modules.get_submodule(ours).load_state_dict(state)
    lr, betas = entry["options"]["lr"], (entry["options"]["beta1"], 0.999)
    optimisers = {name: torch.optim.Adam(module.parameters(), lr, betas) for name, module in modules.items()}

    for step, expected in enumerate(entry["losses"]):
        real = Pair(*(picture(stored[f"real_{domain}"][step], torch.float64) for domain in "AB"))
        logged = {}
        for module, groups in method.update(real, lambda fake: fake, execution):
            terms = flat(groups)
            optimisers[module].zero_grad()
            sum(terms.values()).backward()
            optimisers[module].step()
            logged |= {name: loss.item() for name, loss in terms.items()}
        compare(logged, expected)

    for theirs, ours in networks.items():
        for key, value in modules.get_submodule(ours).state_dict().items():
            assert (value - stored[f"final.{theirs}.{key}"]).abs().max() < 1e-6, (theirs, key)


@pytest.mark.parametrize("batch_forwards", [True, False])
@pytest.mark.parametrize("name", ["cyclegan_paper", "cyclegan_no_identity_vanilla_batch2"])
def test_cyclegan_trains_as_the_authors_do(name, batch_forwards):
    method, execution = build(INDEX[name]["options"]), Execution(batch_forwards=batch_forwards)

    def compare(logged, expected):
        found = {theirs: logged.get(ours, 0.0) for theirs, ours in CYCLEGAN_LOSSES.items()}
        assert found == pytest.approx(expected, rel=1e-6)

    assert_equal_training(name, method, CYCLEGAN_NETWORKS, compare, execution)


def test_pix2pix_trains_as_the_authors_do():
    def compare(logged, expected):
        halved = 0.5 * (expected["D_real"] + expected["D_fake"])
        found = {"gan": expected["G_GAN"], "l1": expected["G_L1"], "discriminator": halved}
        assert logged == pytest.approx(found, rel=1e-6)

    assert_equal_training("pix2pix", build(INDEX["pix2pix"]["options"]), PIX2PIX_NETWORKS, compare)
