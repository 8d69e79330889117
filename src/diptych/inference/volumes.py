"""Translates volumes slice by slice."""

from collections.abc import Callable
from pathlib import Path

from diptych.data.encoding import Encoding
from diptych.data.formats.nifti import Volume
from diptych.data.formats.nifti_writing import VolumeWriter
from diptych.data.formats.reading import reading_errors
from diptych.data.image import DecodedImage
from diptych.data.slicing import slices_of
from diptych.data.volumes import Slices, is_volume
from diptych.errors import PictureError, disk_errors
from diptych.inference.translator import Translator

BATCH = 8
"""Slices that are read ahead. The translator splits them if they do not fit in memory."""


def slices_for(translator: Translator) -> Slices:
    """How the model cuts volumes of its source domain: into single slices if it has no channels for neighbours."""
    slices = slices_of(translator.card.data)
    return slices if translator.channels_in == slices.number else slices._replace(number=1)


def middle_slice(translator: Translator, source: Path) -> DecodedImage:
    """The middle slice of the volume ``source``, to compare it with the pictures of training.

    Raises:
        PictureError: the volume cannot be read.
    """
    slices = slices_for(translator)
    with reading_errors(source):
        return _picture(volume := Volume(source), slices, volume.shape[slices.axis] // 2)


def translate_volume(
    translator: Translator, source: Path, target: Path, *, stop: Callable[[], bool] = lambda: False
) -> None:
    """Translates each slice of the NIfTI volume ``source``, and writes them as the volume ``target``, with its affine
    and header. ``stop`` is asked before each batch of slices.

    Raises:
        PictureError: ``source`` cannot be read or translated, ``target`` is not NIfTI, or ``stop``.
        UserError: the disk is full.
    """
    if not is_volume(target):
        raise PictureError(
            f"{source} is a volume, and {target} is not", cure="give a name that ends in .nii or .nii.gz"
        )
    slices = slices_for(translator)
    with reading_errors(source):
        volume = Volume(source)
    number, (encoding, _) = volume.shape[slices.axis], translator.output_of(Encoding(slices.number, volume.dtype))
    with disk_errors(target, name_error=PictureError), VolumeWriter(volume, encoding, target) as writer:
        for start in range(0, number, BATCH):
            if stop():
                raise PictureError(f"{source} was stopped", cure="run the same command again")
            indices = range(start, min(start + BATCH, number))
            with reading_errors(source):
                pictures = [_picture(volume, slices, index) for index in indices]
            for index, image in zip(indices, translator.translate_batch(pictures), strict=True):
                writer.write(slices.axis, index, image.values[:, :, image.values.shape[2] // 2])
        writer.save()


def _picture(volume: Volume, slices: Slices, index: int) -> DecodedImage:
    return DecodedImage(volume.picture(slices, index)).with_missing()
