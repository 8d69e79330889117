"""How pictures lie in folders: what is trained on, what is held out, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diptych.cli import main, parse
from diptych.config import LengthConfig, SourceConfig
from diptych.data.layouts import is_side_by_side
from diptych.data.sources import find_split, refuse_among_pictures
from diptych.errors import OptionError, PictureError
from diptych.training.loop import train
from helpers.runs import tiny


def draw(folder, *names, size=(8, 8)):
    """Small pictures, all different."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        seed = [*str(folder / name).encode()]
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)).save(folder / name)
    return folder


def numbered(*parts, number=3):
    return [f"{part}/{index}.png" for part in parts for index in range(number)]


def split_of(*, said=None, holdout=None, **source):
    paired = source.pop("paired", False)
    report = (lambda _: None) if said is None else said.append
    return find_split(SourceConfig(**source), holdout, paired=paired, report=report)


def found(pair):
    """The paths that a pair of domains reads, as text, relative to the working directory."""
    paths = pair.map(lambda domain: [domain.path(index).absolute() for index in range(len(domain))])
    return tuple(sorted(path.relative_to(Path.cwd()).as_posix() for path in each) for each in paths)


def refused(**source):
    with pytest.raises((PictureError, OptionError)) as caught:
        split_of(**source)
    return str(caught.value)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Path()


# -- a root


@pytest.mark.parametrize("paired", [False, True])
def test_two_folders_in_train_are_the_domains(here, paired):
    draw(here, *numbered("root/train/zebras", "root/train/horses"))
    said = []
    split = split_of(root=here / "root", paired=paired, said=said)
    assert found(split.train) == (numbered("root/train/horses"), numbered("root/train/zebras"))
    assert split.train.map(lambda domain: (domain.name, domain.half)) == (("horses", None), ("zebras", None))
    assert said == ["the folders in root/train are the domains: A is horses, B is zebras"]


@pytest.mark.parametrize("held", ["test", "val", "valid", "Validation", "TEST"])
def test_the_same_folders_in_test_or_val_are_held_out(here, held):
    draw(here, *numbered("root/train/a", "root/train/b"), *numbered(f"root/{held}/a", f"root/{held}/b", number=1))
    split = split_of(root=here / "root", holdout=1)
    assert found(split.test) == ([f"root/{held}/a/0.png"], [f"root/{held}/b/0.png"])
    assert split.train.map(len) == (3, 3)


def test_val_a_and_val_b_are_held_out_where_there_are_no_test_pictures(here):
    draw(here, *numbered("root/trainA", "root/trainB"), *numbered("root/valA", "root/valB", number=2))
    assert found(split_of(root=here / "root").test) == (
        numbered("root/valA", number=2),
        numbered("root/valB", number=2),
    )
    draw(here, *numbered("root/testA", "root/testB", number=1))
    said = []
    assert found(split_of(root=here / "root", said=said).test) == (["root/testA/0.png"], ["root/testB/0.png"])
    assert said == ["root: val is not used, since test holds the held-out pictures"]


def test_a_root_without_held_out_folders_is_split_as_two_folders_are(here):
    draw(here, *numbered("root/trainA", "root/trainB", number=40))
    assert split_of(root=here / "root").test.map(len) == (2, 2)
    assert split_of(root=here / "root", holdout=5).train.map(len) == (35, 35)


@pytest.mark.parametrize("method", ["cyclegan", "cut", "fastcut", "pix2pix", None])
def test_pictures_side_by_side_are_only_for_methods_that_need_pairs(here, capsys, method):
    draw(here, *numbered("root/train", number=2), size=(16, 8))
    given = [] if method is None else ["--method", method]
    if method in (None, "pix2pix"):
        config = parse(["train", "--root", "root", *given]).config()
        split = split_of(root=here / "root", paired=config.method.paired)
        assert split.train.map(lambda domain: (len(domain), domain.half)) == ((2, "left"), (2, "right"))
        return
    with pytest.raises(SystemExit):
        main(["train", "--root", "root", *given])
    line = (
        "diptych: root/train holds pictures side by side, which are pairs: give --method pix2pix, or two folders: A B\n"
    )
    assert capsys.readouterr().err == line
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("size", "detected", "possible"),
    [((16, 8), True, True), ((17, 8), False, True), ((18, 8), False, True), ((20, 10), True, True),
     ((8, 8), False, False), ((8, 16), False, False), ((16, 9), False, True), ((60, 8), False, False)],
)  # fmt: skip
def test_side_by_side_are_pictures_about_twice_as_wide_as_high(here, size, detected, possible):
    draw(here, *numbered("root/train"), size=size)
    assert is_side_by_side(here / "root") is detected
    if not detected:
        assert "times as wide as high, so they are not two side by side: give two folders" in refused(
            root=here / "root"
        )
    if not possible:
        assert "so they are not two side by side" in refused(root=here / "root", paired=True)
        return
    said = []
    split_of(root=here / "root", paired=True, said=said)
    expected = "3 of 3 pictures in root/train are not twice as wide as high: each is cut in halves"
    assert said == ([] if detected else [expected])


def test_some_pictures_of_another_shape_are_said(here):
    draw(here, *numbered("root/train", number=4), size=(16, 8))
    draw(here, "root/train/9.png", size=(8, 8))
    said = []
    split_of(root=here / "root", paired=True, said=said)
    assert said == ["1 of 5 pictures in root/train are not twice as wide as high: each is cut in halves"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/a/1.png"], "root/train holds 1 folders (a), not two, one for each domain: give two folders: A B"),
        (["train/a/1.png", "train/b/1.png", "train/c/1.png"], "root/train holds 3 folders (a, b, c), not two, one for"),
        (["train/1.png", "train/b/1.png"], "root/train holds both pictures and folders (b): leave only"),
        (["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"], "root/test holds 2 folders (a, c), not a and b"),
        (["horses/1.png", "zebras/1.png"], "neither trainA and trainB nor train: give its two folders: root/horses root/ze"),
        (["1.png"], "root holds neither trainA and trainB nor train: give A B, or another root"),
        (["trainA/1.png"], "root/trainB does not exist: put the pictures of this domain there"),
        (["trainA/1.png", "trainB/notes.txt"], "root/trainB holds no picture"),
    ],
)  # fmt: skip
def test_other_layouts_of_a_root_are_refused_in_one_line(here, names, message):
    for name in names:
        (here / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "root" / name).touch()
    assert message in refused(root=here / "root")


# -- two folders


def test_train_and_test_below_a_folder_are_taken_as_such(here):
    draw(here, *numbered("horse/train", "zebra/Train"), *numbered("horse/test", "zebra/val", "horse/val", number=2))
    said = []
    split = split_of(a=here / "horse", b=here / "zebra", said=said)
    assert found(split.train) == (numbered("horse/train"), numbered("zebra/Train"))
    assert found(split.test) == (numbered("horse/test", number=2), numbered("zebra/val", number=2))
    assert said == [
        "horse: train is trained on, test is held out, val is not used",
        "zebra: train is trained on, val is held out",
    ]
    assert found(split_of(a=here / "horse/train", b=here / "zebra").train)[0] == numbered("horse/train")


def test_pairs_in_train_and_test_are_held_out_as_pairs(here):
    draw(here, *numbered("a/train", "b/train"), *numbered("a/test", "b/test", number=2))
    split = split_of(a=here / "a", b=here / "b", paired=True)
    assert split.train.a.files == split.train.b.files
    assert split.test.a.files == split.test.b.files == (Path("0.png"), Path("1.png"))


@pytest.mark.parametrize(
    "names", [["1.png", "test/2.png"], ["1.png", "train/2.png", "test/3.png"], ["x/1.png", "val/2.png"]]
)
def test_test_pictures_below_a_folder_are_never_trained_on(here, names):
    draw(here / "horse", *names)
    draw(here, *numbered("zebra"))
    assert "lies among other pictures of horse, which would be mixed with it: move it elsewhere, or" in refused(
        a=here / "horse", b=here / "zebra"
    )


def test_a_root_is_not_a_domain(here):
    draw(here, *numbered("root/trainA", "root/trainB", "root/testA", "zebra"))
    line = "root holds trainA and trainB, which are two domains: give --root root, or the folder of one domain"
    assert refused(a=here / "root", b=here / "zebra") == line


def test_one_domain_inside_the_other_is_refused(here):
    draw(here, *numbered("photos", "photos/paintings"))
    line = "photos/paintings lies in photos, so its pictures would be in both domains: move it out of photos"
    line += ", or give 'photos/*' in quotes"
    assert refused(a=here / "photos", b=here / "photos/paintings") == line
    assert refused(a=here / "photos/paintings", b=here / "photos") == line
    assert split_of(a=here / "photos/*", b=here / "photos/paintings").train.map(len) == (3, 3)
    (here / "photos/paintings").rename(here / "paintings")
    assert split_of(a=here / "photos", b=here / "paintings").train.map(len) == (3, 3)
    (here / "photos/linked").symlink_to("../paintings")
    assert "3 pictures are in both domains, such as " in refused(a=here / "photos", b=here / "paintings")


# -- a run among the pictures


def test_a_run_is_not_written_among_its_pictures(here, capsys):
    draw(here, *numbered("photos", "paintings"))
    for run in ("photos/run", "paintings/a/b"):
        with pytest.raises(SystemExit):
            main(["train", "photos", "paintings", "--run", run])
        assert "would lie in p" in (line := capsys.readouterr().err)
        assert line.endswith("and its samples would be trained on: give --run with a folder outside of it\n")
    refuse_among_pictures(Path("photos2"), SourceConfig(a=Path("photos"), b=Path("paintings")))
    assert sorted(path.name for path in Path("photos").iterdir()) == ["0.png", "1.png", "2.png"]


def test_pictures_of_a_run_are_not_trained_on(here):
    draw(here, *numbered("photos", "paintings"), size=(32, 32))
    config = tiny(None, length=LengthConfig(pictures=2))
    source = SourceConfig(a=here / "photos", b=here / "paintings")
    run = train(type(config)(**vars(config) | {"source": source}), here / "run")
    run.folder.rename(here / "photos" / "old")
    line = "photos/old is a run, whose samples would be pictures of photos: move it out of photos"
    assert refused(a=here / "photos", b=here / "paintings") == line


# -- evaluate


def test_evaluate_takes_the_held_out_pictures_of_every_layout(here):
    from diptych.evaluation.eval_set import find_pictures_for
    from diptych.model import load_model

    draw(
        here, *numbered("root/train/a", "root/train/b"), *numbered("root/val/a", "root/val/b", number=2), size=(32, 32)
    )
    run = train(tiny(here / "root", length=LengthConfig(pictures=2)), here / "run")
    card = load_model(run.folder).card
    assert card.names == ("a", "b")
    for source in (SourceConfig(), SourceConfig(root=here / "root")):
        pictures, _ = find_pictures_for(run.folder, card, source)
        assert found(pictures.map(lambda one: one.domain)) == (
            numbered("root/val/a", number=2),
            numbered("root/val/b", number=2),
        )
    draw(here, *numbered("x/train", "x/test", "y", number=2), size=(32, 32))
    pictures, _ = find_pictures_for(run.folder, card, SourceConfig(a=here / "x", b=here / "y"))
    assert found(pictures.map(lambda one: one.domain)) == (numbered("x/test", number=2), numbered("y", number=2))


def test_holdout_is_not_used_beside_held_out_folders_and_says_so(here):
    draw(here, *numbered("root/trainA", "root/trainB", "root/testA", "root/testB"))
    said = []
    assert split_of(root=here / "root", holdout=1, said=said).test.map(len) == (3, 3)
    assert said == ["--holdout is not used, since there are folders of held-out pictures"]
