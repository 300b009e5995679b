"""Mesh points of every photo of a folder of identity shards, by the pipeline that ships."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hififace.faces.detection import YuNetDetector
from hififace.faces.landmarks import FaceMeshLandmarker
from hififace.types import Detection, RGBImage


@dataclass(frozen=True)
class PhotoPoints:
    """Mesh points of N photos and who is on each."""

    points: NDArray[np.float32]
    """(N, 468, 3) picture pixels."""
    identities: NDArray[np.str_]
    """(N,)."""
    keys: NDArray[np.str_]
    """(N,)."""


def read_photos(shard: Path) -> Iterator[tuple[str, str, RGBImage]]:
    """Key, identity and picture of every KEY.jpg with a KEY.json in a tar."""
    halves: dict[str, dict[str, bytes]] = {}
    with tarfile.open(shard) as archive:
        for member in archive:
            key, _, kind = member.name.rpartition(".")
            content = archive.extractfile(member)
            if content is None or kind not in {"jpg", "json"}:
                continue
            parts = halves.setdefault(key, {})
            parts[kind] = content.read()
            if len(parts) == 2:
                picture = cv2.imdecode(np.frombuffer(parts["jpg"], dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
                yield key, str(json.loads(parts["json"])["identity"]), picture
                del halves[key]


def central_face(detections: list[Detection], picture: RGBImage) -> Detection:
    """The face nearest to the middle: the one that a photo of this set is about."""
    middle = (np.asarray(picture.shape[1::-1]) - 1) / 2
    return min(detections, key=lambda d: float(np.linalg.norm(d.points.mean(axis=0) - middle)))


def collect(shards: list[Path], cache: Path | None) -> PhotoPoints:
    """Points of all photos in which a face is found.

    Args:
        shards: tars of KEY.jpg and KEY.json, the latter with `identity`.
        cache: an .npz to read instead where it exists, and to write otherwise.
    """
    if cache is not None and cache.exists():
        stored = np.load(cache)
        return PhotoPoints(stored["points"], stored["identities"], stored["keys"])
    detector = YuNetDetector(smallest_face_px=48.0)
    landmarker = FaceMeshLandmarker()
    points, identities, keys, num_seen = [], [], [], 0
    for shard in shards:
        for key, identity, picture in read_photos(shard):
            num_seen += 1
            detections = detector.detect(picture)
            if not detections:
                continue
            found = landmarker.locate(picture, central_face(detections, picture))
            points.append(found.points)
            identities.append(identity)
            keys.append(key)
            if num_seen % 500 == 0:
                print(f"{shard.name}: {num_seen} photos", flush=True)
    print(f"a face was found in {len(keys)} of {num_seen} photos")
    result = PhotoPoints(np.stack(points), np.asarray(identities), np.asarray(keys))
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, points=result.points, identities=result.identities, keys=result.keys)
    return result
