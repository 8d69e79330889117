"""Against numbers computed by the authors' code; see ``reference/README.md``."""

import pytest
import torch
from safetensors.torch import load_file

from diptych.config import (
    CutConfig,
    CycleganConfig,
    PatchganConfig,
    Pix2pixConfig,
    PixelConfig,
    ResnetConfig,
    UnetConfig,
)
from diptych.methods import Execution, build_method, module_names
from diptych.methods.cut import Cut, ProjectionHead
from diptych.networks import build_discriminator, build_generator
from diptych.networks.norms import InstanceNorm2d
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
        unstored = modules.get_submodule(ours).load_state_dict(state, strict=False)
        assert not unstored.unexpected_keys
        assert all(key.endswith(".filt") for key in unstored.missing_keys)
    lr, betas = entry["options"]["lr"], (entry["options"]["beta1"], 0.999)
    optimisers = {name: torch.optim.Adam(module.parameters(), lr, betas) for name, module in modules.items()}

    for step, expected in enumerate(entry["losses"]):
        real = Pair(*(picture(stored[f"real_{domain}"][step], torch.float64) for domain in "AB"))
        logged = {}
        for names, groups, *_ in method.update(real, lambda fake: fake, execution):
            terms = flat(groups)
            stepping = [optimisers[name] for name in module_names(names)]
            for optimiser in stepping:
                optimiser.zero_grad()
            sum(terms.values()).backward()
            for optimiser in stepping:
                optimiser.step()
            logged |= {name: loss.item() for name, loss in terms.items()}
        compare(logged, expected)

    for theirs, ours in networks.items():
        for key, value in modules.get_submodule(ours).named_parameters():
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


class AuthorsHead(ProjectionHead):
    """The head with the authors' way to pick patches: its gradient is channels-last."""

    def forward(self, features, positions):
        picked = [f.permute(0, 2, 3, 1).flatten(1, 2)[:, p] for f, p in zip(features, positions, strict=True)]
        vectors = [layer(patches) for layer, patches in zip(self, picked, strict=True)]
        return [vector / (vector.norm(dim=2, keepdim=True) + 1e-7) for vector in vectors]


class DrawnCut(Cut):
    """CUT with the patch positions and flips that the authors' code drew."""

    def materialise(self, real):
        super().materialise(real)
        self.head = AuthorsHead([layer[0].in_features for layer in self.head], self.config.head_width)

    def replay(self, name):
        stored, self.flips = load_file(REFERENCE / INDEX[name]["file"]), iter(INDEX[name]["flips"] or ())
        terms = ("nce", "nce_y") if self.config.nce_identity else ("nce",)
        steps, taps = range(INDEX[name]["steps"]), range(5)
        self.positions = iter([stored[f"patches.{s}.{term}.{tap}"] for s in steps for term in terms for tap in taps])

    def draw_positions(self, num):
        positions = next(self.positions)
        assert positions.max() < num
        return positions

    def draw_mirrored(self):
        return next(self.flips)


def with_torchs_norm(network):
    """``network`` with torch's own instance norm. On the CPU its gradient is wrong if the batch size is 1 and the gradient
    of its output is channels-last (torch 2.13). The authors' numbers were computed with it."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, InstanceNorm2d):
                setattr(module, name, torch.nn.InstanceNorm2d(child.num_features))
    return network


def build_cut(cls, name):
    """The method ``cls`` with the authors' options."""
    options = INDEX[name]["options"]
    config = CutConfig(
        lambda_nce=options["lambda_NCE"],
        nce_identity=options["nce_idt"],
        flip_equivariance=options["flip_equivariance"],
        num_patches=options["num_patches"],
        head_width=options["netF_nc"],
    )
    generator = ResnetConfig(width=options["ngf"], num_blocks=9, antialias=True, upsampling="blur")
    method = cls(config, generator, PatchganConfig(width=options["ndf"], antialias=True), Pair(3, 3))
    method.materialise(Pair(*torch.zeros(2, 1, 3, 48, 48)))
    return method


@pytest.mark.parametrize("name", ["cut", "fastcut"])
def test_cut_trains_as_the_authors_do(name):
    method = build_cut(DrawnCut, name)
    with_torchs_norm(method.generators)
    method.replay(name)
    networks = {"G": "generators.a2b", "D": "discriminators.b"}
    networks |= {f"F.mlp_{tap}": f"head.{tap}" for tap in range(5)}

    def compare(logged, expected):
        found = {"gan_b": expected["G_GAN"], "discriminator_b": 0.5 * (expected["D_real"] + expected["D_fake"])}
        both = "NCE_Y" in expected
        found["nce_a"] = expected["NCE"] / (2 if both else 1)
        if both:
            found["nce_b"] = expected["NCE_Y"] / 2
        assert logged == pytest.approx(found, rel=1e-6)

    assert_equal_training(name, method, networks, compare)
    assert next(method.positions, None) is None, "positions were left over"


class CutOnce(Cut):
    """CUT with fixed positions and keys, so that its loss is a function that finite differences can check."""

    def contrast(self, execution, key_features, outputs, *, mirrored):
        torch.manual_seed(0)
        return super().contrast(execution, key_features, outputs, mirrored=mirrored)

    def draw_mirrored(self):
        return True


@pytest.mark.parametrize("name", ["cut", "fastcut"])
def test_the_gradient_of_cut_is_the_slope_of_its_loss(name):
    """Also at batch size 1, where the authors' code has torch's wrong gradient."""
    torch.manual_seed(1)
    method = build_cut(CutOnce, name)
    modules = torch.nn.ModuleDict(method.modules()).double()
    real = Pair(*(torch.rand(2, 1, 3, 48, 48, dtype=torch.float64) * 2 - 1))

    def loss():
        steps = method.update(real, lambda fake: fake, ONE_BY_ONE)
        next(steps)
        return sum(flat(next(steps)[1]).values())

    # Weights of the decoder: the keys, which get no gradient, do not depend on them.
    weights = [weight for key, weight in modules["generators"].named_parameters() if key in {"a2b.model.22.weight"}]
    (gradient,) = torch.autograd.grad(loss(), weights)
    direction = gradient / gradient.norm()
    slope, step = 0.0, 1e-5
    with torch.no_grad():
        for sign in (1, -1):
            weights[0] += sign * step * direction
            slope += sign * loss().item() / (2 * step)
            weights[0] -= sign * step * direction
    assert slope == pytest.approx(gradient.norm().item(), rel=1e-4)
