"""Wrong versions of the losses and methods, and which of them the fast tests let pass.

`python tests/mutations.py` changes one place of a copy of the source at a time: a sign, a weight, a direction, what is
frozen or detached. It runs the tests of losses and methods on each, and exits with the number of those that pass.
"""

import contextlib
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Before torch and pytest are imported; options of an outer pytest are not for these.
os.environ |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}

import accelerate  # noqa: F401  with torch, the slow imports, once for all mutants
import pytest
import torchmetrics  # noqa: F401

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src"
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:warnings", "-W", "ignore"]
QUICK = ["test_losses.py", "test_methods.py"]
THOROUGH = [
    "test_contract.py::test_every_update_reaches_every_weight_of_its_module_and_no_other",
    "test_reference.py::test_cyclegan_trains_as_the_authors_do",
    "test_reference.py::test_pix2pix_trains_as_the_authors_do",
]

LOSSES = [
    ("F.mse_loss(scores, torch.full_like(scores, float(is_real)))", "F.mse_loss(scores, torch.full_like(scores, float(not is_real)))"),
    ("F.mse_loss(scores", "-F.mse_loss(scores"),
    ("F.mse_loss(scores", "F.l1_loss(scores"),
    ("logits(scores, torch.full_like(scores, float(is_real)))", "logits(scores, torch.full_like(scores, float(not is_real)))"),
    ("F.binary_cross_entropy_with_logits", "-F.binary_cross_entropy_with_logits"),
    ("1 - scores if is_real else 1 + scores", "1 + scores if is_real else 1 - scores"),
    ("1 - scores if is_real else 1 + scores", "scores if is_real else -scores"),
    ("F.relu(1 - scores if is_real else 1 + scores).mean()", "-F.relu(1 - scores if is_real else 1 + scores).mean()"),
    ("return -scores.mean()", "return scores.mean()"),
    ("(fake_scores, True)", "(fake_scores, False)"),
    ('if kind == "hinge" else', 'if kind != "hinge" else'),
    ("0.5 * (loss", "1.0 * (loss"),
    ("0.5 * (loss", "-0.5 * (loss"),
    ("loss(real_scores, True) +", "loss(real_scores, True) -"),
    ("loss(real_scores, True)", "loss(real_scores, False)"),
    ("loss(fake_scores, False)", "loss(fake_scores, True)"),
    ("loss(real_scores, True) + loss(fake_scores, False)", "loss(fake_scores, True) + loss(real_scores, False)"),
    ("F.l1_loss(reconstructed, real)", "-F.l1_loss(reconstructed, real)"),
    ("F.l1_loss(reconstructed, real)", "F.mse_loss(reconstructed, real)"),
    ("F.l1_loss(made, truth)", "-F.l1_loss(made, truth)"),
    ("F.l1_loss(made, truth)", "F.mse_loss(made, truth)"),
    ("F.l1_loss(same, real)", "-F.l1_loss(same, real)"),
    ("F.l1_loss(same, real)", "F.mse_loss(same, real)"),
]  # fmt: skip

CYCLEGAN = [
    # directions
    ("networks = Pair(self.a2b, self.b2a)", "networks = Pair(self.b2a, self.a2b)"),
    ("networks.swapped, real, real.swapped)", "networks, real, real.swapped)"),
    ("networks.swapped, real, real.swapped)", "networks.swapped, real.swapped, real)"),
    ("networks.swapped, real, real.swapped)", "networks.swapped, real, real)"),
    ("Translations(fake.swapped, reconstructed,", "Translations(fake, reconstructed,"),
    ("Translations(fake.swapped, reconstructed,", "Translations(fake.swapped, reconstructed.swapped,"),
    ("same.swapped if self.identity", "same if self.identity"),
    ("fake, same = merged(network, source, target", "same, fake = merged(network, source, target"),
    ("return fake, back(fake), same", "return fake, back(source), same"),
    ("return both[: len(first)], both[len(first) :]", "return both[len(first) :], both[: len(first)]"),
    ("return network(first), network(second)", "return network(second), network(first)"),
    ("each(Pair(self.a, self.b)", "each(Pair(self.b, self.a)"),
    ("real=both.map(itemgetter(0))", "real=both.map(itemgetter(1))"),
    ("fake=both.map(itemgetter(1))", "fake=both.map(itemgetter(0))"),
    ("build_generator(generator, channels.a, channels.b)", "build_generator(generator, channels.b, channels.a)"),
    ("build_generator(generator, channels.b, channels.a)", "build_generator(generator, channels.a, channels.b)"),
    ("*channels.map(", "*channels.swapped.map("),
    ('"a2b": cast(nn.Module, generators.a2b)', '"a2b": cast(nn.Module, generators.b2a)'),
    ('"b2a": cast(nn.Module, generators.b2a)', '"b2a": cast(nn.Module, generators.a2b)'),
    ('{"a": self.discriminators.a, "b": self.discriminators.b}', '{"a": self.discriminators.b, "b": self.discriminators.a}'),
    ("judges = Pair(self.discriminators.a, self.discriminators.b)", "judges = Pair(self.discriminators.b, self.discriminators.a)"),
    ("each(judges, apply, translations.fake)", "each(judges, apply, translations.fake.swapped)"),
    ("each(judges, apply, translations.fake)", "each(judges, apply, translations.reconstructed)"),
    ("each(judges, apply, translations.fake)", "each(judges, apply, real)"),
    ('"gan_a": gan.a, "gan_b": gan.b', '"gan_a": gan.b, "gan_b": gan.a'),
    ('"cycle_a": cycle.a, "cycle_b": cycle.b', '"cycle_a": cycle.b, "cycle_b": cycle.a'),
    ('"identity_a": same.a, "identity_b": same.b', '"identity_a": same.b, "identity_b": same.a'),
    ('"discriminator_a": loss.a, "discriminator_b": loss.b', '"discriminator_a": loss.b, "discriminator_b": loss.a'),
    ("self.config.gan_loss), scores.fake)", "self.config.gan_loss), scores.fake.swapped)"),
    ("scores.real.map(partial(losses.discriminator_gan, self.config.gan_loss), scores.fake)", "scores.fake.map(partial(losses.discriminator_gan, self.config.gan_loss), scores.real)"),
    ("real, translations.reconstructed", "real.swapped, translations.reconstructed"),
    ("real, translations.identity", "real.swapped, translations.identity"),
    ("x, back: weight * losses.cycle_consistency(x, back), real, translations.reconstructed", "x, back: weight * losses.cycle_consistency(x, back), real, translations.fake"),
    # what is frozen, detached, kept in the pool or merged
    ("with frozen(self.discriminators):", "if True:"),
    ("with frozen(self.discriminators):", "with frozen(self.generators):"),
    ("translations.fake.map(torch.Tensor.detach)", "translations.fake"),
    ("exchange(translations.fake.map(torch.Tensor.detach))", "translations.fake.map(torch.Tensor.detach)"),
    ("exchange(translations.fake.map(torch.Tensor.detach))", "exchange(translations.fake.swapped.map(torch.Tensor.detach)).swapped"),
    ('generator.norm != "batch"', 'generator.norm == "none" or True'),
    ('discriminator.norm != "batch"', 'discriminator.norm == "none" or True'),
    ("yield generators, self.generator_losses", "yield discriminators, self.generator_losses"),
    ("yield discriminators, self.discriminator_losses", "yield generators, self.discriminator_losses"),
    # signs and weights
    ("gan = fake_scores.map(partial(losses.generator_gan, self.config.gan_loss))", "gan = fake_scores.map(lambda s: -losses.generator_gan(self.config.gan_loss, s))"),
    ("gan = fake_scores.map(partial(losses.generator_gan, self.config.gan_loss))", "gan = fake_scores.map(lambda s: 0.5 * losses.generator_gan(self.config.gan_loss, s))"),
    ("weights = Pair(self.config.lambda_a, self.config.lambda_b)", "weights = Pair(self.config.lambda_b, self.config.lambda_a)"),
    ("weight * losses.cycle_consistency", "-weight * losses.cycle_consistency"),
    ("weight * losses.cycle_consistency", "losses.cycle_consistency"),
    ("relative * weight * losses.identity", "-relative * weight * losses.identity"),
    ("relative * weight * losses.identity", "relative * losses.identity"),
    ("relative * weight * losses.identity", "weight * losses.identity"),
    ("config.lambda_identity > 0", "config.lambda_identity < 0"),
    ("config.lambda_identity > 0", "config.lambda_identity >= 0"),
    ("if translations.identity is not None:", "if False:"),
]  # fmt: skip

PIX2PIX = [
    ('return pair if direction == "a2b" else pair.swapped', "return pair"),
    ('return pair if direction == "a2b" else pair.swapped', "return pair.swapped"),
    ("given, _ = along", "_, given = along"),
    ("torch.cat([given, other], dim=1)", "torch.cat([other, given], dim=1)"),
    ("real=self.judge(given, wanted), fake=fake_scores", "real=fake_scores, fake=self.judge(given, wanted)"),
    ('channels if config.direction == "a2b" else channels.swapped', "channels.swapped"),
    ("build_generator(generator, given, wanted)", "build_generator(generator, wanted, given)"),
    ("discriminators(given, wanted, fake.detach())", "discriminators(given, wanted, fake)"),
    ("discriminators(given, wanted, fake.detach())", "discriminators(wanted, given, fake.detach())"),
    ("with frozen(self.discriminators):", "if True:"),
    ("with frozen(self.discriminators):", "with frozen(self.generators):"),
    ("self.discriminators.judge(given, fake))", "self.discriminators.judge(given, wanted))"),
    ("self.discriminators.judge(given, fake))", "self.discriminators.judge(wanted, fake))"),
    ("self.discriminators.judge(given, fake))", "self.discriminators.judge(given, fake.detach()))"),
    ("yield discriminators, self.discriminator_losses", "yield generators, self.discriminator_losses"),
    ("yield generators, self.generator_losses", "yield discriminators, self.generator_losses"),
    ("losses.generator_gan(self", "-losses.generator_gan(self"),
    ("losses.generator_gan(self", "0.5 * losses.generator_gan(self"),
    ("self.config.lambda_l1 * losses", "-self.config.lambda_l1 * losses"),
    ("self.config.lambda_l1 * losses", "100 * losses"),
    ("scores.real, scores.fake)}", "scores.fake, scores.real)}"),
]  # fmt: skip

METHOD = [
    ("module.requires_grad_(False)", "module.requires_grad_(True)"),
    ("module.requires_grad_(True)", "module.requires_grad_(False)"),
]

MUTANTS = [
    (f"diptych/{file}", old, new)
    for file, changes in (
        ("losses.py", LOSSES), ("methods/cyclegan.py", CYCLEGAN), ("methods/pix2pix.py", PIX2PIX), ("methods/method.py", METHOD),
    )
    for old, new in changes
]  # fmt: skip


def passes(source: Path) -> bool:
    """Whether the tests pass with the package in ``source``.

    In a forked process, so that torch is imported once for all mutants; it has computed nothing here, so no thread of
    its is lost.
    """
    child = os.fork()
    if child == 0:
        sys.path[:0] = [str(source), str(TESTS)]
        os.chdir(TESTS)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = pytest.main([*OPTIONS, *QUICK]) or pytest.main([*OPTIONS, *THOROUGH])
        os._exit(int(code))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1), f"pytest exits with {code}: it ran no test"
    return code == 0


def survivors(copy: Path) -> list[str]:
    """The mutants that pass, in words. ``copy`` is a copy of the source to work in."""
    found = []
    for file, old, new in MUTANTS:
        original = (SOURCE / file).read_text()
        assert original.count(old) == 1, f"{file} has {original.count(old)} times {old!r}: bring this list up to date"
        (copy / file).write_text(original.replace(old, new))
        if passes(copy):
            found.append(f"{file}: {old} -> {new}")
        (copy / file).write_text(original)
    return found


def main() -> int:
    sys.dont_write_bytecode = True  # two mutants written within a second could share one

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "src"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        assert passes(copy), "the tests fail on the source as it is"
        found = survivors(copy)
    print(f"{len(MUTANTS)} mutants, {len(found)} survive", *found, sep="\n")
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
