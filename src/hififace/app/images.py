"""Small images that lie inside the page itself."""

from __future__ import annotations

import base64

import cv2

from hififace.types import RGBImage


def data_url(image: RGBImage, *, quality: int = 88) -> str:
    """(H, W, 3) of a face or frame as it came, inside the page itself: no file is left, and none can be guessed."""
    done, packed = cv2.imencode(
        ".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]
    )  # cv2 takes BGR
    assert done
    return f"data:image/jpeg;base64,{base64.b64encode(packed.tobytes()).decode()}"
