"""Converts between the types of image that a translator takes and ``DecodedImage``, which it works on."""

from typing import TypeVar

import numpy as np
from PIL import Image

from diptych.data.encoding import Array
from diptych.data.image import DecodedImage, from_pillow, to_pillow
from diptych.errors import PictureError

AnyImage = TypeVar("AnyImage", Image.Image, Array, DecodedImage)


def decoded_image(image: Image.Image | Array | DecodedImage) -> DecodedImage:
    """``image``, of any type that a translator takes.

    Raises:
        PictureError: an array of another shape or dtype.
    """
    if isinstance(image, DecodedImage):
        return image
    if isinstance(image, Image.Image):
        return from_pillow(image)
    values = image[:, :, None] if image.ndim == 2 else image
    if image.dtype not in (np.uint8, np.uint16) or values.ndim != 3 or values.shape[2] not in (1, 3) or not image.size:
        raise PictureError(
            f"an array {image.shape} of {image.dtype} is not an image",
            cure="give (H, W) or (H, W, 1 or 3) of uint8 or uint16",
        )
    return DecodedImage(values)


def like_image(image: AnyImage, decoded: DecodedImage) -> AnyImage:
    """``decoded`` in the type of ``image``."""
    if isinstance(image, DecodedImage):
        return decoded
    if isinstance(image, Image.Image):
        return to_pillow(decoded.values, decoded.alpha)
    return decoded.values[:, :, 0] if image.ndim == 2 and decoded.values.shape[2] == 1 else decoded.values
