"""Replaces the volumes of a domain by their slices."""

from pathlib import Path

from diptych.config import DataConfig
from diptych.data.files import Domain
from diptych.data.formats.nifti import Volume, require_nifti
from diptych.data.volumes import AXES, Slices, is_volume
from diptych.errors import OptionError


def slices_of(data: DataConfig) -> Slices:
    """How ``data`` cuts volumes.

    Raises:
        OptionError: an even number of slices, which has no middle.
    """
    if data.slices % 2 == 0:
        raise OptionError(f"slices is {data.slices}", cure="give an odd number: as many neighbours on each side")
    return Slices(AXES.index(data.slice_axis), data.slices)


def with_slices(domain: Domain, slices: Slices) -> Domain:
    """``domain`` with the slices of its volumes as pictures, in the order of the volumes. A volume that cannot be read
    stays, and reading it says what is wrong.

    Raises:
        MissingExtraError: there is a volume, and nibabel is not installed.
    """
    if not any(map(is_volume, domain.files)):
        return domain
    require_nifti()
    return domain.only([path for file in domain.files for path in _pictures(domain, file, slices)])


def _pictures(domain: Domain, file: Path, slices: Slices) -> list[Path]:
    try:
        number = Volume(domain.folder / file).shape[slices.axis] if is_volume(file) else 0
    except Exception:  # damaged files make nibabel raise many types of error
        number = 0
    return [slices.path(file, index) for index in range(number)] or [file]
