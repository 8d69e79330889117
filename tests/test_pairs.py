"""Pictures that come in pairs: found by name or side by side, resized to one size, drawn and cropped together."""

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from diptych import Translator
from diptych.cli import parse
from diptych.config import (
    CycleganConfig,
    DataConfig,
    LengthConfig,
    OptimiserConfig,
    PatchganConfig,
    Pix2pixConfig,
    SourceConfig,
    UnetConfig,
)
from diptych.data.encoding import Encoding
from diptych.data.files import folded_name
from diptych.data.loader import Loader, Reader
from diptych.data.pairing import common_names, shapes_agree
from diptych.data.sources import find_split
from diptych.data.transforms import half_of
from diptych.errors import PictureError
from diptych.evaluation.eval_set import find_pictures_for
from diptych.model import load_model
from diptych.monitoring.samples import sample_pictures
from diptych.pair import Pair
from diptych.training.loop import train
from helpers.runs import PIX2PIX, InterruptAt, assert_equal_runs, records_of, tiny
from helpers.squares import BLUE, ORANGE, make_squares, side_by_side, square


def write(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        square(len(name), ORANGE).save(folder / name)
    return folder


@pytest.fixture
def paired(tmp_path):
    """24 pairs in trainA and trainB, of equal places and sizes, and 4 in testA and testB."""
    root = make_squares(tmp_path / "paired", train=2)
    for index in range(24):
        square(index, ORANGE).save(root / "trainA" / f"{index}.png")
        square(index, BLUE).save(root / "trainB" / f"{index}.png")
    for file in (root / "trainB").glob("100*.png"):
        file.unlink()
    return root


def test_pairs_are_found_by_name_whatever_the_suffix_and_folder(tmp_path):
    a = write(tmp_path / "a", "x.png", "sub/ä b.png", "sub/y.bmp")
    b = write(tmp_path / "b", "sub/y.png", "sub/ä b.webp", "x.jpg")
    split = find_split(SourceConfig(a=a, b=b), paired=True)
    names = split.train.map(lambda domain: [file.with_suffix("").as_posix() for file in domain.files])
    assert names.a == names.b
    assert len(names.a) == 3


def test_held_out_pairs_stay_together(tmp_path):
    names = [f"{index}.png" for index in range(60)]
    a, b = write(tmp_path / "a", *names), write(tmp_path / "b", *(name.replace("png", "bmp") for name in names))
    split = find_split(SourceConfig(a=a, b=b), paired=True)
    held = split.test.map(lambda domain: [file.stem for file in domain.files])
    assert held.a == held.b
    assert len(held.a) == 3
    assert not set(held.a) & {file.stem for file in split.train.a.files}


def test_pictures_without_a_partner_are_listed_or_left_out(tmp_path):
    a, b = write(tmp_path / "a", "1.png", "2.png", "3.png"), write(tmp_path / "b", "2.png", "3.png", "4.png")
    with pytest.raises(PictureError, match=r"1 of 3 pictures in .*a have no partner in .*b \(1\): .*--skip-unpaired"):
        find_split(SourceConfig(a=a, b=b), paired=True)
    split = find_split(SourceConfig(a=a, b=b), paired=True, skip_unpaired=True)
    assert [file.name for file in split.train.a.files] == ["2.png", "3.png"]


def test_names_that_cannot_be_pairs_are_refused(tmp_path):
    a, b = write(tmp_path / "a", "1.png", "1.jpg"), write(tmp_path / "b", "1.png")
    with pytest.raises(PictureError, match=r"two pictures named 1 \(1.jpg, 1.png\)"):
        find_split(SourceConfig(a=a, b=b), paired=True)
    c = write(tmp_path / "c", "9.png")
    with pytest.raises(PictureError, match="no picture of the same name.*--method cyclegan"):
        find_split(SourceConfig(a=b, b=c), paired=True, skip_unpaired=True)


COMPOSED = [unicodedata.normalize("NFC", name) for name in ("é.png", "sub/Ä b.png")]


@pytest.mark.parametrize("holdout", [1, 2, 3, 4])
def test_names_that_differ_in_case_or_in_the_encoding_of_accents_are_pairs_and_said(tmp_path, holdout):
    # Neither the names nor their hashes sort alike in both folders.
    a = write(tmp_path / "a", *COMPOSED, "X.PNG", "y.png", "Same.png")
    b = write(tmp_path / "b", *(unicodedata.normalize("NFD", name) for name in COMPOSED), "x.jpg", "Y.png", "Same.png")
    said = []
    split = find_split(SourceConfig(a=a, b=b), holdout, paired=True, report=said.append)
    for part in (split.train, split.test):
        names = part.map(lambda domain: [folded_name(file) for file in domain.files])
        assert names.a == names.b
    assert split.train.map(len) == (5 - holdout, 5 - holdout)
    assert len(said) == 1
    assert said[0].startswith(
        "4 pairs have names that differ only in case or in the encoding of accents: X.PNG and x.jpg"
    )
    assert common_names(split.train) == 5 - holdout


def test_a_name_in_two_cases_is_matched_exactly(tmp_path):
    names = ("x.png", "X.png", "1.a.png", "1.b.png")
    a, b = write(tmp_path / "a", *names), write(tmp_path / "b", *names)
    said = []
    split = find_split(SourceConfig(a=a, b=b), paired=True, report=said.append)
    assert split.train.a.files == split.train.b.files
    assert (len(split.train.a), said) == (4, [])
    (b / "x.png").rename(b / "x y.png")
    (b / "X.png").rename(b / "z.png")
    with pytest.raises(PictureError, match=r"2 of 4 pictures in .*a have no partner in .*b \(X, x\)"):
        find_split(SourceConfig(a=a, b=b), paired=True)


@pytest.mark.parametrize("resize", ["none", "shorter", "width", "square"])
@pytest.mark.parametrize("scale", [2, 0.5])
def test_both_pictures_of_a_pair_have_one_size_before_they_are_cropped(paired, resize, scale):
    for file in (paired / "trainA").iterdir():
        picture = Image.open(file).resize((48, 40), Image.Resampling.NEAREST)
        picture.resize((int(48 * scale), int(40 * scale)), Image.Resampling.NEAREST).save(file)
        other = paired / "trainB" / file.name
        Image.open(other).resize((48, 40), Image.Resampling.NEAREST).save(other)
    split = find_split(SourceConfig(root=paired), paired=True)
    for _, batch in zip(range(8), loader(split, resize=resize).batches(0), strict=False):
        inside = batch.map(lambda pictures: pictures.float().std(1) > 40)
        assert (inside.a ^ inside.b).float().mean() < 0.06
    own = {"none": (40, 48), "shorter": (36, 43), "width": (32, 38), "square": (36, 36)}[resize]
    assert loader(split, resize=resize).readers.map(lambda reader: reader(0).shape[:2]) == (own, own)


def test_pairs_of_other_shapes_are_refused_with_both_sizes_or_skipped(paired):
    square(0, ORANGE).resize((48, 32)).save(paired / "trainA" / "5.png")
    split = find_split(SourceConfig(root=paired), paired=True)
    index = [file.name for file in split.train.a.files].index("5.png")
    message = r"trainA.5.png has 48×32 pixels and its partner .*trainB.5.png 32×32, of another .*or pass --skip-unread"
    with pytest.raises(PictureError, match=message):
        loader(split)._read_pair(index)
    reader = loader(split, skip_unreadable=True)
    for given, expected in zip(reader._read_pair(index), reader._read_pair(index + 1), strict=True):
        assert np.array_equal(given, expected)


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ((400, 300), (800, 600), True), ((33, 32), (16, 16), True), ((512, 500), (16, 16), True),
        ((300, 300), (400, 300), False), ((300, 400), (400, 300), False), ((1000, 1000), (1000, 970), False),
        ((1000, 1000), (1000, 985), True),
    ],
)  # fmt: skip
def test_shapes_agree_to_two_per_cent_or_a_pixel(one, other, agree):
    assert shapes_agree(one, other) is agree
    assert shapes_agree(other, one) is agree


@pytest.mark.parametrize("part", ["A", "B"])
def test_an_unreadable_held_out_picture_leaves_out_its_pair_in_grids_and_scores(paired, tmp_path, part):
    (paired / f"test{part}" / "2002.png").write_bytes(b"nothing")
    cut = paired / f"test{part}" / "2000.png"  # its header can be read, its pixels cannot
    cut.write_bytes(cut.read_bytes()[:-40])
    config = tiny(paired, **PIX2PIX, length=LengthConfig(pictures=2))
    config = replace(config, data=replace(config.data, load_size=32, flip=False, skip_unreadable=True))
    run = train(config, tmp_path / "run")
    shown = sample_pictures(run.split().test, run.config())
    a, b = (
        [index for one in pictures for index in range(2000, 2004) if np.array_equal(one, square(index, colour))]
        for pictures, colour in zip(shown, (ORANGE, BLUE), strict=True)
    )
    assert a == b
    assert sorted(a) == [2001, 2003]
    pictures, is_paired = find_pictures_for(run.folder, load_model(run.folder).card, SourceConfig())
    assert is_paired
    names = ["2001", "2003"]
    assert pictures.map(lambda domain: [file.stem for file in domain.domain.files]) == (names, names)


def test_pairs_are_evaluated_at_one_size(paired, tmp_path):
    config = tiny(paired, method=Pix2pixConfig(), length=LengthConfig(pictures=2))
    run = train(replace(config, data=replace(config.data, resize="none")), tmp_path / "run")
    for index in range(2000, 2004):
        square(index, ORANGE).resize((64, 64)).save(paired / "testA" / f"{index}.png")
    card = load_model(run.folder).card
    given = SourceConfig(root=paired)
    pictures, _ = find_pictures_for(run.folder, card, given)
    assert pictures.map(lambda domain: domain[0].shape) == ((32, 32, 3), (32, 32, 3))
    square(2001, ORANGE).resize((64, 48)).save(paired / "testA" / "2001.png")
    with pytest.raises(PictureError, match=r"2001.png has 64×48 pixels and its partner .*2001.png 32×32"):
        find_pictures_for(run.folder, card, given)


def test_halves_of_an_odd_width_have_one_size():
    values = np.arange(14).reshape(2, 7, 1)
    left, right = half_of(values, "left"), half_of(values, "right")
    assert (left[0, :, 0].tolist(), right[0, :, 0].tolist()) == ([0, 1, 2], [4, 5, 6])


def loader(split, *, resize="square", **data):
    config = DataConfig(resize=resize, load_size=36, crop_size=32, num_workers=0, **data)
    if resize == "width":
        config = replace(config, load_size=38)
    readers = split.train.map(lambda domain: Reader(domain, config, encoding=Encoding(3), stride=4, paired=split.train))
    return Loader(readers, config, seed=3, batch_size=4, paired=True)


def test_a_pair_is_cropped_and_flipped_together(paired):
    # Orange and blue squares of a pair lie at one place, so after any common crop and flip they still do.
    split = find_split(SourceConfig(root=paired), paired=True)
    seen = set()
    for _, batch in zip(range(20), loader(split).batches(0), strict=False):
        inside = batch.map(lambda pictures: pictures.float().std(1) > 40)
        assert (inside.a ^ inside.b).float().mean() < 0.02
        seen |= {tuple(np.argwhere(mask.numpy())[0]) for mask in inside.a}
    assert len(seen) > 20


def test_each_pair_comes_once_an_epoch(paired):
    split = find_split(SourceConfig(root=paired), paired=True)
    pictures = [loader(split, flip=False)._draw(count) for count in range(24)]
    assert len({pair.a.tobytes() for pair in pictures}) == 24


def test_side_by_side_pictures_are_cut_in_halves(tmp_path):
    root = side_by_side(tmp_path / "root")
    split = find_split(SourceConfig(root=root), paired=True)
    assert (len(split.train.a), len(split.test.b)) == (24, 4)
    config = DataConfig(resize="none", crop_size=32, load_size=36)
    halves = split.train.map(lambda domain: Reader(domain, config, encoding=Encoding(3), stride=4)(0))
    assert np.array_equal(halves.a, np.asarray(square(0, ORANGE)))
    assert np.array_equal(halves.b, np.asarray(square(0, BLUE)))


def test_an_unreadable_half_skips_its_partner_as_well(paired):
    (paired / "trainB" / "5.png").write_bytes(b"nothing")
    split = find_split(SourceConfig(root=paired), paired=True)
    reader = loader(split, skip_unreadable=True)
    index = [file.name for file in split.train.a.files].index("5.png")
    pair = reader._read_pair(index)
    following = reader._read_pair(index + 1)
    assert np.array_equal(pair.a, following.a)
    assert np.array_equal(pair.b, following.b)


def test_the_layout_decides_the_method_unless_it_is_given(tmp_path, squares):
    root = side_by_side(tmp_path / "root", number=2)
    assert parse(["train", "--root", str(root)]).config().method == Pix2pixConfig()
    assert isinstance(parse(["train", f"--root={root}", "--method", "cyclegan"]).config().method, CycleganConfig)
    assert isinstance(parse(["train", "--root", str(squares)]).config().method, CycleganConfig)


def test_equal_names_in_two_folders_are_noted(capfd, paired, tmp_path):
    from diptych.monitoring.progress import Terminal

    config = replace(
        tiny(None), source=SourceConfig(a=paired / "trainA", b=paired / "trainB"), length=LengthConfig(pictures=2)
    )
    train(config, tmp_path / "run", display=Terminal())
    assert (
        "24 pictures have the same name in both folders: if these are pairs, --method pix2pix" in capfd.readouterr().err
    )


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_pix2pix_trains_resumes_to_the_bit_and_translates(paired, tmp_path, direction):
    config = tiny(paired, **PIX2PIX | {"method": Pix2pixConfig(direction=direction)}, length=LengthConfig(pictures=240))
    whole = train(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", display=InterruptAt(100))
    assert_equal_runs(whole, train(config, tmp_path / "broken"))
    assert list(load_model(whole.folder).networks) == [direction]
    picture = square(7, ORANGE)
    assert Translator.load(whole.folder, direction)(picture).size == picture.size
    assert list(records_of(whole)[0]["losses"]) == ["discriminator", "gan", "l1"]


@pytest.mark.slow
def test_pix2pix_learns_the_colour_of_each_square(paired, tmp_path):
    config = tiny(
        paired,
        method=Pix2pixConfig(),
        generator=UnetConfig(width=8, norm="batch"),
        discriminator=PatchganConfig(width=8, num_layers=1, norm="batch"),
        optimiser=OptimiserConfig(batch_size=4, learning_rate=2e-3, ema=0.9),
        length=LengthConfig(pictures=800),
    )
    translator = Translator.load(train(config, tmp_path / "run").folder)
    errors = [
        np.abs(np.asarray(translator(square(index, ORANGE)), float) - np.asarray(square(index, BLUE), float)).mean()
        for index in range(2000, 2004)
    ]
    assert np.mean(errors) < 12


def test_side_by_side_pictures_train_from_the_command_line(tmp_path):
    root = side_by_side(tmp_path / "root", number=6)
    options = "--generator.width 2 --discriminator.width 2 --discriminator.num-layers 1 --pictures 2"
    command = parse(["train", "--root", str(root), "--run", str(tmp_path / "run"), *options.split()])
    assert command() == 0
    assert Pair(*load_model(tmp_path / "run").card.channels) == (3, 3)
