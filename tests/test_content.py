"""Content that must stay: known pairs, masks and edges, for every method."""

import itertools
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from diptych import Translator, evaluate, losses
from diptych.checksummed import read_checksummed
from diptych.config import (
    ContentConfig,
    CutConfig,
    CycleganConfig,
    FastcutConfig,
    LengthConfig,
    OptimiserConfig,
    OutputConfig,
    Pix2pixConfig,
)
from diptych.data.encoding import to_network
from diptych.data.files import Domain, find_domain
from diptych.data.known_pairs import find_known_pairs
from diptych.data.loader import Batch
from diptych.data.masks import find_masks
from diptych.data.sources import find_split
from diptych.data.transforms import stack
from diptych.errors import OptionError, PictureError, RunError
from diptych.evaluation.content import edges, lost, lost_objects, objects
from diptych.evaluation.features import FeatureNetwork
from diptych.methods import Content, with_content
from diptych.methods.method import Step
from diptych.monitoring.alarms import alarms
from diptych.monitoring.indicators import relative_edges
from diptych.pair import Pair
from diptych.training.loop import train
from diptych.training.plan.plan import make_plan
from helpers.methods import ONE_BY_ONE, flat
from helpers.runs import TINY, records_of, tiny
from helpers.squares import BLUE, ORANGE, SIZE, make_squares, side_by_side, square
from helpers.states import noise, state_of

EVERYTHING = ContentConfig(lambda_pairs=2.0, lambda_masks=3.0, keep_edges=0.5)
METHODS = [
    CycleganConfig(lambda_identity=0.5),
    CutConfig(),
    FastcutConfig(),
    CutConfig(direction="b2a"),
    Pix2pixConfig(),
]
NONE = Pair(None, None)


def pairs_of_squares(folder, *, number=4, start=0):
    """Writes known pairs in two folders A and B."""
    for name, colour in (("A", ORANGE), ("B", BLUE)):
        (folder / name).mkdir(parents=True)
        for index in range(start, start + number):
            square(index, colour).save(folder / name / f"pair {index}.png")
    return folder


def masks_of(folder, domain):
    """Writes a mask for each picture of ``domain``: white where its square is."""
    folder.mkdir()
    for file in sorted(domain.iterdir()):
        inside = np.asarray(Image.open(file)).std(axis=2) > 20
        Image.fromarray(np.uint8(255 * inside)).save(folder / file.name)
    return folder


# The losses


def test_kept_content_is_the_mean_difference_inside_the_mask_of_each_image():
    source, output = torch.zeros(3, 2, 4, 4), torch.zeros(3, 2, 4, 4)
    output[0, :, :2] = 0.5  # the mask covers all of this half
    output[1, :, 0, 0], output[1, :, 3, 3] = 1.0, 9.0  # a pixel of four in the mask, and one outside
    mask = torch.zeros(3, 1, 4, 4)
    mask[0, :, :2], mask[1, :, 0] = 1, 1
    assert losses.kept_content(source, output, mask).item() == pytest.approx((0.5 + 0.25 + 0) / 3)


def test_self_similarity_is_the_mean_squared_difference_of_patches_relative_to_all_neighbours():
    images = torch.rand(1, 3, 11, 12, dtype=torch.float64) * 2 - 1
    y, x = 5, 6
    patch = images[0, :, y - 1 : y + 2, x - 1 : x + 2]
    differences = [
        ((images[0, :, y + dy - 1 : y + dy + 2, x + dx - 1 : x + dx + 2] - patch) ** 2).mean()
        for dy, dx in losses.STEPS
    ]
    expected = torch.stack(differences) / (torch.stack(differences).mean() + losses.PLAIN)
    assert torch.allclose(losses.self_similarity(images)[0, :, y, x], expected, rtol=1e-10)
    assert len(set(losses.STEPS)) == 12


def test_edges_may_change_their_colours_but_not_their_place():
    image = torch.full((1, 3, 32, 32), -0.5)
    image[:, :, 8:20, 8:20] = 0.5
    recoloured = image * torch.tensor([-1.0, 0.7, 1.6]).view(1, 3, 1, 1)
    moved, empty = image.roll(4, dims=3), torch.zeros_like(image)
    noisy = image + 0.01 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    same, noise_alone = losses.structure(image, recoloured), losses.structure(image, noisy)
    changed = [losses.structure(image, other) for other in (moved, empty)] + [losses.structure(empty, image)]
    assert losses.structure(image, -image) == 0
    assert same < min(changed) / 5
    assert noise_alone < min(changed) / 2


# Terms of a method


@pytest.mark.parametrize("method", METHODS)
def test_each_method_gets_the_terms_of_content_as_they_are_defined(method):
    torch.manual_seed(0)
    state = state_of({}, method=method, width=4, batch_size=2)
    real, known = noise(2), noise(2, seed=1)
    masks = Pair(*(torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(s)).round() for s in (2, 3)))
    content = Content(EVERYTHING, masks, known)
    found = next(
        Step(*step)
        for step in with_content(state.method, state.method.update(real, lambda x: x, ONE_BY_ONE), content, ONE_BY_ONE)
        if "generators" in step[0]
    )
    terms = flat(found.losses)
    generators = state.method.generators_by_direction()
    assert list(found.translations) == list(generators)
    for direction, generator in generators.items():
        source, target = Pair("a", "b").along(direction)
        with torch.no_grad():
            truth, given = known.along(direction)[1], known.along(direction)[0]
            assert terms[f"pairs_{target}"].item() == pytest.approx(2 * (generator(given) - truth).abs().mean().item())
            image, output = found.translations[direction]
            assert torch.equal(image, real.along(direction)[0])
            mask = masks.along(direction)[0]
            inside = ((image - output).abs() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)))
            assert terms[f"kept_{source}"].item() == pytest.approx(3 * inside.mean().item(), rel=1e-5)
            assert terms[f"edges_{source}"].item() == pytest.approx(0.5 * losses.structure(image, output).item())
    assert len(terms) == len(set(terms)) == len(flat(next(iter(plain(state, real)))) | terms)


def plain(state, real):
    """The losses of the generators without content."""
    return [Step(*s).losses for s in state.method.update(real, lambda x: x, ONE_BY_ONE) if "generators" in s[0]]


def test_the_mirrored_translation_of_fastcut_is_turned_back():
    state = state_of({}, method=FastcutConfig(), width=4)
    real = noise()
    for mirrored in (True, False):
        state.method.draw_mirrored = lambda mirrored=mirrored: mirrored
        (translated,) = (Step(*s).translations for s in state.method.update(real, None, ONE_BY_ONE) if len(s[0]) == 2)
        given = real.a.flip(3) if mirrored else real.a
        expected = state.method.generator(given)
        assert torch.equal(translated["a2b"][1], expected.flip(3) if mirrored else expected)


def test_without_content_the_losses_are_those_of_the_method():
    state, real = state_of({}, method=CycleganConfig(), width=4), noise()
    steps = list(state.method.update(real, lambda x: x, ONE_BY_ONE))
    added = list(with_content(state.method, iter(steps), Content(ContentConfig(), NONE, None), ONE_BY_ONE))
    assert [step.losses for step in added] == [step.losses for step in steps]


def test_a_method_without_named_translations_gets_pairs_and_refuses_the_rest():
    state, real = state_of({}, method=CycleganConfig(), width=4), noise()

    def steps():
        yield "generators", {"a": {"one": torch.ones(())}, "b": {"two": torch.ones(())}}

    pairs = Content(ContentConfig(lambda_pairs=1.0), NONE, real)
    (step,) = with_content(state.method, steps(), pairs, ONE_BY_ONE)
    assert list(step.losses) == [""]  # groups of other names may share a graph with the new terms
    assert list(step.losses[""]) == ["one", "two", "pairs_b", "pairs_a"]
    with pytest.raises(OptionError, match="Cyclegan yields no translations, which masks and --keep-edges need"):
        next(with_content(state.method, steps(), Content(EVERYTHING, Pair(real.a, None), None), ONE_BY_ONE))


# Where pairs are


@pytest.mark.parametrize(
    "layout", ["A and B", "trainA and trainB", "named", "in train", "side by side", "halves in train"]
)
def test_pairs_are_found_in_each_layout(tmp_path, layout):
    folder = tmp_path / "pairs"
    if layout in ("side by side", "halves in train"):
        side_by_side(folder, number=4)
        folder = folder / "train" if layout == "side by side" else folder
    else:
        pairs_of_squares(folder / "train" if layout == "in train" else folder)
        names = {"trainA and trainB": ("trainA", "trainB"), "named": ("oranges", "blues")}.get(layout, ("A", "B"))
        for old, new in zip("AB", names, strict=True):
            if layout != "in train":
                (folder / old).rename(folder / new)
    none = Pair(Domain("A", folder, ()), Domain("B", folder, ()))
    found = find_known_pairs(folder, Pair("oranges", "blues"), none, skip_unpaired=False, report=print)
    assert found.map(len) == (4, 4)
    assert found.a.files == found.b.files
    assert (found.a.half, found.b.half) == (("left", "right") if "side" in layout or "halves" in layout else NONE)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ((), "holds neither two folders named A and B nor pictures side by side"),
        (("left", "right"), "holds neither two folders named A and B"),
    ],
)
def test_a_folder_without_pairs_is_refused_with_a_cure(tmp_path, names, problem):
    for name in names:
        (tmp_path / name).mkdir()
        square(0, BLUE).save(tmp_path / name / "0.png")
    with pytest.raises(PictureError, match=f"{problem}.*put the pairs under equal names in .*/A and .*/B"):
        find_known_pairs(tmp_path, Pair("a b", "c"), NONE, skip_unpaired=False, report=print)
    with pytest.raises(PictureError, match="nowhere does not exist"):
        find_known_pairs(tmp_path / "nowhere", Pair("a", "b"), NONE, skip_unpaired=False, report=print)


@pytest.mark.parametrize("part", ["A", "B"])
@pytest.mark.parametrize("copy", ["renamed", "encoded again under its name", "side by side under its name"])
def test_a_pair_with_a_held_out_picture_is_not_used(squares, tmp_path, copy, part):
    split = find_split(source_of(squares))
    held, folder, said = squares / f"test{part}" / "2001.png", pairs_of_squares(tmp_path / "pairs"), []
    if copy == "renamed":
        shutil.copy(held, folder / part / "pair 2.png")
    elif copy == "encoded again under its name":
        for name in "AB":
            square(8, BLUE).save(folder / name / "2001.jpg", quality=90)
        Image.open(held).save(folder / part / "2001.jpg", quality=95, subsampling=0)
    else:
        shutil.rmtree(folder)
        side_by_side(folder, number=4)
        folder, both = folder / "train", Image.new("RGB", (64, 32))
        both.paste(Image.open(held), ((0, 0), (32, 0))[part == "B"])
        both.save(folder / "2001.png")
    found = find_known_pairs(folder, Pair("A", "B"), split.test, skip_unpaired=False, report=said.append)
    number = 3 if copy == "renamed" else 4
    assert found.map(len) == (number, number)
    assert not any(file.stem in ("2001", "pair 2" * (copy == "renamed")) for file in found.a.files)
    assert said == [f"1 of {number + 1} pairs in {folder} are not used: they are among the held-out pictures"]


def source_of(root):
    return tiny(root).source


def test_only_held_out_pairs_are_refused(squares):
    split = find_split(source_of(squares))
    folder = squares.parent / "held"
    for part in "AB":
        shutil.copytree(squares / f"test{part}", folder / part)
    with pytest.raises(PictureError, match="all 4 pairs in .* are among the held-out pictures: give other pairs"):
        find_known_pairs(folder, Pair("A", "B"), split.test, skip_unpaired=False, report=print)


# Drawing


def content_plan(root, tmp_path, *, masks=True, method=TINY.method, **content):
    folders = {"masks_a": masks_of(tmp_path / "masks a", root / "trainA")} if masks else {}
    pairs = pairs_of_squares(tmp_path / "pairs", number=6, start=500)
    options = ContentConfig(pairs=pairs, **folders, keep_edges=1.0, **content)
    config = tiny(root, method=method, content=options, length=LengthConfig(pictures=240))
    return replace(config, data=replace(config.data, holdout=None))


@pytest.fixture
def plan(squares, tmp_path):
    from diptych.monitoring.progress import Silent

    return make_plan(content_plan(squares, tmp_path), tmp_path / "run", None, Silent())


def test_masks_and_pairs_are_cropped_and_flipped_with_their_pictures(plan):
    seen = set()
    for batch in itertools.islice(plan.loader.updates(0), 20):
        assert batch.images.a.shape == (2, 4, 32, 32)
        assert batch.images.b.shape == (2, 3, 32, 32)
        inside = batch.images.a[:, :3].float().std(1) > 40
        mask = batch.images.a[:, 3]
        assert set(mask.unique().tolist()) <= {0, 255}
        assert ((mask > 0) ^ inside).float().mean() < 0.06  # bicubic and nearest differ at the border
        same = batch.known.map(lambda pictures: pictures.float().std(1) > 40)
        assert (same.a ^ same.b).float().mean() < 0.04
        seen |= {tuple(np.argwhere(one.numpy())[0]) for one in same.a}
    assert len(seen) > 10


def test_the_pairs_of_an_update_depend_only_on_its_count_and_come_once_an_epoch(plan):
    def pixels(start, number):
        return [batch.known.a for batch in itertools.islice(plan.loader.updates(start), number)]

    assert torch.equal(torch.stack(pixels(6, 2)), torch.stack(pixels(0, 5)[3:]))
    still = replace(plan.loader.data, flip=False, crop_size=0)
    plan.loader.known.data = still
    drawn = [plan.loader.known._draw(count).a.tobytes() for count in range(12)]
    assert len(set(drawn[:6])) == len(set(drawn[6:])) == 6
    assert drawn[:6] != drawn[6:]


def test_the_pictures_of_a_run_are_the_same_with_pairs_and_masks(plan, squares, tmp_path):
    from diptych.monitoring.progress import Silent

    other = make_plan(replace(plan.config, content=ContentConfig()), tmp_path / "other", None, Silent())
    for batch, expected in zip(range(3), other.loader.updates(0), strict=False):
        found = next(itertools.islice(plan.loader.updates(0), batch, None))
        assert torch.equal(found.images.a[:, :3], expected.images.a)
        assert torch.equal(found.images.b, expected.images.b)
        assert expected.known is None


# Runs


@pytest.mark.parametrize("method", [CycleganConfig(pool_size=5), CutConfig(num_patches=16, head_width=8)])
def test_a_killed_run_with_content_resumes_to_the_bit(squares, tmp_path, method):
    config = content_plan(squares, tmp_path, method=method)
    often = replace(config.output, save_minutes=0, keep_checkpoints=9, num_samples=1)
    config = replace(config, length=LengthConfig(pictures=12), output=often)
    run = train(config, tmp_path / "run")
    assert run.config().content.lambda_pairs == run.config().content.lambda_masks == 10
    expected, _ = read_checksummed(run.checkpoint_file(12), "checkpoint")
    for count in (8, 10, 12):  # as if it had been killed before
        run.checkpoint_file(count).unlink()
    again = train(replace(config, content=ContentConfig(keep_edges=1.0)), run.folder)  # the rest is that of the run
    found, _ = read_checksummed(again.checkpoint_file(12), "checkpoint")
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert {"pairs_b", "kept_a", "edges_a"} <= {name for record in records_of(run) for name in record["losses"]}


def test_a_resumed_run_must_have_the_same_pairs_and_masks(squares, tmp_path):
    config = replace(content_plan(squares, tmp_path), length=LengthConfig(pictures=4))
    run = train(config, tmp_path / "run")
    longer = replace(config, length=LengthConfig(pictures=6))
    pair = tmp_path / "pairs" / "A" / "pair 501.png"
    square(3, ORANGE).save(pair)
    with pytest.raises(RunError, match="have changed since the run was started .1 replaced .pair: pair 501.png"):
        train(longer, run.folder)
    square(501, ORANGE).save(pair)
    mask = next((tmp_path / "masks a").iterdir())
    mask.rename(tmp_path / "away.png")
    with pytest.raises(RunError, match="1 missing .mask: "):
        train(longer, run.folder)
    (tmp_path / "away.png").rename(mask)
    (tmp_path / "pairs").rename(tmp_path / "moved")
    moved = replace(longer, content=replace(longer.content, pairs=tmp_path / "moved"))
    train(moved, run.folder)
    with pytest.raises(RunError, match="masks-b was None and is"):
        train(
            replace(moved, content=replace(moved.content, masks_b=masks_of(tmp_path / "masks b", squares / "trainB"))),
            run.folder,
        )


def test_an_unreadable_pair_and_mask_can_be_replaced(squares, tmp_path):
    config = replace(content_plan(squares, tmp_path), length=LengthConfig(pictures=24))
    broken = [tmp_path / "pairs" / "B" / "pair 503.png", sorted((tmp_path / "masks a").iterdir())[2]]
    good = [file.read_bytes() for file in broken]
    for file, content in zip(broken, good, strict=True):
        file.write_bytes(content[:-30])
    for _ in broken:
        with pytest.raises(PictureError, match="png is cut off or damaged") as error:
            train(config, tmp_path / "run")
        file = next(file for file in broken if file.name in error.value.problem)
        file.write_bytes(good[broken.index(file)])
    train(config, tmp_path / "run")


# Masks


def marked(index, *, mark=(40, 200, 60)):
    """An orange square with a green mark somewhere, and the mask of the mark."""
    values, mask = np.array(square(index, ORANGE)), np.zeros((SIZE, SIZE), np.uint8)
    top, left = np.random.default_rng(index + 7).integers(0, SIZE - 8, 2)
    values[top : top + 8, left : left + 8], mask[top : top + 8, left : left + 8] = mark, 255
    return Image.fromarray(values), Image.fromarray(mask)


@pytest.mark.slow
def test_content_in_masks_changes_at_most_a_fifth_and_the_rest_is_translated(tmp_path):
    """Only A has green marks, so without masks the discriminator of B removes them."""
    root, masks = make_squares(tmp_path / "root", train=24), tmp_path / "masks"
    masks.mkdir()
    for file in sorted((root / "trainA").iterdir()):
        for image, path in zip(marked(int(file.stem)), (file, masks / file.name), strict=True):
            image.save(path)
    config = replace(
        tiny(root),
        generator=replace(TINY.generator, width=8, upsampling="nearest"),
        discriminator=replace(TINY.discriminator, width=16),
        optimiser=OptimiserConfig(batch_size=4, learning_rate=2e-3, ema=0.9),
        length=LengthConfig(pictures=320),
        output=OutputConfig(num_samples=0, score=False),
    )
    inside, squares = {}, {}
    for name, content in (("without", ContentConfig()), ("with", ContentConfig(masks_a=masks))):
        translator = Translator.load(train(replace(config, content=content), tmp_path / name).folder, "a2b")
        changes, distances = [], []
        for index in range(2000, 2008):
            picture, mask = map(np.asarray, marked(index))
            output, is_orange = np.asarray(translator(picture), float), (picture == ORANGE).all(axis=2)
            changes.append(np.abs(output - picture)[mask > 0].mean())
            distances.append(np.abs(output - BLUE)[is_orange].mean())
        inside[name], squares[name] = np.mean(changes), np.mean(distances)
    assert inside["with"] < inside["without"] / 5
    assert squares["with"] < np.abs(np.subtract(ORANGE, BLUE)).mean() / 3


@pytest.mark.parametrize(
    ("name", "write", "problem"),
    [
        ("0.jpg", lambda path: square(0, BLUE).save(path), "is a JPEG, in which black is not exact: save masks as PNG"),
        ("0.png", lambda path: square(0, BLUE).resize((64, 32)).save(path), "of another aspect ratio"),
        ("99.png", lambda path: square(0, BLUE).save(path), "has no mask with the name of a picture in"),
    ],
)
def test_masks_that_do_not_fit_are_refused(squares, tmp_path, name, write, problem):
    (tmp_path / "masks").mkdir()
    write(tmp_path / "masks" / name)
    config = tiny(squares, content=ContentConfig(masks_a=tmp_path / "masks"), length=LengthConfig(pictures=24))
    with pytest.raises(PictureError, match=problem):
        train(config, tmp_path / "run")


def test_pictures_without_a_mask_are_counted_and_keep_nothing(squares, tmp_path):
    domain, said = find_domain("A", squares / "trainA"), []
    masks = masks_of(tmp_path / "masks", squares / "trainA")
    (masks / "3.png").unlink()
    found = find_masks(domain, masks, said.append)
    assert said == ["1 of 24 pictures of A have no mask: nothing in them is kept"]
    assert len(found.files) == 23
    (masks / "4.tif").write_bytes((masks / "4.png").read_bytes())
    with pytest.raises(PictureError, match="has two masks named 4: remove or rename one"):
        find_masks(domain, masks)


@pytest.mark.parametrize(
    ("method", "content", "problem"),
    [
        (CutConfig(), {"masks_b": "x"}, "masks-b has no effect: pictures of B are not translated"),
        (CutConfig(direction="b2a"), {"masks_a": "x"}, "masks-a has no effect"),
        (CycleganConfig(), {"lambda_pairs": 1.0}, "lambda-pairs has no effect alone: give --pairs FOLDER"),
        (CycleganConfig(), {"lambda_masks": 1.0}, "lambda-masks has no effect alone"),
    ],
)
def test_options_without_effect_are_refused(method, content, problem):
    with pytest.raises(OptionError, match=problem):
        ContentConfig(**content).resolved(method.directions, (3, 3))


def test_masks_need_equal_channels():
    with pytest.raises(OptionError, match="masks keep colours, but A has 1 channels and B 3"):
        ContentConfig(masks_a="x").resolved(("a2b",), (1, 3))
    assert ContentConfig(keep_edges=1.0).resolved(("a2b",), (1, 3)).keep_edges == 1
    assert math.isfinite(losses.structure(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8)).item())


# Scores and alarms


def drawing(*boxes, side=64, low=-0.6, high=0.6):
    """An image (1, 3, H, W) with boxes (top, left, size)."""
    image = torch.full((1, 3, side, side), low)
    for top, left, size in boxes:
        image[:, :, top : top + size, left : left + size] = high
    return image


ONE, TWO = (8, 8, 16), (40, 36, 12)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (drawing(ONE, TWO), (0, 0)),
        (drawing(ONE, TWO, low=0.3, high=-0.5), (0, 0)),  # other colours
        (drawing((8, 9, 16), TWO), (0, 0)),  # moved by a pixel
        (drawing(ONE), (44 / 104, 0)),
        (drawing(), (1, 0)),
        (drawing(ONE, TWO, (4, 44, 10)), (0, 36 / 140)),
    ],
)
def test_edges_that_are_lost_and_invented_are_counted(output, expected):
    before, after = edges(drawing(ONE, TWO)), edges(output)
    assert (lost(before, after).item(), lost(after, before).item()) == pytest.approx(expected, abs=0.02)


def test_objects_are_connected_parts_of_a_mask_and_lost_without_half_of_their_edges():
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[6:26, 6:26], mask[38:54, 34:50] = True, True
    mask[26, 26] = True  # touches the first at a corner
    assert [one.sum().item() for one in objects(mask)] == [401, 256] or [one.sum().item() for one in objects(mask)] == [
        256,
        401,
    ]
    before = edges(drawing(ONE, TWO))[0]
    assert lost_objects(before, before, mask) == (0, 2)
    assert lost_objects(before, edges(drawing(ONE))[0], mask) == (1, 2)
    assert lost_objects(before, edges(drawing())[0], mask) == (2, 2)


def test_unrelated_outputs_raise_the_alarms_of_content_and_kept_ones_do_not():
    draw = torch.Generator().manual_seed(0)

    def pictures(seed):
        return torch.cat([to_network(stack([np.asarray(square(seed + index, ORANGE))])) for index in range(6)])

    inputs, others = pictures(0), pictures(100)
    kept = relative_edges(inputs, inputs * 0.8 + 0.02 * torch.randn(inputs.shape, generator=draw))
    assert max(kept.values()) < 0.1
    names = {alarm.name for alarm in alarms("a2b", relative_edges(inputs, others), {"keep-edges"})}
    assert names == {"relative_edges_lost", "relative_edges_invented"} == kept.keys()
    dense = torch.rand(6, 3, 32, 32, generator=draw) * 2 - 1
    assert relative_edges(dense, dense) == {}


def test_the_content_of_masks_is_scored_in_evaluate(squares, tmp_path, monkeypatch):
    masks = masks_of(tmp_path / "masks", squares / "testA")
    config = tiny(squares, content=ContentConfig(masks_a=masks_of(tmp_path / "train masks", squares / "trainA")))
    run = train(replace(config, length=LengthConfig(pictures=2)), tmp_path / "run")
    network = FeatureNetwork("mean", lambda images: images.mean((2, 3)), 32, None)
    monkeypatch.setattr("diptych.evaluation.evaluate.load_features", lambda *_, **__: network)
    without = evaluate(run.folder).scores["a2b"]
    assert {"edges_lost", "edges_invented"} <= without.keys()
    assert not {"kept_l1", "objects_lost"} & without.keys()  # only training pictures have masks
    found = evaluate(run.folder, masks_a=masks).scores
    assert not {"kept_l1", "objects_lost"} & found["b2a"].keys()
    translator, expected = Translator.load(run.folder, "a2b"), []
    for file in sorted((squares / "testA").iterdir()):
        picture, mask = Image.open(file), np.asarray(Image.open(masks / file.name)) > 0
        expected.append(np.abs(np.asarray(translator(picture), float) - np.asarray(picture))[mask].mean())
    score = found["a2b"]["kept_l1"]
    assert score.trained == pytest.approx(np.mean(expected), rel=1e-6)
    assert (score.untranslated, score.untrained) == (None, None)
    with pytest.raises(PictureError, match="has no mask with the name of a picture"):
        evaluate(run.folder, masks_b=masks_of(tmp_path / "other", squares / "trainB"))


def test_a_batch_is_mapped_with_its_pairs():
    assert Batch(Pair(1, 2), Pair(3, 4)).map(str) == (("1", "2"), ("3", "4"))
    assert Batch(Pair(1, 2)).map(str) == (("1", "2"), None)
