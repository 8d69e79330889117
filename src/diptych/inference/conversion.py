"""Converts between the types of image that a translator takes and ``DecodedImage``, which it works on."""

from typing import TypeVar

from PIL import Image
from torch import Tensor

from diptych.data.encoding import GREY, RGB, TYPES, UNSIGNED, Array
from diptych.data.image import DecodedImage, from_pillow, to_pillow
from diptych.data.metadata import Metadata
from diptych.errors import PictureError

AnyImage = TypeVar("AnyImage", Image.Image, Array, DecodedImage, Tensor)


def decoded_image(image: Image.Image | Array | DecodedImage | Tensor) -> DecodedImage:
    """``image``, of any type that a translator takes.

    Raises:
        PictureError: an array of another shape or dtype.
    """
    if isinstance(image, DecodedImage):
        return image
    assert not isinstance(image, Tensor)  # see tensors.py
    if isinstance(image, Image.Image):
        icc = image.info.get("icc_profile")
        decoded = from_pillow(image)
        return decoded._replace(metadata=Metadata(icc=icc or None).for_channels(decoded.values.shape[2]))
    values = image[:, :, None] if image.ndim == 2 else image
    if image.dtype.name not in TYPES or values.ndim != 3 or not image.size:
        problem = f"an array {image.shape} of {image.dtype} is not an image"
        raise PictureError(problem, cure=f"give (H, W) or (H, W, C) of {', '.join(TYPES)}")
    return DecodedImage(values).with_missing()


def like_image(image: AnyImage, decoded: DecodedImage) -> AnyImage:
    """``decoded`` in the type of ``image``.

    Raises:
        PictureError: Pillow has no image of such channels and type.
    """
    if isinstance(image, DecodedImage):
        return decoded
    assert not isinstance(image, Tensor)
    if isinstance(image, Image.Image):
        (height, width, channels), dtype = decoded.values.shape, decoded.values.dtype
        if channels not in (GREY, RGB) or (channels == RGB and dtype.name not in UNSIGNED):
            problem = f"Pillow has no image of {width}×{height} pixels with {channels} channels of {dtype}"
            raise PictureError(problem, cure="give an array instead of a Pillow image")
        made = to_pillow(decoded.values, decoded.alpha)
        if decoded.metadata.icc:
            made.info["icc_profile"] = decoded.metadata.icc
        return made
    return decoded.values[:, :, 0] if image.ndim == 2 and decoded.values.shape[2] == 1 else decoded.values
