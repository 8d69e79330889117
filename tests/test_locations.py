"""Pictures named by a pattern, a list or a zip: the same as in a folder, and every mistake in one line."""

import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diptych.cli import main
from diptych.config import LengthConfig, SourceConfig
from diptych.data.encoding import Encoding
from diptych.data.files import find_domain, find_files
from diptych.data.formats.reading import read_header, read_picture
from diptych.data.loader import Reader
from diptych.data.sources import domain_names, find_split
from diptych.errors import PictureError, RunError
from diptych.evaluation.eval_set import find_pictures_for
from diptych.inference.outputs import plan_outputs
from diptych.model import load_model
from diptych.report.report import write_report
from diptych.run import Run
from diptych.training.loop import train
from helpers.runs import SMALL, tiny
from helpers.squares import BLUE, ORANGE, square

KINDS = ("zip", "list", "pattern")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two folders, photos and paintings, of eight pictures each, one of them in a sub-folder."""
    monkeypatch.chdir(tmp_path)
    for folder, colour in (("photos", ORANGE), ("paintings", BLUE)):
        (tmp_path / folder / "sub").mkdir(parents=True)
        for index in range(8):
            square(index, colour).save(tmp_path / folder / ("sub" if index == 3 else ".") / f"{index}.png")
        (tmp_path / folder / "notes.exr").touch()
        (tmp_path / folder / ".hidden.png").touch()
    return Path()


def zipped(folder, file):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path)
    return file


def named(folder, kind):
    """``folder``, named in another way."""
    if kind == "zip":
        return zipped(folder, Path(f"{folder}.zip"))
    if kind == "list":
        Path(f"{folder}.txt").write_text(
            "\n".join(map(str, find_files(folder).files and sorted(folder.rglob("[0-9].png"))))
        )
        return Path(f"{folder}.txt")
    return folder / "**" / "*.png"


@pytest.mark.parametrize("kind", KINDS)
def test_each_names_the_pictures_of_the_folder(here, kind):
    source = named(here / "photos", kind)
    expected, found = find_domain("x", here / "photos"), find_domain("x", source)
    assert found.files == expected.files
    assert found.sha256 == expected.sha256
    for index in range(8):
        assert np.array_equal(read_picture(found.path(index)).values, read_picture(expected.path(index)).values)
        assert read_header(found.path(index)) == read_header(expected.path(index))
    unread = f"{source} has 1 file in formats that diptych does not read (1 .exr)"
    assert found.unread == (unread if kind == "zip" else "")
    assert domain_names(SourceConfig(a=source, b=here / "paintings")) == ("photos", "paintings")


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".webp", ".bmp", ".gif"])
def test_every_format_is_read_in_a_zip(here, suffix):
    Image.fromarray(np.asarray(square(1, ORANGE)) // 2).save(here / "photos" / f"x{suffix}")
    deep = np.arange(32 * 32 * 3, dtype=np.uint16).reshape(32, 32, 3) * 20
    if suffix == ".tif":
        import tifffile

        tifffile.imwrite(here / "photos" / "y.tif", deep, photometric="rgb", planarconfig="contig")
    source = zipped(here / "photos", here / "photos.zip")
    for file in (here / "photos").glob(f"?{suffix}"):
        assert np.array_equal(read_picture(source / file).values, read_picture(file).values)
    assert find_domain("x", source).folder == source / "photos"


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_trains_resumes_reports_and_is_evaluated(here, kind):
    sources = [named(here / folder, kind) for folder in ("photos", "paintings")]
    config = tiny(None, length=LengthConfig(pictures=4))
    config = replace(config, data=replace(config.data, holdout=2))
    ours, theirs = SourceConfig(a=sources[0], b=sources[1]), SourceConfig(a=here / "photos", b=here / "paintings")
    run = train(replace(config, source=ours), here / "run")
    same = train(replace(config, source=theirs), here / "same")
    weights = [load_model(one.folder).networks["a2b"].state_dict() for one in (run, same)]
    assert all(np.array_equal(weights[0][key], weights[1][key]) for key in weights[0])
    train(replace(config, source=ours, length=LengthConfig(pictures=6)), here / "run")
    fork = train(replace(config, source=ours, length=LengthConfig(pictures=8)), here / "run", fork=here / "fork")
    assert fork.about()["total"] == 8
    others = zipped(here / "paintings", here / "other.zip")
    with pytest.raises(
        RunError, match=r"run was trained on .*photos.*, and .*other.zip.paintings holds other pictures"
    ):
        train(replace(config, source=replace(ours, a=others)), here / "run")
    write_report(run)
    pictures, _ = find_pictures_for(run.folder, load_model(run.folder).card, SourceConfig())
    assert pictures.map(len) == (2, 2)
    assert pictures.a[0].shape == (32, 32, 3)
    pictures, _ = find_pictures_for(run.folder, load_model(run.folder).card, ours)
    assert pictures.map(len) == (8, 8)
    moved = Path("moved")
    moved.mkdir()
    for path in [path for path in here.iterdir() if path.suffix or path.name in ("photos", "paintings", "run")]:
        path.rename(moved / path.name)
    found = Run(moved / "run").split()
    assert found.train.map(lambda domain: domain.path(0).is_relative_to(moved.resolve())) == (True, True)
    assert found.test.map(len) == (2, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_check_and_translate_take_them(here, capsys, kind):
    sources = [str(named(here / folder, kind)) for folder in ("photos", "paintings")]
    with pytest.raises(SystemExit) as stop:
        main(["check", *sources, "--no-estimate", "--method", "pix2pix"])
    assert stop.value.code == 1
    said = capsys.readouterr().out
    assert re.search(r"^pictures +8 +8 *$", said, re.MULTILINE)
    assert ("(1 .exr)" in said) == (kind == "zip")
    with pytest.raises(SystemExit) as stop:
        main(["train", *sources, *SMALL.split(), "--pictures", "2", "--run", "run"])
    assert stop.value.code == 0
    with pytest.raises(SystemExit) as stop:
        main(["translate", "run", sources[0], "out"])
    assert (stop.value.code, "8 translated, 0 failed" in capsys.readouterr().err) == (0, True)
    assert {path.name for path in Path("out").rglob("*.png")} == {f"{index}.png" for index in range(8)}
    assert not Path("photos/out").exists()


def test_pairs_are_found_in_a_folder_and_a_zip(here):
    source = SourceConfig(a=here / "photos", b=zipped(here / "paintings", here / "paintings.zip"))
    split, data = find_split(source, paired=True), tiny(None).data
    assert split.train.a.files == split.train.b.files
    readers = split.train.map(lambda domain: Reader(domain, data, encoding=Encoding(3), stride=4, paired=split.train))
    assert readers.map(lambda reader: reader(0).shape) == ((36, 36, 3), (36, 36, 3))


def test_train_and_test_in_a_zip_are_taken_as_such(here):
    (here / "photos").rename("train")
    (here / "train" / "sub").rename("test")
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for path in sorted([*Path("train").glob("*.png"), *Path("test").glob("*.png")]):
            archive.write(path)
    split = find_split(SourceConfig(a=here / "photos.zip", b=here / "paintings"))
    assert (len(split.train.a), split.test.a.files) == (7, (Path("3.png"),))


def test_a_zip_that_is_replaced_is_read_again(here):
    source = zipped(here / "photos", here / "x.zip")
    before = read_picture(find_domain("x", source).path(0)).values
    zipped(here / "paintings", here / "y.zip").replace(source)
    assert not np.array_equal(read_picture(find_domain("x", source).path(0)).values, before)


def test_hidden_files_are_left_out(here):
    assert len(find_files(here / "photos" / "*").files) == 7
    with zipfile.ZipFile("x.zip", "w") as archive:
        for name in ("a.png", ".a.png", "__MACOSX/._a.png", ".git/b.png", "empty/"):
            archive.writestr(name, "x")
    assert find_files(Path("x.zip")).files == (Path("a.png"),)


# -- mistakes


def refused(source):
    with pytest.raises(PictureError) as caught:
        find_domain("x", Path(source))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("photos/0.png\nphotos/missing.png", "list.txt, line 2: photos/missing.png does not exist: give paths relative to ., or abs"),
        ("photos/0.png\nphotoz/1.png", "list.txt, line 2: photoz/1.png does not exist: did you mean "),
        ("photos/0.png\n\nphotos/../photos/0.png", "line 3: photos/../photos/0.png is in line 1 too: remove one of the lines"),
        ("photos", "list.txt, line 1: photos is not a file: give paths"),
        ("photos/notes.exr", "list.txt, line 1: photos/notes.exr is not a picture that diptych reads: remove the line"),
        ("\n", "list.txt lists no picture: give one path a line"),
        (b"\xff\xfe\x00", "list.txt cannot be read ("),
    ],
)  # fmt: skip
def test_a_mistake_in_a_list_names_its_line(here, lines, message):
    Path("list.txt").write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    assert message in refused("list.txt")


def test_a_list_may_have_absolute_paths_and_the_line_ends_of_windows(here):
    Path("lists").mkdir()
    Path("lists/x.txt").write_text(f"\ufeff../photos/1.png\r\n{Path.cwd()}/photos/2.png\r\n", newline="")
    domain = find_domain("x", Path("lists/x.txt"))
    assert (domain.folder, domain.files) == (Path("photos"), (Path("1.png"), Path("2.png")))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("photos/*.jpg", "no file matches photos/*.jpg: give a pattern in quotes, such as 'photos/*.png'"),
        ("photoz/*.png", "no file matches photoz/*.png: did you mean photos?"),
        ("photos/*.exr", "photos/*.exr has 1 file in formats that diptych does not read (1 .exr): put pictures there"),
        ("photos/0.png", "photos/0.png is not a folder: give a folder of pictures, a zip, a .txt of paths, or a pattern"),
        ("photos.zip", "photos.zip does not exist: did you mean photos?"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_pattern_or_a_path_is_one_line(here, source, message):
    assert refused(source).startswith(message)


def test_a_folder_with_the_characters_of_a_pattern_is_a_folder(here):
    (here / "photos").rename("[old] *")
    assert len(find_domain("x", Path("[old] *"))) == 8
    assert domain_names(SourceConfig(a=Path("[old] *"), b=Path("paintings"))) == ("[old] *", "paintings")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["../evil.png"], "x.zip holds ../evil.png, a path outside of the zip: make the zip again without it"),
        (["/etc/evil.png"], "x.zip holds /etc/evil.png, a path outside of the zip"),
        (["a/../../evil.png"], "x.zip holds a/../../evil.png, a path outside of the zip"),
        (["..\\evil.png"], "x.zip holds ..\\evil.png, a path outside of the zip"),
        (["C:\\evil.png"], "x.zip holds C:\\evil.png, a path outside of the zip"),
        (["1.png", "1.png"], "x.zip holds 1.png, twice"),
        (["1.png", "./1.png"], "x.zip holds ./1.png, twice"),
        ([], "x.zip holds no picture"),
        (["1.heic"], "x.zip has 1 file in formats that diptych does not read (1 .heic)"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_paths_outside_or_without_pictures_is_refused(here, members, message):
    with zipfile.ZipFile("x.zip", "w") as archive:
        for name in members:
            archive.writestr(name, b"x")
    assert refused("x.zip").startswith(message)
    with pytest.raises(PictureError):
        plan_outputs(Path("x.zip"), Path("out"))
    assert not Path("out").exists()


def test_a_member_that_unpacks_to_gigabytes_is_refused_before_it_is_read(here):
    with zipfile.ZipFile("x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(1000))
    content = Path("x.zip").read_bytes()
    for size in (2**31, 5):  # more, as a zip bomb claims; or less than there is
        Path("x.zip").write_bytes(content.replace(struct.pack("<I", 1000), struct.pack("<I", size)))
        if size > 5:
            assert refused("x.zip").startswith("x.zip holds bomb.png, which unpacks to 2.1 GB: make the zip again")
        else:
            with pytest.raises(PictureError, match=r"x.zip/bomb.png is (cut off or damaged|not a picture)"):
                read_picture(find_domain("x", Path("x.zip")).path(0))


def test_a_damaged_or_encrypted_zip_is_one_line(here):
    source = zipped(here / "photos", here / "x.zip")
    content = source.read_bytes()
    source.write_bytes(content[:-30])
    assert refused("x.zip").startswith(
        "x.zip is not a zip that can be read (File is not a zip file): make it again, or"
    )
    place = content.index(b"PK\x01\x02")
    source.write_bytes(content[: place + 8] + b"\x01" + content[place + 9 :])
    assert "which is encrypted: make the zip again without it" in refused("x.zip")
    middle = content.index(b"photos/0.png") + 60
    source.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    with pytest.raises(PictureError, match=r"x.zip/photos/0.png is cut off or damaged"):
        read_picture(source / "photos/0.png")
    with pytest.raises(PictureError, match=r"x.zip/photos/99.png does not exist"):
        read_picture(source / "photos/99.png")
