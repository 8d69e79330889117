"""The files that a run reads: both layouts, skipped files, held-out files, and every mistake in one line."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diptych.config import SourceConfig
from diptych.data.files import Domain, by_hash, find_domain, find_files
from diptych.data.sources import domain_names, find_split, hold_out
from diptych.errors import OptionError, PictureError
from diptych.pair import Pair
from helpers.system import unprivileged


def touch(folder, *names):
    """Empty files: only their names are read here."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names_of(folder):
    return [path.as_posix() for path in find_files(folder).files]


def domain(folder, num_pictures):
    return Domain("x", folder, tuple(Path(f"{index}.png") for index in range(num_pictures)))


def test_pictures_are_found_in_nested_folders_in_the_order_of_their_names(tmp_path):
    names = [
        "b.JPG",
        "a/z.jpeg",
        "a/b/c/x.WebP",
        "a b/é 猫.png",
        "0.gif",
        "y.tif",
        "y.TIFF",
        "c.bmp",
        "d.png/in.png",
    ]
    assert names_of(touch(tmp_path, *names)) == sorted(names)


def test_hidden_and_other_files_are_skipped(tmp_path):
    others = [".hidden.png", ".git/a.png", "a/.cache/b.jpg", "._a.jpg", "notes.txt", "Thumbs.db", "png", "a.png.part"]
    assert names_of(touch(tmp_path, "a.png", *others)) == ["a.png"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_a_picture_without_a_suffix_is_known_by_its_content(tmp_path, kind):
    touch(tmp_path, "README", "x.part", "photo.jfif", "photo.JPE")
    Image.new("RGB", (4, 4)).save(tmp_path / "0123abcd", kind)
    Image.new("RGB", (4, 4)).save(tmp_path / "copy.bak", kind)
    os.mkfifo(tmp_path / "pipe")
    assert names_of(tmp_path) == ["0123abcd", "photo.JPE", "photo.jfif"]


def test_files_that_are_not_read_are_counted_by_kind(tmp_path):
    touch(tmp_path, *(f"{index}.ppm" for index in range(30)), *(f"deep/{index}.NPZ" for index in range(12)))
    touch(tmp_path, "0.png", "notes.txt", "labels.json", "README", ".hidden.npz", "one.exr")
    counts = "(30 .ppm, 12 .npz, 1 .exr)"
    assert find_files(tmp_path).unread == f"{tmp_path} has 43 files in formats that diptych does not read {counts}"
    for index in range(9):
        touch(tmp_path, f"x.{index}")
    assert find_files(tmp_path).unread.endswith("1 .0, 1 .1, 1 .2, 1 .3, 1 .4, 1 .5 and 4 other kinds)")
    assert find_files(touch(tmp_path / "clean", "a.png", "a.txt", "README")).unread == ""


def test_linked_folders_are_followed_without_loops(tmp_path):
    folder = touch(tmp_path / "in", "a/1.png")
    touch(tmp_path / "elsewhere", "2.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "a" / "back").symlink_to(folder)
    (folder / "a" / "itself").symlink_to(folder / "a" / "itself")
    assert names_of(folder) == ["a/1.png", "linked/2.png"]


def test_names_that_are_not_valid_unicode_are_sorted_and_hashed(tmp_path):
    (tmp_path / os.fsdecode(b"\xff\xfe.png")).touch()
    found = find_domain("x", tmp_path)
    assert len(found) == 1
    assert len(found.sha256) == 64
    assert by_hash(found.files) == list(found.files)


def test_two_folders_are_split_and_named_after_themselves(tmp_path):
    numbers = [f"{index}.png" for index in range(100)]
    touch(tmp_path / "photos", *numbers)
    touch(tmp_path / "paintings", *numbers[:30])
    split = find_split(SourceConfig(a=tmp_path / "photos", b=tmp_path / "paintings"))
    assert split.train.map(len) == (95, 30)
    assert split.test.map(len) == (5, 0)
    assert {*split.train.a.files, *split.test.a.files} == set(find_files(tmp_path / "photos").files)
    assert [part.name for part in (*split.train, *split.test)] == ["photos", "paintings"] * 2


def test_a_root_is_used_whole_with_its_own_test_part(tmp_path):
    numbers = [f"{index}.png" for index in range(100)]
    touch(tmp_path, *(f"trainA/{name}" for name in numbers), "trainB/x/1.jpg", "testA/2.png")
    split = find_split(SourceConfig(root=tmp_path), holdout=7)
    assert split.train.map(len) == (100, 1)
    assert split.test.map(len) == (1, 0)
    assert split.train.map(lambda part: part.name) == ("A", "B")


@pytest.mark.parametrize(
    ("num_pictures", "held"),
    [(1, 0), (39, 0), (40, 2), (41, 3), (60, 3), (1000, 50), (1280, 64), (1281, 64)],
)
def test_five_per_cent_are_held_out_at_most_64_and_none_of_fewer_than_40(tmp_path, num_pictures, held):
    train, test = hold_out(domain(tmp_path, num_pictures), None)
    assert len(test) == held
    assert len(train) == num_pictures - held


@pytest.mark.parametrize("asked", [0, 1, 17, 99])
def test_the_given_number_is_held_out(tmp_path, asked):
    train, test = hold_out(domain(tmp_path, 100), asked)
    assert (len(train), len(test)) == (100 - asked, asked)


@given(st.sets(st.text("abcdeé猫", min_size=1, max_size=6), max_size=60), st.data())
def test_held_out_pictures_are_chosen_by_name_alone(names, data):
    # Held out are the first by hash, so added pictures never change which of two old ones goes first.
    files = sorted(Path(f"{name}.png") for name in names)
    whole = Domain("x", Path("folder"), tuple(files))
    fewer = whole.only([file for file in files if data.draw(st.booleans())])
    for part in (whole, fewer):
        if len(part) > 1:
            _, test = hold_out(part, 1 + len(part) // 5)
            old = [file for file in by_hash(fewer.files) if file in part.files]
            held = [file for file in old if file in test.files]
            assert held == old[: len(held)]


def test_a_domain_is_identified_by_its_names(tmp_path):
    first = domain(tmp_path, 5)
    assert first.sha256 == replace(first, folder=tmp_path / "moved", name="other").sha256
    assert len({first.sha256, domain(tmp_path, 4).sha256, first.without(first.files[:1]).sha256}) == 3


def test_folders_of_one_name_get_different_names(tmp_path):
    source = SourceConfig(a=tmp_path / "x" / "photos", b=tmp_path / "y" / "photos")
    assert domain_names(source) == Pair("photos-A", "photos-B")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ({}, OptionError, "two folders of pictures are needed: give A B, or --root ROOT"),
        (
            {"a": "full"},
            OptionError,
            "two folders of pictures are needed, but only full is given: give A B, or --root ROOT",
        ),
        (
            {"a": "full", "b": "full/../full"},
            OptionError,
            "A and B are the same folder, full: give two diff",
        ),
        (
            {"a": "full", "b": "other", "root": "full"},
            OptionError,
            "both two folders and a root are given: give A B",
        ),
        ({"a": "full", "b": "nowhere"}, PictureError, "nowhere does not exist: give a folder of pictures"),
        ({"a": "full", "b": "file.png"}, PictureError, "file.png is not a folder: give a folder of pictures"),
        (
            {"a": "empty", "b": "full"},
            PictureError,
            "empty holds no picture: put pictures there (.bmp .dcm .dicom .gif",
        ),
        ({"root": "nowhere"}, PictureError, "nowhere is not a folder: give the folder that holds trainA and trainB"),
        ({"root": "full"}, PictureError, "full holds neither trainA and trainB nor train: give A B"),
    ],
)
def test_each_mistake_is_reported_with_its_cure(tmp_path, monkeypatch, source, error, message):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "full/1.png", "other/1.png", "file.png", "empty/.hidden.png")
    with pytest.raises(error) as caught:
        find_split(SourceConfig(**{name: Path(path) for name, path in source.items()}))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("asked", [-1, 10, 11])
def test_holding_out_all_or_less_than_none_is_refused(tmp_path, asked):
    with pytest.raises(OptionError, match=f"holdout is {asked}, but .* has 10 pictures: give 0 to 9"):
        hold_out(domain(tmp_path, 10), asked)


def test_a_folder_without_read_permission_is_reported(public_folder):
    folder = touch(public_folder, "a/1.png", "b/2.png")
    (folder / "b").chmod(0)
    with (
        unprivileged(),
        pytest.raises(PictureError, match=r"b cannot be read \(Permission denied\): change its perm"),
    ):
        find_files(folder)
