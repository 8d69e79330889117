"""NIfTI: nibabel writes volumes, and nibabel judges their translations. Slices of volumes are pictures to train on."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from diptych.cli import main
from diptych.config import SourceConfig
from diptych.data.encoding import Encoding
from diptych.data.formats.reading import read_header, read_picture
from diptych.data.sources import find_split
from diptych.data.volumes import Slices
from diptych.errors import MissingExtraError, OptionError, PictureError
from diptych.inference.folder import translate_files
from diptych.run import Run
from helpers.identity import identity, translated

RNG = np.random.default_rng(0)
SHAPE = (20, 17, 11)
AFFINE = np.array([[-1.5, 0.1, 0, 90], [0, 1.5, 0.2, -126], [0, 0, 3, -72], [0, 0, 0, 1]])
KINDS = {
    "CT": (np.int16, 1, -1024, Encoding(1, "int16", -2048, 8191)),
    "labels": (np.uint8, 1, 0, Encoding(1)),
    "MR of 12 bits": (np.int16, 1, 0, Encoding(1, "int16", 0, 4095)),
    "PET with a fractional slope": (np.int16, 0.25, 3.5, Encoding(1, "float32", -500, 1500)),
    "floats": (np.float32, 1, 0, Encoding(1, "float32", -1, 1)),
    "big-endian": (">i2", 1, 0, Encoding(1, "int16", -2048, 4095)),
}


def write_volume(path, kind, *, image=nibabel.Nifti1Image, shape=SHAPE, seed=0):
    """A volume with an affine, codes, units, a description and an extension."""
    dtype, slope, intercept, encoding = KINDS[kind]
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        stored = (rng.integers(-1024, 1024, shape) / 1024).astype(dtype)
        stored[3, 4, 5] = np.nan
    else:
        low, high = ((limit - intercept) / slope for limit in encoding.limits)
        stored = rng.integers(max(low, np.iinfo(dtype).min), min(high, np.iinfo(dtype).max), shape).astype(dtype)
    header = image.header_class(endianness=">" if str(dtype)[0] == ">" else "<")
    header.set_data_dtype(dtype)
    volume = image(stored, AFFINE, header)
    volume.header.set_sform(AFFINE, code="mni")
    volume.header.set_qform(AFFINE, code="scanner")
    volume.header.set_xyzt_units("mm", "sec")
    volume.header["descrip"] = b"a scan"
    volume.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a comment"))
    if (slope, intercept) != (1, 0):
        volume.header.set_slope_inter(slope, intercept)
        volume.dataobj[...]  # the stored numbers: nibabel would scale other ones
    _save(volume, stored, path)
    return stored


def _save(volume, stored, path):
    """Writes the stored numbers as they are, without the scaling of ``nibabel.save``."""
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "wb") as file:
        volume.header["vox_offset"] = 0
        volume.header.write_to(file)
        file.write(bytes(int(volume.header["vox_offset"]) - file.tell()))
        file.write(np.asfortranarray(stored).tobytes("F"))


def judge(source, target):
    """Checks with nibabel that both hold the same stored numbers, values, affine and header."""
    before, after = nibabel.load(source), nibabel.load(target)
    assert type(after) is type(before)
    np.testing.assert_array_equal(after.dataobj.get_unscaled(), before.dataobj.get_unscaled())
    np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())
    np.testing.assert_array_equal(after.affine, before.affine)
    assert (after.dataobj.slope, after.dataobj.inter) == (before.dataobj.slope, before.dataobj.inter)
    for name in before.header:
        if name != "vox_offset":
            np.testing.assert_array_equal(after.header[name], before.header[name], err_msg=name)
    assert [each.get_content() for each in after.header.extensions] == [
        each.get_content() for each in before.header.extensions
    ]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_volume_comes_back_with_its_numbers_affine_and_header(tmp_path, kind, suffix):
    source, target = tmp_path / f"x{suffix}", tmp_path / f"y{suffix}"
    write_volume(source, kind)
    assert translated(source, target, KINDS[kind][3]) == []
    judge(source, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name, target.name]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("number", [1, 3, 5])
def test_slices_across_any_axis_and_their_neighbours_come_back(tmp_path, axis, number):
    source = tmp_path / "x.nii.gz"
    stored = write_volume(source, "MR of 12 bits")
    translator = identity(Encoding(number, "int16", 0, 4095))
    data = translator.card.data
    object.__setattr__(data, "slice_axis", "ijk"[axis])
    object.__setattr__(data, "slices", number)
    assert translated(source, tmp_path / "y.nii.gz", translator=translator) == []
    judge(source, tmp_path / "y.nii.gz")
    index = SHAPE[axis] - 1
    picture = read_picture(Slices(axis, number).path(source, index)).values
    planes = np.moveaxis(stored, axis, 2)[:, :, [min(index + n, index) for n in range(-(number // 2), number // 2 + 1)]]
    np.testing.assert_array_equal(picture, np.rot90(planes))
    header = read_header(Slices(axis, number).path(source, index))
    assert (header.height, header.width, header.channels, header.dtype) == (*picture.shape, "int16")


def test_nifti_2_comes_back_as_nifti_2(tmp_path):
    for suffix in (".nii", ".nii.gz"):
        write_volume(tmp_path / f"x{suffix}", "CT", image=nibabel.Nifti2Image)
        translated(tmp_path / f"x{suffix}", tmp_path / f"y{suffix}", KINDS["CT"][3])
        judge(tmp_path / f"x{suffix}", tmp_path / f"y{suffix}")


def test_values_in_other_units_are_stored_as_they_are(tmp_path):
    stored = write_volume(tmp_path / "x.nii", "PET with a fractional slope")
    translator = identity(Encoding(1, "float32", -500, 1500), Encoding(1, "float32", 0, 1))
    translated(tmp_path / "x.nii", tmp_path / "y.nii", translator=translator)
    after = nibabel.load(tmp_path / "y.nii")
    np.testing.assert_allclose(after.get_fdata(), (stored * 0.25 + 3.5 + 500) / 2000, atol=1e-6)
    assert (after.dataobj.slope, after.dataobj.inter, after.get_data_dtype()) == (1, 0, np.float32)
    np.testing.assert_array_equal(after.affine, nibabel.load(tmp_path / "x.nii").affine)


def test_a_folder_of_volumes_beside_pictures(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    write_volume(tmp_path / "in" / "sub" / "x.nii.gz", "labels")
    from diptych.inference.outputs import plan_outputs

    (pair,) = plan_outputs(tmp_path / "in", tmp_path / "out")
    assert pair == (tmp_path / "in" / "sub" / "x.nii.gz", tmp_path / "out" / "sub" / "x.nii.gz")
    (pair,) = plan_outputs(tmp_path / "in", tmp_path / "out", suffix=".nii")
    assert pair[1] == tmp_path / "out" / "sub" / "x.nii"
    assert translate_files(identity(Encoding(1)), [pair]).num_translated == 1
    judge(pair[0], pair[1])


def test_what_is_no_volume_of_three_axes_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 7), np.int16), np.eye(4)), tmp_path / "4d.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.complex64), np.eye(4)), tmp_path / "complex.nii")
    write_volume(tmp_path / "x.nii", "CT")
    (tmp_path / "cut.nii").write_bytes((tmp_path / "x.nii").read_bytes()[:-50])
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress((tmp_path / "x.nii").read_bytes())[:-50])
    (tmp_path / "text.nii").write_bytes(b"no volume")
    (tmp_path / "empty.nii.gz").touch()
    cases = {
        "4d.nii": "is a volume of 4 × 5 × 6 × 7, not of three axes: split it",
        "complex.nii": "holds complex64: save it as uint8, ",
        "cut.nii": "is cut off or damaged",
        "cut.nii.gz": "is cut off or damaged",
        "text.nii": "is cut off or damaged",
        "empty.nii.gz": "is empty",
    }
    for name, said in cases.items():
        failed = translate_files(identity(KINDS["CT"][3]), [(tmp_path / name, tmp_path / "y.nii")]).failed
        assert len(failed) == 1, name
        assert failed[0].startswith(f"{tmp_path / name} {said}"), failed
    (failed,) = translate_files(identity(KINDS["CT"][3]), [(tmp_path / "x.nii", tmp_path / "y.png")]).failed
    assert (
        failed == f"{tmp_path}/x.nii is a volume, and {tmp_path}/y.png is not: give a name that ends in .nii or .nii.gz"
    )
    with pytest.raises(PictureError, match="has 11 slices, and no slice 11"):
        read_picture(Slices().path(tmp_path / "x.nii", 11))
    assert not (tmp_path / "y.nii").exists()


def test_a_picture_does_not_become_a_volume(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((8, 8), np.uint8))
    (failed,) = translate_files(identity(Encoding(1)), [(tmp_path / "x.npy", tmp_path / "y.nii")]).failed
    assert "y.nii cannot be NIfTI, since its input is no volume" in failed


def test_without_nibabel_the_extra_is_named(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).mkdir()
        write_volume(tmp_path / name / "x.nii", "CT")
    monkeypatch.setattr("diptych.data.formats.nifti.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"NIfTI needs: pip install 'diptych\[nifti\]'"):
        find_split(SourceConfig(a=tmp_path / "a", b=tmp_path / "b"))


# -- training


def run_command(words):
    """The exit code of ``diptych`` with ``words``."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code


@pytest.fixture
def scans(tmp_path):
    for seed, name in enumerate(["ct", "mr"]):
        (tmp_path / name).mkdir()
        for number in range(3):
            kind, shape = ("CT" if name == "ct" else "MR of 12 bits"), (32, 32, 4 + number)
            write_volume(tmp_path / name / f"s{number}.nii.gz", kind, shape=shape, seed=10 * seed + number)
    return tmp_path


def test_volumes_are_held_out_whole(scans):
    split = find_split(SourceConfig(a=scans / "ct", b=scans / "mr"), 1, paired=True, slices=Slices(0, 3))
    for train, held in zip(split.train, split.test, strict=True):
        assert (len(train), len(held)) == (64, 32)
        volumes = [{file.parts[0] for file in part.files} for part in (train, held)]
        assert not volumes[0] & volumes[1]
        assert train.files[0].parts[1] == "axis-i-of-3"
    assert split.train.a.files == split.train.b.files
    with pytest.raises(OptionError, match=r"holdout is 3, but .*ct has 3 volumes: give 0 to 2"):
        find_split(SourceConfig(a=scans / "ct", b=scans / "mr"), 3)


@pytest.mark.slow
def test_a_run_on_volumes_trains_resumes_translates_and_is_scored(scans, capsys, monkeypatch):
    monkeypatch.chdir(scans)
    words = [
        "train",
        "ct",
        "mr",
        "--run",
        "run",
        "--range-a",
        "-2048",
        "8191",
        "--range-b",
        "auto",
        "--slices",
        "3",
        "--holdout",
        "1",
        "--crop-size",
        "32",
        "--load-size",
        "32",
        "--generator.width",
        "2",
        "--generator.num-blocks",
        "1",
        "--discriminator.width",
        "2",
        "--device",
        "cpu",
        "--num-workers",
        "0",
    ]
    assert run_command([*words, "--pictures", "2"]) == 0, capsys.readouterr().err
    assert run_command([*words, "--pictures", "4"]) == 0, capsys.readouterr().err
    card = Run(Path("run")).config().data
    assert (card.channels_a, card.channels_b, card.slices, card.type_b) == (3, 3, 3, "int16")
    assert run_command(["translate", "run", "ct", "out"]) == 0, capsys.readouterr().err
    before, after = nibabel.load("ct/s1.nii.gz"), nibabel.load("out/s1.nii.gz")
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.shape == before.shape
    assert after.get_data_dtype() == np.int16
    assert len(np.unique(after.get_fdata())) > 256
    low, high = map(float, card.range_b.split())
    assert after.get_fdata().min() >= low
    assert after.get_fdata().max() <= high
    assert run_command(["train", "ct", "mr", "--run", "run", "--slice-axis", "i"]) == 2
    assert run_command(["train", "ct", "mr", "--run", "other", "--slices", "2"]) == 2
    assert "slices is 2: give an odd number" in capsys.readouterr().err
