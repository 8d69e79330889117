"""The cures of errors about pictures, layouts, lists and pairs: provoke the error, do what it says, and succeed."""

import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from diptych.data.files import by_hash
from helpers.cures import NEW, PAIRED, RUN, SMALL, TRAIN, diptych, follow
from helpers.pictures import png
from helpers.squares import BLUE, ORANGE, square

PICTURE = Path("photos/1.png")
TIFF = Path("photos/1.tif")
ROOT = f"train --root root --run new {SMALL} --pictures 2"
PAIRED_NEW = f"{PAIRED} --run new --pictures 2"
LIST = NEW.replace("photos ", "list.txt ")
ZIP = NEW.replace("photos ", "photos.zip ")


def good(path=PICTURE):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    square(1, ORANGE).save(path)


def tiff(values, **options):
    """One picture as TIFF."""
    PICTURE.unlink(missing_ok=True)
    tifffile.imwrite(TIFF, values, **options)


def tiff_with_thumbnail():
    with tifffile.TiffWriter(TIFF) as file:
        file.write(np.ones((8, 8, 3), np.uint8), photometric="rgb", subfiletype=1)
        file.write(np.ones((32, 32, 3), np.uint8), photometric="rgb")


def tiff_of_unknown_compression():
    tiff(np.ones((32, 32, 3), np.uint8), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(TIFF, mode="r+") as file:
        file.pages[0].tags["Compression"].overwrite(50002 + 90)


def only(folder):
    shutil.rmtree(folder)
    Path(folder).mkdir()


def almost_transparent():
    values = np.full((32, 32, 4), 200, np.uint8)
    values[..., 3] = 1
    only("photos")
    tiff(values, photometric="rgb", extrasamples=["unassalpha"])


def zipped(name, *more):
    with zipfile.ZipFile(name, "w") as archive:
        for path in (*sorted(Path("photos").iterdir()), *more):
            archive.write(path)


def twice_in_a_zip():
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for path in (*Path("photos").iterdir(), PICTURE):
            archive.write(path)


def make_root(*folders, source="photos"):
    for folder in folders:
        shutil.copytree(source, f"root/{folder}")


def side_by_side(folder):
    Path(folder).mkdir(parents=True)
    for index in range(6):
        Image.fromarray(np.hstack([np.asarray(square(index, colour)) for colour in (ORANGE, BLUE)])).save(
            f"{folder}/{index}.png"
        )


def overwrite_all(content):
    for path in Path("photos").iterdir():
        path.write_bytes(content)


def all_good():
    for path in Path("photos").iterdir():
        good(path)


def listed(*lines):
    Path("list.txt").write_text("\n".join(lines))


def all_listed():
    listed(*(f"photos/{index}.png" for index in range(6)))


FLAT = Image.new("RGB", (32, 32), (7, 7, 7))

CASES = {
    "a picture of too many pixels": (lambda: PICTURE.write_bytes(png(60000, 60000)), NEW, "or pass --skip-unreadable", None, f"{NEW} --skip-unreadable"),
    "a broken link": (lambda: Path("photos/9.png").symlink_to("nowhere"), NEW, "replace or remove it", lambda: Path("photos/9.png").unlink(), NEW),
    "a HEIC picture called PNG": (lambda: PICTURE.write_bytes(b"\0\0\0\x18ftypheic" + bytes(100)), NEW, "save it as JPEG or PNG", good, NEW),
    "a text called PNG": (lambda: PICTURE.write_text("Dear diary"), NEW, "replace or remove it", PICTURE.unlink, NEW),
    "a PNG without rows": (lambda: PICTURE.write_bytes(png(0, 7)), NEW, "replace it by a PNG, or remove it", good, NEW),
    "a thumbnail": (tiff_with_thumbnail, NEW, "save the picture itself as TIFF or PNG", lambda: tiff(np.ones((32, 32, 3), np.uint8), photometric="rgb"), NEW),
    "five bands": (
        lambda: tiff(np.ones((32, 32, 5), np.uint8), photometric="separated"), NEW, "save it as grey, RGB or bands of uint8, int8, uint16, int16",
        lambda: tiff(np.ones((32, 32, 3), np.uint16), photometric="rgb"), NEW),
    "another compression": (tiff_of_unknown_compression, NEW, "save it with another compression", lambda: tiff(np.ones((32, 32, 3), np.uint8), photometric="rgb"), NEW),
    "a band called transparency": (
        almost_transparent, NEW, "save it without the last band", lambda: tiff(np.full((32, 32, 3), 200, np.uint8), photometric="rgb"), NEW),
    "a fourth band": (almost_transparent, NEW, "train with --channels-a 4", None, f"{NEW} --channels-a 4"),
    "no readable picture": (lambda: overwrite_all(b"x"), NEW, "replace or remove it", all_good, NEW),
    "no readable picture, though skipped": (lambda: overwrite_all(b"x"), f"{NEW} --skip-unreadable", "replace or remove it", all_good, NEW),
    "pictures that are all transparent": (
        lambda: [Image.new("RGBA", (32, 32)).save(path) for path in Path("photos").iterdir()], NEW, "give pictures with an opaque part", all_good, NEW),
    "pairs of which some are alone": (lambda: Path("photos/5.png").rename("photos/x.png"), PAIRED_NEW, "add the partners", lambda: (good("paintings/x.png"), good("photos/5.png")), PAIRED_NEW),
    "a run among the pictures": (
        lambda: (shutil.copytree(RUN, "photos/old"), good("photos/old/samples/1.png")), NEW, "move it out of photos",
        lambda: shutil.move("photos/old", "old"), NEW),
    "no zip": (lambda: Path("photos.zip").write_text("x"), ZIP, "make it again", lambda: zipped("photos.zip"), ZIP),
    "a member twice": (twice_in_a_zip, ZIP, "unpack it and give the folder", None, NEW),
    "a picture as a folder": (None, NEW.replace("photos ", "photos/1.png "), "give a folder of pictures", None, NEW),
    "a pattern that fits nothing": (
        None, NEW.replace("photos ", "'photos/*.jpg' "), "such as 'photos/*.png'", None, NEW.replace("photos ", "'photos/*.png' ")),
    "a list of bytes": (lambda: Path("list.txt").write_bytes(b"\xff\xfe\0"), LIST, "give a text file with one path a line", all_listed, LIST),
    "a list of missing files": (lambda: listed("0.png", "1.png"), LIST, "give paths relative to", all_listed, LIST),
    "a list of other files": (
        lambda: (listed("photos/0.png", "notes.exr"), Path("notes.exr").write_bytes(b"x")), LIST, "remove the line", all_listed, LIST),
    "a list with a file twice": (lambda: listed("photos/0.png", "photos/0.png"), LIST, "remove one of the lines", all_listed, LIST),
    "an empty list": (lambda: listed(""), LIST, "give one path a line", all_listed, LIST),
    "a root that is a zip": (
        lambda: (make_root("trainA", "trainB"), Path("root.zip").touch()), ROOT.replace("--root root", "--root root.zip"), "unpack it first", None, ROOT),
    "a misnamed root": (
        lambda: make_root("trainA", "trainB"), ROOT.replace("--root root", "--root rot"), "give the folder that holds trainA and trainB", None, ROOT),
    "a root of two folders": (
        lambda: make_root("horses", "zebras"), ROOT, "give its two folders: root/horses root/zebras", None, f"train root/horses root/zebras {SMALL} --pictures 2"),
    "a root of one folder": (lambda: make_root("horses"), ROOT, "give A B, or another root", None, NEW),
    "a root without domain B": (lambda: make_root("trainA"), ROOT, "put the pictures of this domain there", lambda: make_root("trainB"), ROOT),
    "pairs for CycleGAN": (
        lambda: side_by_side("root/train"), f"{ROOT} --method cyclegan", "give --method pix2pix", None, f"{ROOT} --method pix2pix --generator resnet"),
    "a root as a domain": (
        lambda: make_root("trainA", "trainB"), NEW.replace("photos ", "root "), "give --root root, or the folder of one domain", None, ROOT),
    "test among pictures": (
        lambda: good("photos/test/9.png"), NEW, "or all other pictures to photos/train",
        lambda: (Path("photos/train").mkdir(), [path.rename(f"photos/train/{path.name}") for path in [*Path("photos").glob("*.png")]]), NEW),
    "pictures beside folders in train": (
        lambda: (make_root("train/a", "train/b"), good("root/train/1.png")), ROOT, "or only the folders of A and B", Path("root/train/1.png").unlink, ROOT),
    "three folders in train": (
        lambda: make_root("train/a", "train/b", "train/c"), ROOT, "give two folders: A B", None, f"train root/train/a root/train/b --run new {SMALL} --pictures 2"),
    "pictures of one in train": (lambda: make_root("train"), f"{ROOT} --method pix2pix --generator resnet", "give two folders: A B", None, NEW),
    "broken pictures in train": (
        lambda: (side_by_side("root/train"), [path.write_bytes(b"x") for path in Path("root/train").iterdir()]), ROOT, "give pictures that other software can open",
        lambda: (shutil.rmtree("root/train"), side_by_side("root/train")), f"{ROOT} --generator resnet"),
    "no pair": (
        lambda: [path.rename(f"photos/x{path.name}") for path in [*Path("photos").iterdir()]], PAIRED_NEW, "without pairs, use --method cyclegan", None, NEW),
    "a pair of other shapes": (
        lambda: square(1, ORANGE).resize((32, 48)).save(PICTURE), PAIRED_NEW, "crop both to the area that both show", good, PAIRED_NEW),
    "two pictures of a name": (lambda: good("photos/1.jpg"), PAIRED_NEW, "remove or rename one", Path("photos/1.jpg").unlink, PAIRED_NEW),
    "a root and two folders": (lambda: make_root("trainA", "trainB"), f"{NEW} --root root", "give A B, or --root ROOT", None, NEW),
    "one folder": (None, "train photos", "give A B, or --root ROOT", None, NEW),
    "a root as the only folder": (lambda: make_root("trainA", "trainB"), "train root", "give --root root", None, ROOT),
    "a run in a domain": (None, f"{TRAIN} --run photos/run", "give --run with a folder outside of it", None, NEW),
    "one folder twice": (None, NEW.replace("paintings", "photos"), "give two different folders", None, NEW),
    "a domain in the other": (
        lambda: shutil.move("paintings", "photos/paintings"), NEW.replace("paintings", "photos/paintings"), "move it out of photos",
        lambda: shutil.move("photos/paintings", "paintings"), NEW),
    "a domain in the other, as a pattern": (
        lambda: shutil.move("paintings", "photos/paintings"), NEW.replace("paintings", "photos/paintings"), "or give 'photos/*' in quotes", None,
        NEW.replace("photos paintings", "'photos/*' photos/paintings")),
    "a picture in both domains": (
        lambda: listed(*(f"photos/{index}.png" for index in range(6)), "paintings/1.png"), LIST, "leave them out of one", all_listed, LIST),
    "too many held out": (None, f"{NEW} --holdout 6", "give 0 to 5", None, f"{NEW} --holdout 5"),
    "the range of equal values": (
        lambda: [FLAT.save(path) for path in Path("photos").iterdir()], f"{NEW} --range-a auto", "or leave the range out", None, f"{NEW} --range-a 0 7"),
    "a picture too wide for its format": (
        lambda: Image.new("RGB", (16400, 4)).save("long.png"), f"translate {RUN} long.png out.webp", "give a name that ends in .png", None, f"translate {RUN} long.png out.png"),
    "a misspelt input": (None, f"translate {RUN} photo painted", "did you mean photos?", None, f"translate {RUN} photos painted"),
    "an input without pictures": (lambda: Path("empty").mkdir(), f"translate {RUN} empty painted", "give a folder with pictures", None, f"translate {RUN} photos painted"),
    "an output over its input": (None, f"translate {RUN} 'photos/*' photos", "give another output", None, f"translate {RUN} 'photos/*' painted"),
    "two inputs of one output": (
        lambda: (good("odd/a.png"), good("odd/A.png")), f"translate {RUN} odd painted", "rename one of them",
        lambda: Path("odd/A.png").rename("odd/e.png"), f"translate {RUN} odd painted"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", CASES)
def test_the_cure_of(desk, name):
    follow(CASES[name])


def damage(path):
    """Cuts the pixels off: the header, which is all that is read before training, stays."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


@pytest.mark.parametrize("cure", ["replace", "remove", "skip"])
def test_a_damaged_picture_during_training(desk, cure):
    for index in range(6, 14):
        square(index, ORANGE).save(f"photos/{index}.png")
    *_, name = by_hash([Path(f"{index}.png") for index in range(14)])  # the first ones are samples, read at the start
    picture = Path("photos") / name
    square(3, ORANGE).resize((256, 256)).effect_spread(20).save(picture)
    damage(picture)
    command = f"{TRAIN} --run new --holdout 2 --pictures 60"
    code, lines = diptych(command)
    assert code == 2
    assert re.match(rf"diptych: {picture} is cut off .*: replace or remove it, or pass --skip-unreadable", lines[-1])
    reached = int(next(found[1] for line in lines if (found := re.search(r"saved at (\d+) of 60", line))))
    if cure == "replace":
        square(3, ORANGE).save(picture)
    elif cure == "remove":
        picture.unlink()
    code, lines = diptych(command + (" --skip-unreadable" if cure == "skip" else ""))
    assert code == 0, lines
    assert any(line.startswith("continuing from new/") and f": {reached} of 60" in line for line in lines), lines


def test_a_sound_picture_that_is_replaced_is_still_refused(desk):
    square(9, ORANGE).save("photos/3.png")
    code, lines = diptych(f"{TRAIN} --pictures 8")
    assert code == 2
    assert "holds other pictures (1 replaced (3.png)): give --run NEW_RUN" in lines[-1]
