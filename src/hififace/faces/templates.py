"""Where the five points lie in an aligned crop: every template in one table, each with its origin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hififace.errors import OptionError
from hififace.types import FloatArray


@dataclass(frozen=True, slots=True)
class Template:
    """Five points of a square crop."""

    name: str
    size: int
    """Side of the crop, pixels."""
    points: FloatArray
    """(5, 2) image-left eye, image-right eye, nose tip, image-left and image-right mouth corner; pixels, centres at
    integers."""
    origin: str
    """Whose convention it is."""

    def scaled(self, size: int) -> Template:
        """The same template for a crop of another side: the points keep their share of it."""
        points = self.points * np.float32(size / self.size)
        return Template(f"{self.name}@{size}", size, points.astype(np.float32), self.origin)


def _template(name: str, size: int, points: list[tuple[float, float]], origin: str) -> Template:
    array = np.array(points, np.float32)
    array.setflags(write=False)
    return Template(name, size, array, origin)


TEMPLATES: dict[str, Template] = {
    t.name: t
    for t in (
        _template(
            "arcface_112",
            112,
            [
                (38.2946, 51.6963),
                (73.5318, 51.5014),
                (56.0252, 71.7366),
                (41.5493, 92.3655),
                (70.7299, 92.2041),
            ],
            "InsightFace's 112 x 112 alignment; ArcFace and SFace were trained on it",
        ),
        _template(
            "frontal_256",
            256,
            [
                (39.730 * 256 / 112, 51.138 * 256 / 112),
                (72.270 * 256 / 112, 51.138 * 256 / 112),
                (56.000 * 256 / 112, 68.493 * 256 / 112),
                (42.463 * 256 / 112, 87.010 * 256 / 112),
                (69.537 * 256 / 112, 87.010 * 256 / 112),
            ],
            "the reference implementation's frontal template, given in a 112 frame and scaled by 256/112",
        ),
        _template(
            "ffhq_512",
            512,
            [
                (192.98138, 239.94708),
                (318.90277, 240.19360),
                (256.63416, 314.01935),
                (201.26117, 371.41043),
                (313.08905, 371.15118),
            ],
            "mean points of the FFHQ photographs at 512, as face restoration networks use them",
        ),
        _template(
            "mini_128",
            128,
            [(38.5, 34.7), (88.5, 34.7), (63.5, 63.4), (42.7, 86.9), (84.3, 86.9)],
            "ours: eyes 50 px apart and high, so that the whole jaw is inside and no pixel is spent on hair",
        ),
    )
}


def find_template(name: str) -> Template:
    """The template of that name.

    Raises:
        OptionError: there is none.
    """
    if name not in TEMPLATES:
        raise OptionError(f"There is no alignment template {name!r}; choose among {', '.join(TEMPLATES)}.")
    return TEMPLATES[name]
