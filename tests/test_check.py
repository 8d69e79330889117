"""``diptych check`` finds each planted fault, and nothing else."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageEnhance

from diptych.cli import main, parse
from diptych.data.near_duplicates import similar, thumbnail

# pytest turns on again what diptych.data.formats.pillow turns off.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

NUM_TRAIN, NUM_TEST = 40, 3


def blotches(index, size=(64, 64)):
    """Soft blotches of colour, different for each index."""
    small = np.random.default_rng(index).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def root(tmp_path):
    """A data set with nothing wrong."""
    for place, (part, number) in enumerate(
        {"trainA": NUM_TRAIN, "trainB": NUM_TRAIN, "testA": NUM_TEST, "testB": NUM_TEST}.items()
    ):
        (tmp_path / part).mkdir()
        for index in range(1000 * place, 1000 * place + number):
            blotches(index).save(tmp_path / part / f"{index}.png")
    return tmp_path


def check(capsys, *arguments):
    """The exit code and the JSON output."""
    with pytest.raises(SystemExit) as stop:
        main(["check", *map(str, arguments), "--json", "--no-estimate"])
    said = json.loads(capsys.readouterr().out)
    assert said["exit_code"] == stop.value.code
    return stop.value.code, said


def redraw(folder, draw):
    for path in sorted(folder.iterdir()):
        draw(int(path.stem)).save(path)


def first(root, part="trainA"):
    return min((root / part).iterdir())


# -- faults: each plants one and returns the files that must be named


def cut_off(root):
    first(root).write_bytes(first(root).read_bytes()[:-400])
    return {first(root)}


def empty(root):
    first(root, "testB").write_bytes(b"")
    return {first(root, "testB")}


def text(root):
    (root / "trainB" / "notes.jpg").write_text("no picture")
    return {root / "trainB" / "notes.jpg"}


def floats(root):
    Image.fromarray(np.zeros((64, 64), np.float32)).save(root / "trainA" / "depth.tif")
    return {root / "trainA" / "depth.tif"}


def infrared(root):
    bands = np.dstack([np.asarray(blotches(50)) // 2] * 2)[:, :, :4]
    tifffile.imwrite(root / "trainA" / "satellite.tif", bands, photometric="rgb", extrasamples=["unassalpha"])
    return {root / "trainA" / "satellite.tif"}


def cmyk(root):
    blotches(50).convert("CMYK").save(root / "trainA" / "print.jpg")
    return {root / "trainA" / "print.jpg"}


def deep(root):
    path = root / "trainA" / "deep.png"
    values = np.asarray(blotches(50).convert("L")).astype(np.uint16) * 257
    Image.fromarray(values).save(path)
    return {path}


def transparent(root):
    image = blotches(50).convert("RGBA")
    image.putpixel((3, 3), (0, 0, 0, 0))
    image.save(root / "trainA" / "cut-out.png")
    return {root / "trainA" / "cut-out.png"}


def animated(root):
    frames = [blotches(index) for index in (50, 51)]
    frames[0].save(root / "trainA" / "film.gif", save_all=True, append_images=frames[1:])
    return {root / "trainA" / "film.gif"}


def turned(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    blotches(50).save(root / "trainA" / "camera.jpg", exif=exif)
    return {root / "trainA" / "camera.jpg"}


def one_grey(root):
    blotches(50).convert("L").save(root / "trainB" / "grey.png")
    return {root / "trainB" / "grey.png"}


def some_grey(root):
    grey = sorted((root / "trainA").iterdir())[:10]
    for path in grey:
        Image.open(path).convert("L").convert("RGB").save(path)
    return set(grey)


def all_grey(root):
    for part in ("trainA", "testA"):
        redraw(root / part, lambda index: blotches(index).convert("L").convert("RGB"))


def few(root):
    for path in sorted((root / "trainB").iterdir())[:15]:
        path.unlink()


def small(root):
    blotches(50, (20, 20)).save(root / "trainA" / "icon.png")
    return {root / "trainA" / "icon.png"}


def long(root):
    blotches(50, (300, 64)).save(root / "trainA" / "banner.png")
    return {root / "trainA" / "banner.png"}


def uneven(root):
    redraw(root / "trainA", lambda index: blotches(index, (64, 64) if index % 3 else (400, 400)))


def others_larger(root):
    redraw(root / "trainB", lambda index: blotches(index, (320, 320)))


def others_wider(root):
    redraw(root / "trainB", lambda index: blotches(index, (128, 64)))


def same_names(root):
    for path in sorted((root / "trainB").iterdir()):
        path.rename(path.with_stem(str(int(path.stem) - 1000)))


def copied_to(name):
    def plant(root):
        (root / name).write_bytes(first(root).read_bytes())
        return {first(root), root / name}

    return plant


def jpeg_to(name):
    def plant(root):
        Image.open(first(root)).save(root / name, quality=80)
        return {first(root), root / name}

    return plant


FAULTS = {
    cut_off: ("error", "unreadable"),
    empty: ("error", "unreadable"),
    text: ("error", "unreadable"),
    floats: ("error", "unreadable"),
    infrared: ("error", "unreadable"),
    cmyk: ("warning", "mode"),
    transparent: ("note", "transparency"),
    animated: ("note", "animated"),
    turned: ("note", "rotated"),
    one_grey: ("note", "mixed-grey"),
    some_grey: ("warning", "mixed-grey"),
    all_grey: ("note", "grey-as-colour"),
    few: ("warning", "few"),
    small: ("warning", "small"),
    long: ("warning", "aspect"),
    uneven: ("note", "uneven-sizes"),
    others_larger: ("warning", "different-sizes"),
    others_wider: ("warning", "different-aspects"),
    same_names: ("note", "same-names"),
    copied_to("trainA/copy.png"): ("warning", "duplicates"),
    copied_to("trainB/copy.png"): ("warning", "duplicates-in-both-domains"),
    copied_to("testA/copy.png"): ("warning", "duplicates-in-train-and-test"),
    jpeg_to("trainA/again.jpg"): ("warning", "near-duplicates"),
    jpeg_to("testB/again.jpg"): ("warning", "near-duplicates-in-both-domains"),
    jpeg_to("testA/again.jpg"): ("warning", "near-duplicates-in-train-and-test"),
}
CODES = {"note": 0, "warning": 1, "error": 2}


def test_a_good_data_set_has_no_findings(root, capsys):
    code, said = check(capsys, "--root", root)
    assert (code, said["findings"]) == (0, [])
    code, said = check(capsys, root / "trainA", root / "trainB")
    assert (code, said["findings"]) == (0, [])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(FAULTS[fault]) + "-" + fault.__name__)
def test_each_planted_fault_is_found_with_its_files_and_nothing_else(root, capsys, fault):
    planted = fault(root)
    code, said = check(capsys, "--root", root)
    (finding,) = said["findings"]
    assert (finding["severity"], finding["kind"]) == FAULTS[fault]
    assert {Path(path) for group in finding["files"] for path in group} == (planted or set())
    assert code == CODES[finding["severity"]]
    assert finding["cure"]


def test_files_of_other_formats_are_counted_by_kind(root, capsys):
    for index in range(3):
        (root / "trainA" / f"{index}.ppm").touch()
    (root / "trainA" / "mask.exr").touch()
    code, said = check(capsys, "--root", root)
    (finding,) = said["findings"]
    assert (code, finding["kind"]) == (1, "unsupported-format")
    assert finding["problem"].endswith("trainA has 4 files in formats that diptych does not read (3 .ppm, 1 .exr)")


def test_many_faults_at_once_are_each_found_and_nothing_else(root, capsys):
    for fault in (text, cmyk, transparent, animated, turned, one_grey, small, long):
        fault(root)
        for number, path in enumerate([*root.glob("train[AB]/[a-z]*")]):  # give the next one another picture
            if path.stem in ("print", "cut-out", "film", "camera", "icon", "banner"):
                path.replace(path.with_stem(f"{fault.__name__}-{number}-{path.stem}"))
    jpeg_to("testA/again.jpg")(root)
    _, said = check(capsys, "--root", root)
    kinds = [finding["kind"] for finding in said["findings"]]
    assert kinds[0] == "unreadable"
    # The planted pictures are one picture in other forms, which is a fault of its own.
    expected = {"unreadable", "mode", "transparency", "animated", "rotated", "mixed-grey", "small", "aspect"}
    assert set(kinds) == expected | {"near-duplicates", "near-duplicates-in-train-and-test"}
    assert len(kinds) == len(set(kinds))


def test_sixteen_bits_are_noted_and_a_16_bit_copy_is_a_duplicate(root, capsys):
    planted = deep(root)
    _, said = check(capsys, "--root", root)
    assert {finding["kind"]: len(finding["files"]) for finding in said["findings"]} == {"16-bit": 1, "mixed-grey": 1}
    assert {Path(finding["files"][0][0]) for finding in said["findings"]} == planted


# -- pairs


def test_pairs_without_partners_and_pairs_of_other_shapes_are_errors(root, capsys):
    same_names(root)
    for path in sorted((root / "testB").iterdir()):
        path.rename(path.with_stem(str(int(path.stem) - 1000)))
    code, said = check(capsys, "--root", root, "--method", "pix2pix")
    assert (code, said["findings"]) == (0, [])
    assert said["choices"]["generator.kind"] == "unet"
    blotches(0, (64, 80)).save(first(root))
    code, said = check(capsys, "--root", root, "--method", "pix2pix")
    assert (code, [finding["kind"] for finding in said["findings"]]) == (2, ["pair-shapes"])
    first(root).unlink()
    code, said = check(capsys, "--root", root, "--method", "pix2pix")
    assert code == 2
    assert (said["findings"][0]["severity"], said["findings"][0]["kind"]) == ("error", "unpaired")


def test_pictures_side_by_side_are_recognised_as_pairs(tmp_path, capsys):
    (tmp_path / "train").mkdir()
    for index in range(NUM_TRAIN):
        both = Image.new("RGB", (128, 64))
        both.paste(blotches(index), (0, 0))
        both.paste(blotches(1000 + index), (64, 0))
        both.save(tmp_path / "train" / f"{index}.png")
    code, said = check(capsys, "--root", tmp_path)
    assert (code, said["findings"]) == (0, [])
    assert said["domains"]["a"]["summary"]["width"] == 64


# -- duplicates


def jpeg(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=70)
    return Image.open(stream)


ALTERED = {
    "jpeg": jpeg,
    "smaller": lambda image: image.resize((40, 50)),
    "larger": lambda image: image.resize((150, 150)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.05),
    "darker jpeg": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.93)),
}


def thumbnails(images):
    return [thumbnail(np.asarray(image.convert("RGB"))) for image in images]


@pytest.mark.parametrize("how", ALTERED)
def test_near_duplicates_are_found_and_different_pictures_are_not(how):
    images = [blotches(index) for index in range(100)]
    assert similar(thumbnails(images)) == []
    altered = [ALTERED[how](image) for image in images]
    assert similar(thumbnails(images + altered)) == [[index, index + 100] for index in range(100)]


def test_mirrored_recoloured_and_plain_pictures_are_different():
    image = blotches(0)
    red, green, blue = image.split()
    others = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), Image.merge("RGB", (blue, red, green))]
    plain = [Image.new("RGB", (64, 64), colour) for colour in ("white", "black", "red")]
    assert similar(thumbnails([image, *others, *plain])) == []
    noise = np.random.default_rng(0).integers(-1, 2, (64, 64, 3))
    whites = [Image.fromarray((250 + noise).astype(np.uint8)), Image.new("RGB", (32, 32), "white")]
    assert similar(thumbnails(whites)) == [[0, 1]]


def test_two_thousand_pictures_are_compared_with_each_other():
    pictures = np.random.default_rng(0).integers(0, 256, (2000, 16, 16, 3), dtype=np.uint8)
    pictures[1500] = pictures[3]
    assert similar(list(map(thumbnail, pictures))) == [[3, 1500]]
    assert len(similar(list(map(thumbnail, np.full_like(pictures, 200))))) == 1


@pytest.mark.parametrize("depth", [8, 12, 16])
def test_dark_scans_are_compared_by_their_own_contrast(depth):
    rng, dtype = np.random.default_rng(0), np.uint8 if depth == 8 else np.uint16
    peak = {8: 16, 12: 1000, 16: 65535}[depth]  # 1000 of 65535 is 4 levels of 255
    scans = [np.asarray(blotches(index).convert("L"), float)[:, :, None] / 255 * peak + 1 for index in range(50)]
    plain = [np.full((64, 64, 1), 2.0), np.full((64, 64, 1), 2.0) + rng.normal(0, 0.01 * peak, (64, 64, 1))]
    again = [0.95 * scan + rng.normal(0, 0.02 * peak, scan.shape) for scan in scans[:10]]
    stored = [np.rint(scan).clip(0, np.iinfo(dtype).max).astype(dtype) for scan in [*scans, *plain, *again]]
    assert similar(list(map(thumbnail, stored))) == [*([index, index + 52] for index in range(10)), [50, 51]]


# -- what else is said


def test_choices_and_statistics_are_those_of_the_pictures(root, capsys):
    for part in ("trainA", "testA"):
        redraw(root / part, lambda index: blotches(index).convert("L"))
    _, said = check(capsys, "--root", root)
    assert said["findings"] == []
    assert (said["choices"]["data.channels_a"], said["choices"]["data.channels_b"]) == (1, 3)
    assert (said["choices"]["data.crop_size"], said["choices"]["data.load_size"]) == (64, 64)
    a, b = (said["domains"][letter]["summary"] for letter in "ab")
    assert (a["num_grey"], a["num_pictures"], a["saturation"]) == (43, 43, 0)
    pixels = [np.asarray(Image.open(path)) / 255 for path in root.glob("t*B/*.png")]
    assert b["colour"] == pytest.approx(np.mean(pixels, axis=(0, 1, 2)), abs=0.005)


def test_a_missing_folder_is_one_line(root, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["check", str(root / "nothing"), str(root / "trainB")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"diptych: {root / 'nothing'} does not exist: give a folder of pictures\n"


def test_the_output_names_files_and_cures_also_for_names_that_are_not_utf8(root, capsys):
    (root / "trainA" / b"caf\xe9.png".decode(errors="surrogateescape")).write_bytes(b"")
    some_grey(root)
    with pytest.raises(SystemExit) as stop:
        main(["check", "--root", str(root), "--no-estimate"])
    said = capsys.readouterr().out
    assert stop.value.code == 2
    assert "training would choose --resize square --load-size 64 --crop-size 64 --channels-a 3 --channels-b 3" in said
    assert re.search(r"error: 1 picture cannot be read: replace .*\n    .*trainA/caf\?.png is empty \(0 bytes\)", said)
    assert re.search(r"warning: A mixes 10 pictures in grey with 33 in colour: remove them, or .*--channels-a 1", said)
    assert "and 5 more (--json lists all)" in said


def test_a_folder_without_a_readable_picture_is_reported(root, capsys):
    for path in (root / "trainA").iterdir():
        path.write_bytes(b"")
    code, said = check(capsys, "--root", root)
    assert code == 2
    assert {finding["kind"] for finding in said["findings"]} >= {"unreadable", "nothing-to-read"}
    assert said["choices"] is None


def test_the_help_lists_the_exit_codes_and_its_examples_parse(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    said = capsys.readouterr().out
    assert re.search(r"Exit code: 0 .*1 .*2 ", said, flags=re.DOTALL)
    for example in re.findall(r"^ +diptych (.+)$", said, flags=re.MULTILINE):
        parse(example.split())


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (-9, "", "more memory than this machine has"),
        (1, "RuntimeError: CUDA out of memory", "more memory than this machine has"),
        (1, "Traceback\nKeyError: 'x'", "trial updates failed (KeyError: 'x')"),
    ],
)
def test_an_estimate_that_fails_is_an_error_with_a_cure(root, capsys, monkeypatch, code, said, words):
    failed = subprocess.CompletedProcess([], code, "", said)
    monkeypatch.setattr("diptych.training.estimate.subprocess.run", lambda *_, **__: failed)
    with pytest.raises(SystemExit) as stop:
        main(["check", "--root", str(root), "--json"])
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (stop.value.code, finding["severity"], finding["kind"]) == (2, "error", "estimate")
    assert words in finding["problem"]
    assert finding["cure"]


@pytest.mark.slow
def test_an_estimate_reports_time_and_memory_and_leaves_no_files(root):
    command = [sys.executable, "-m", "diptych", "check", "--root", str(root)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    needs = json.loads(done.stdout)["estimate"]
    assert needs["pictures"] == 200 * NUM_TRAIN
    assert needs["hours"] * 3600 == pytest.approx(needs["pictures"] / needs["pictures_per_second"])
    assert needs["num_updates"] > 0
    assert 0.1 < needs["memory_gib"] < 8
    assert sorted(path.name for path in root.iterdir()) == ["testA", "testB", "trainA", "trainB"]
