"""DICOM: with a network that returns its input, pydicom reads back the values and the header of the input."""

import subprocess
import sys

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

from diptych.data.encoding import Encoding
from diptych.data.formats.reading import read_header, read_picture
from diptych.errors import PictureError
from diptych.inference.outputs import plan_outputs
from helpers.identity import identity, translated

H, W = 9, 14
RNG = np.random.default_rng(0)


def write_slice(path, stored, *, bits=16, photometric="MONOCHROME2", compressed=False, series="1.2.3", **fields):
    """A CT slice of ``stored`` numbers, by pydicom."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.SeriesInstanceUID, header.SeriesDescription = series, "Head"
    header.PatientName, header.PixelSpacing, header.ImagePositionPatient = "Doe^Jane", [0.5, 0.5], [0, 0, 7.5]
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.set_pixel_data(stored, photometric, bits, generate_instance_uid=False)
    for name, value in fields.items():
        setattr(header, name, value)
    if compressed:
        header.compress(RLELossless)
    header.save_as(path, enforce_file_format=True)
    return path


def numbers(low, high, dtype, channels=()):
    return RNG.integers(low, high, (H, W, *channels), dtype, endpoint=True)


HOUNSFIELD = {"RescaleSlope": 1, "RescaleIntercept": -1024}
KINDS = {
    "CT of 12 bits": (numbers(0, 4095, np.uint16), {"bits": 12, **HOUNSFIELD}, Encoding(1, "int16", -1024, 3071)),
    "CT of 16 bits with sign": (numbers(-2000, 3000, np.int16), HOUNSFIELD, Encoding(1, "int32", -3024, 1976)),
    "PET": (numbers(0, 32767, np.uint16), {"RescaleSlope": "0.37", "RescaleIntercept": "0"}, Encoding(1, "float32", 0, 12124)),
    "MR": (numbers(0, 4095, np.uint16), {"bits": 12}, Encoding(1, "uint16", 0, 4095)),
    "X-ray, inverted": (numbers(0, 4095, np.uint16), {"bits": 12, "photometric": "MONOCHROME1"}, Encoding(1, "uint16", 0, 4095)),
    "8 bits": (numbers(0, 255, np.uint8), {"bits": 8}, Encoding(1)),
    "ultrasound": (numbers(0, 255, np.uint8, (3,)), {"bits": 8, "photometric": "RGB"}, Encoding(3)),
    "compressed": (numbers(0, 4095, np.uint16), {"bits": 12, "compressed": True, **HOUNSFIELD}, Encoding(1, "int16", -1024, 3071)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_stored_numbers_and_the_header_come_back(tmp_path, kind):
    stored, fields, encoding = KINDS[kind]
    source = write_slice(tmp_path / "x.dcm", stored, **fields)
    assert translated(source, tmp_path / "y.dcm", encoding) == []
    before, after = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "y.dcm")
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)
    np.testing.assert_array_equal(after.pixel_array, stored)
    kept = ("PatientName", "PixelSpacing", "ImagePositionPatient", "BitsAllocated", "BitsStored", "PixelRepresentation",
            "PhotometricInterpretation", "SOPClassUID", *(name for name in fields if name.startswith("Rescale")))  # fmt: skip
    for name in kept:
        assert after[name].value == before[name].value, name
    assert list(after.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID
    assert after.SeriesInstanceUID != before.SeriesInstanceUID
    assert after.SeriesDescription == "Head Translated by diptych"


def test_values_have_the_units_of_the_header(tmp_path):
    stored, fields, _ = KINDS["CT of 12 bits"]
    picture = read_picture(write_slice(tmp_path / "x.dcm", stored, **fields))
    np.testing.assert_array_equal(picture.values[:, :, 0], stored.astype(int) - 1024)
    assert read_header(tmp_path / "x.dcm") == (W, H, 1, "int16")
    stored, fields, _ = KINDS["X-ray, inverted"]
    picture = read_picture(write_slice(tmp_path / "y.dcm", stored, **fields))
    np.testing.assert_array_equal(picture.values[:, :, 0], 4095 - stored)


def test_padding_is_no_data(tmp_path):
    stored = numbers(100, 4000, np.int16)
    stored[:2] = -2000
    source = write_slice(tmp_path / "x.dcm", stored, PixelPaddingValue=-2000, **HOUNSFIELD)
    picture = read_picture(source)
    assert (picture.missing[:2].all(), picture.missing[2:].any(), picture.metadata.nodata) == (True, False, -3024)
    translated(source, tmp_path / "y.dcm", Encoding(1, "int32", -924, 2976))
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "y.dcm").pixel_array, stored)


def test_translations_in_other_units_get_a_slope_that_holds_them(tmp_path):
    stored, fields, _ = KINDS["MR"]
    source = write_slice(tmp_path / "x.dcm", stored, WindowCenter=40, WindowWidth=400, **fields)
    to_hounsfield = identity(Encoding(1, "uint16", 0, 4095), Encoding(1, "int16", -1000, 3095))
    to_suv = identity(Encoding(1, "uint16", 0, 4095), Encoding(1, "float32", 0, 20))
    for translator, expected, tolerance in (
        (to_hounsfield, stored.astype(float) - 1000, 0),
        (to_suv, stored * (20 / 4095), 20 / 65535),
    ):
        from diptych.inference.folder import translate_files

        assert translate_files(translator, [(source, tmp_path / "y.dcm")]).failed == []
        made = pydicom.dcmread(tmp_path / "y.dcm")
        found = made.pixel_array * float(made.RescaleSlope) + float(made.RescaleIntercept)
        assert abs(found - expected).max() <= tolerance
        assert "WindowCenter" not in made


def test_a_folder_is_a_series_and_files_without_a_suffix_stay_dicom(tmp_path):
    (tmp_path / "in").mkdir()
    stored, fields, encoding = KINDS["CT of 12 bits"]
    for index, series in enumerate(["1.2.3", "1.2.3", "1.2.4"]):
        write_slice(tmp_path / "in" / f"IM{index}", stored, series=series, **fields)
    from diptych.inference.folder import translate_files

    pairs = plan_outputs(tmp_path / "in", tmp_path / "out")
    assert translate_files(identity(encoding), pairs).num_translated == 3
    made = [pydicom.dcmread(tmp_path / "out" / f"IM{index}.dcm") for index in range(3)]
    assert made[0].SeriesInstanceUID == made[1].SeriesInstanceUID != made[2].SeriesInstanceUID
    assert len({one.SOPInstanceUID for one in made}) == 3


def test_in_another_format_the_header_is_lost_and_said(tmp_path):
    stored, fields, encoding = KINDS["CT of 12 bits"]
    source = write_slice(tmp_path / "x.dcm", stored, **fields)
    (said,) = translated(source, tmp_path / "y.tif", encoding)
    assert said == f"{tmp_path}/y.tif: TIFF files do not keep the DICOM header"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "y.tif")), stored.astype(int) - 1024)


def test_what_is_no_picture_of_dicom_is_refused(tmp_path):
    stored = numbers(0, 255, np.uint8)
    report = pydicom.dcmread(write_slice(tmp_path / "x.dcm", stored, bits=8))
    del report.PixelData
    report.save_as(tmp_path / "report.dcm")
    write_slice(tmp_path / "palette.dcm", stored, bits=8, PhotometricInterpretation="PALETTE COLOR")
    write_slice(tmp_path / "huge.dcm", stored, bits=8, Rows=20_000, Columns=10_000)
    write_slice(tmp_path / "slide.dcm", stored, bits=8, SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6")
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "x.dcm").read_bytes()[:-50])
    for name, said in (
        ("report", r"holds no image \(CT Image Storage\): remove it"),
        ("palette", "holds PALETTE COLOR of 8 bits, which diptych cannot use"),
        ("slide", "is a part of a slide in DICOM, which is not read: save the slide as OME-TIFF"),
        ("cut", "is cut off or damaged"),
        ("huge", "claims more than 179 million pixels"),
    ):
        with pytest.raises(PictureError, match=rf"{name}\.dcm {said}"):
            read_picture(tmp_path / f"{name}.dcm")
    Image.fromarray(stored).save(tmp_path / "x.png")
    with pytest.raises(AssertionError, match=r"y\.dcm cannot be DICOM, since its input is not"):
        translated(tmp_path / "x.png", tmp_path / "y.dcm", Encoding(1))


def test_without_pydicom_the_extra_is_named(tmp_path):
    write_slice(tmp_path / "x.dcm", numbers(0, 255, np.uint8), bits=8)
    code = """
import sys
sys.modules["pydicom"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pydicom" else find(name, *rest)
from pathlib import Path
from diptych.data.formats.reading import read_header
try:
    read_header(Path("x.dcm"))
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "reading and writing DICOM needs: pip install 'diptych[dicom]'\n"
