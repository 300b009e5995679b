"""An image with its faces drawn in: thin contours, five points, irises, and a label that stays readable."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hififace.faces.landmarks import point_groups, triangles
from hififace.types import Face, RGBImage

COLOURS: tuple[tuple[int, int, int], ...] = (
    (64, 196, 255),
    (255, 183, 77),
    (129, 230, 140),
    (244, 143, 177),
    (206, 166, 255),
    (255, 241, 118),
)
"""One a face, in turn; light, so that they show on skin and on dark hair alike."""

CLOSED = ("face_oval", "lips_outer", "lips_inner", "image_left_eye", "image_right_eye")
OPEN = ("nose_ridge",)
SHIFT = 4
"""Binary digits behind the point, for lines that lie between pixels."""

MESH_OPACITY = 0.22
LABEL_OPACITY = 0.72


def draw_faces(
    image: RGBImage, faces: Sequence[Face], *, similarities: Sequence[float] | None = None
) -> RGBImage:
    """Draw what is known about faces.

    Args:
        image: (H, W, 3) the image; left as it is.
        faces: found in it.
        similarities: cosine of each to a reference, written in its label.

    Returns:
        A new image of the same size.
    """
    canvas = image.copy()
    for face in faces:
        if face.landmarks is not None and face.detection.size_px >= 40:
            _draw_mesh(canvas, face, _colour(face))
        _draw_box(canvas, face, _colour(face))
        _draw_points(canvas, face, _colour(face))
    drawing = Image.fromarray(canvas).convert("RGBA")
    labels = Image.new("RGBA", drawing.size, (0, 0, 0, 0))
    taken: list[tuple[float, float, float, float]] = []
    for number, face in enumerate(faces):
        lines = label_lines(face, None if similarities is None else similarities[number])
        _draw_label(ImageDraw.Draw(labels), face, lines, taken, drawing.size)
    return np.asarray(Image.alpha_composite(drawing, labels).convert("RGB"), np.uint8)


def label_lines(face: Face, similarity: float | None = None) -> list[str]:
    """What a face's label says, line by line."""
    lines = [f"{face.index}   {face.detection.score:.2f}   {face.detection.size_px:.0f} px"]
    if face.coefficients is not None:
        pitch, yaw, roll = (float(v) for v in face.coefficients.pose_deg)
        lines.append(f"pitch {pitch:+.0f}°  yaw {yaw:+.0f}°  roll {roll:+.0f}°")
    if similarity is not None:
        lines.append(f"similarity {similarity:.2f}")
    return lines


def _colour(face: Face) -> tuple[int, int, int]:
    return COLOURS[face.index % len(COLOURS)]


def _thickness(face: Face) -> int:
    return max(1, round(face.detection.size_px / 250))


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """(N, 2+) points as OpenCV's fixed-point numbers."""
    return np.asarray(np.rint(np.asarray(points, np.float64)[:, :2] * 2**SHIFT), np.int32)


def _draw_mesh(canvas: RGBImage, face: Face, colour: tuple[int, int, int]) -> None:
    """The whole mesh as a faint veil, the named contours as lines, the irises as circles."""
    assert face.landmarks is not None
    points = face.landmarks.points
    veil = canvas.copy()
    cv2.polylines(veil, list(_fixed(points)[triangles()]), True, colour, 1, cv2.LINE_AA, SHIFT)
    # On a small face the lines lie so close that the veil would hide it.
    opacity = MESH_OPACITY * min(face.detection.size_px / 400, 1.0)
    cv2.addWeighted(veil, opacity, canvas, 1.0 - opacity, 0.0, dst=canvas)
    groups = point_groups()
    for name in CLOSED + OPEN:
        line = _fixed(points[list(groups[name])])
        cv2.polylines(canvas, [line], name in CLOSED, colour, _thickness(face), cv2.LINE_AA, SHIFT)
    for iris in face.irises if face.irises is not None else ():
        radius = float(np.linalg.norm(iris[1:, :2] - iris[0, :2], axis=1).mean())
        x, y = _fixed(iris[:1])[0]
        cv2.circle(
            canvas,
            (int(x), int(y)),
            round(radius * 2**SHIFT),
            (255, 255, 255),
            _thickness(face),
            cv2.LINE_AA,
            SHIFT,
        )


def _draw_box(canvas: RGBImage, face: Face, colour: tuple[int, int, int]) -> None:
    """Corners only: a whole frame would hide more than it tells."""
    x0, y0, x1, y1 = (float(v) for v in face.detection.box)
    reach = min(x1 - x0, y1 - y0) * 0.18
    for x, dx in ((x0, reach), (x1, -reach)):
        for y, dy in ((y0, reach), (y1, -reach)):
            line = _fixed(np.array([(x + dx, y), (x, y), (x, y + dy)]))
            cv2.polylines(canvas, [line], False, colour, _thickness(face) + 1, cv2.LINE_AA, SHIFT)


def _draw_points(canvas: RGBImage, face: Face, colour: tuple[int, int, int]) -> None:
    radius = max(face.detection.size_px / 70, 1.0)
    for x, y in _fixed(face.detection.points):
        cv2.circle(
            canvas, (int(x), int(y)), round((radius + 1) * 2**SHIFT), (20, 20, 20), -1, cv2.LINE_AA, SHIFT
        )
        cv2.circle(canvas, (int(x), int(y)), round(radius * 2**SHIFT), colour, -1, cv2.LINE_AA, SHIFT)


def _draw_label(
    pen: ImageDraw.ImageDraw,
    face: Face,
    lines: Sequence[str],
    taken: list[tuple[float, float, float, float]],
    size: tuple[int, int],
) -> None:
    """A dark rounded plate under the face, or wherever below it nothing else is written yet."""
    x0, _, x1, y1 = (float(v) for v in face.detection.box)
    height = float(np.clip(face.detection.size_px * 0.11, 11, max(14.0, min(size) * 0.028)))
    font = ImageFont.load_default(height)
    text = "\n".join(lines)
    left, top, right, bottom = pen.multiline_textbbox((0, 0), text, font=font, spacing=height * 0.3)
    pad = height * 0.5
    width, tall = right - left + 2 * pad, bottom - top + 2 * pad
    x = float(np.clip((x0 + x1 - width) / 2, 2, max(size[0] - width - 2, 2)))
    y = float(np.clip(y1 + pad, 2, max(size[1] - tall - 2, 2)))
    for _ in range(len(taken)):
        clash = [t for t in taken if x < t[2] and x + width > t[0] and y < t[3] and y + tall > t[1]]
        if not clash or max(t[3] for t in clash) + 2 + tall > size[1]:
            break
        y = max(t[3] for t in clash) + 2
    taken.append((x, y, x + width, y + tall))
    pen.rounded_rectangle(
        (x, y, x + width, y + tall), radius=pad * 0.8, fill=(18, 20, 26, round(255 * LABEL_OPACITY))
    )
    pen.rectangle(
        (x + pad * 0.25, y + pad, x + pad * 0.25 + max(height * 0.12, 1), y + tall - pad),
        fill=(*_colour(face), 255),
    )
    pen.multiline_text(
        (x + pad - left, y + pad - top), text, font=font, fill=(245, 245, 245, 255), spacing=height * 0.3
    )
