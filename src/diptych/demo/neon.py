"""Draws pictures in flat colours on white as neon signs at night."""

import numpy as np
from numpy.typing import NDArray

NIGHT = np.array([0.045, 0.03, 0.09], np.float32)
"""The wall behind the sign, RGB in [0, 1]."""
GLASS = 0.4
"""The brightness of an area, as a part of the brightness of its colour."""
WHITE = 0.93
"""Pixels whose darkest channel is brighter belong to the background, which has no colour."""
EDGE, EDGE_RANGE = 0.25, 0.9
"""Sobel magnitude at which a tube begins, and how much more makes it fully bright."""
GLOW = 2.2
"""Standard deviation of the light around a tube, in pixels."""

Floats = NDArray[np.float32]


def neon(flat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures ``flat`` (N, H, W, 3) as signs: a tube of the area's colour along each edge, its glow, tinted glass
    between the tubes, and night in place of the white background. Shapes and colours are kept, so each picture can be
    predicted from the other."""
    image: Floats = flat.astype(np.float32) / np.float32(255)
    is_object: Floats = (image.min(axis=-1, keepdims=True) < WHITE).astype(np.float32)
    light = _light(image) * is_object
    near = _blurred(is_object, 1.2)
    colour = _blurred(light, 1.2) / np.maximum(near, 1e-3)  # also just outside of the object, where half of a tube is
    tube = np.clip((_edges(image) - EDGE) / EDGE_RANGE, 0, 1)
    glow = _blurred(tube * colour, GLOW)
    sign: Floats = NIGHT + GLASS * light + 1.1 * glow + tube * (0.8 * colour + 0.25)
    return np.round(255 * np.clip(sign, 0, 1)).astype(np.uint8)


def _light(image: Floats) -> Floats:
    """The colour of the light: the hue of a colour at full saturation, and a brighter grey of a grey."""
    hue = image - image.min(axis=-1, keepdims=True)
    strength = hue.max(axis=-1, keepdims=True)
    return np.where(strength > 0.15, 0.85 * hue / np.maximum(strength, 1e-6) + 0.15 * image, 0.35 + 0.65 * image)


def _edges(image: Floats) -> Floats:
    """The largest Sobel magnitude of the three channels: (N, H, W, 1)."""
    smooth = _blurred(image, 0.5)
    ramp, bump = np.array([-1, 0, 1], np.float32), np.array([1, 2, 1], np.float32)
    across = _filtered(_filtered(smooth, ramp, 2), bump, 1)
    down = _filtered(_filtered(smooth, ramp, 1), bump, 2)
    edges: Floats = np.hypot(across, down).max(axis=-1, keepdims=True)
    return edges


def _blurred(image: Floats, sigma: float) -> Floats:
    """``image`` after a Gaussian of ``sigma`` pixels in height and width."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1, dtype=np.float32) / sigma) ** 2)
    kernel /= kernel.sum()
    return _filtered(_filtered(image, kernel, 1), kernel, 2)


def _filtered(image: Floats, kernel: Floats, axis: int) -> Floats:
    """The correlation of ``image`` with ``kernel`` along ``axis``. Beyond the edges, the outermost pixels repeat."""
    radius, size = len(kernel) // 2, image.shape[axis]
    padded = np.pad(image, [(radius, radius) if i == axis else (0, 0) for i in range(image.ndim)], mode="edge")
    total = np.zeros_like(image)
    for start, weight in enumerate(kernel):
        if weight:
            total += weight * padded[(*[slice(None)] * axis, slice(start, start + size))]
    return total
