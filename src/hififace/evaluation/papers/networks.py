"""Adapters of the literature's networks: weights file, crop, and outputs for a face.

Each adapter has the preprocessing that its network was published or is used with; figures of two adapters are different
measures with different names. None of the files may be redistributed (`hififace weights fetch literature` says where to
get each); those on this machine are used, and the report lists the missing ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hififace.errors import WeightsError
from hififace.faces.alignment import align, warp
from hififace.faces.templates import TEMPLATES
from hififace.pixels import to_nchw
from hififace.types import Detection, FloatArray, RGBImage
from hififace.weights.registry import find_card
from hififace.weights.store import expected_path, sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH_SIZE: Final = 10
"""Faces per forward pass: the frames of a video."""

Facts = Mapping[str, FloatArray]
"""Name such as `identity.cosface` -> (N, D), one row for each face."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One network."""

    name: str
    card: str
    title: str
    """For tables."""
    gives: tuple[str, ...]
    """Names of the facts, `KIND.NETWORK`."""
    crop: Callable[[RGBImage, Detection], RGBImage]
    load: Callable[[], nn.Module]
    run: Callable[[Any, Tensor], dict[str, Tensor]]
    """Maps the network and (B, 3, H, W) RGB 0..1 to facts."""
    note: str = ""
    """Remark on its figures for the report."""


def aligned_112(image: RGBImage, face: Detection) -> RGBImage:
    """(112, 112, 3) aligned to ArcFace's template."""
    return align(image, face.points, "arcface_112").crop


def aligned_112_by_96(image: RGBImage, face: Detection) -> RGBImage:
    """(112, 96, 3): SphereFace's template is ArcFace's without the outer eight columns on each side."""
    return np.ascontiguousarray(aligned_112(image, face)[:, 8:104])


def frontal(image: RGBImage, face: Detection) -> RGBImage:
    """(224, 224, 3) aligned to the reference's frontal template, at Deep3DFaceRecon's size."""
    return align(image, face.points, TEMPLATES["frontal_256"].scaled(224)).crop


def head_box(image: RGBImage, face: Detection) -> RGBImage:
    """(224, 224, 3) the middle square of the face box enlarged by a fifth on every side.

    The box is enlarged as in 6DRepNet's demo; then the shorter side is scaled to 224 px and the longer one cropped, as
    in the training of both pose networks.
    """
    width, height = face.box[2] - face.box[0], face.box[3] - face.box[1]
    side = min(width + 0.4 * height, height + 0.4 * width)
    return _square(image, (face.box[:2] + face.box[2:]) / 2, float(side), 224)


def deca_box(image: RGBImage, face: Detection) -> RGBImage:
    """(224, 224, 3) DECA's crop of a detection: 1.25 times the mean side of the box, its centre 12 % further down."""
    size = float((face.box[2] - face.box[0] + face.box[3] - face.box[1]) / 2)
    middle = (face.box[:2] + face.box[2:]) / 2 + np.array([0.0, 0.12 * size])
    return _square(image, middle, 1.25 * size, 224)


def portrait(image: RGBImage, face: Detection) -> RGBImage:
    """(256, 256, 3) aligned like FFHQ: the face with its hair, for the Fréchet distance."""
    return align(image, face.points, TEMPLATES["ffhq_512"].scaled(256), border="edge").crop


def whole_image(image: RGBImage, _face: Detection) -> RGBImage:
    """The image unchanged."""
    return image


def _square(image: RGBImage, middle: NDArray[np.floating], side_px: float, size_px: int) -> RGBImage:
    """A square around (x, y), black outside the image."""
    scale = size_px / max(side_px, 1.0)
    left, top = (float(v) - max(side_px, 1.0) / 2 for v in middle)
    # Pixel centres have integer coordinates, so edges lie half a pixel before them.
    shift = [(0.5 - left) * scale - 0.5, (0.5 - top) * scale - 0.5]
    matrix = np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
    return np.asarray(warp(image, matrix, size_px), np.uint8)


def adapters(*, whole_images: bool) -> tuple[Adapter, ...]:
    """All networks that a protocol can use.

    Args:
        whole_images: compute the Fréchet distance on unchanged images (photos of faces) instead of aligned faces
            (frames of videos).
    """
    from hififace.models.pretrained import (
        arcface,
        cosface,
        deca,
        deep3d,
        hopenet,
        inception,
        ir_se50,
        sixdrepnet,
    )

    def at(card: str) -> Any:
        return expected_path(find_card(card))

    return (
        Adapter(
            "cosface",
            "cosface",
            "CosFace",
            ("identity.cosface",),
            aligned_112_by_96,
            lambda: cosface.load_cosface(at("cosface")),
            lambda network, faces: {"identity.cosface": network.identity(faces)},
        ),
        Adapter(
            "ir_se50",
            "arcface_ir_se50",
            "ArcFace IR-SE50",
            ("identity.ir_se50",),
            aligned_112,
            lambda: ir_se50.load_ir_se50(at("arcface_ir_se50")),
            lambda network, faces: {"identity.ir_se50": network.identity(faces)},
        ),
        Adapter(
            "arcface_r100",
            "arcface_r100",
            "ArcFace R100",
            ("identity.arcface_r100",),
            aligned_112,
            lambda: arcface.load_arcface(at("arcface_r100")),
            lambda network, faces: {"identity.arcface_r100": network.identity(faces)},
            "training of the paper family minimises it: no evidence for its models",
        ),
        Adapter(
            "hopenet",
            "hopenet",
            "Hopenet",
            ("pose.hopenet",),
            head_box,
            lambda: hopenet.load_hopenet(at("hopenet")),
            lambda network, faces: {"pose.hopenet": network(faces)},
        ),
        Adapter(
            "sixdrepnet",
            "sixdrepnet",
            "6DRepNet",
            ("pose.sixdrepnet",),
            head_box,
            lambda: sixdrepnet.load_sixdrepnet(at("sixdrepnet")),
            lambda network, faces: {"pose.sixdrepnet": network.angles_deg(faces)},
        ),
        Adapter(
            "deca",
            "deca",
            "DECA",
            ("shape.deca", "expression.deca"),
            deca_box,
            lambda: deca.load_deca(at("deca")),
            _flame,
            "FLAME's numbers, as the paper's RingNet gives; another network, so another scale",
        ),
        Adapter(
            "deep3d",
            "deep3d_recon",
            "Deep3D",
            ("shape.deep3d", "expression.deep3d"),
            frontal,
            lambda: deep3d.load_deep3d(at("deep3d_recon")),
            _basel,
            "the paper family carries it and trains against it: no evidence for its models; frontal crop at 224 px",
        ),
        Adapter(
            "inception",
            "fid_inception",
            "FID",
            ("features.inception",),
            whole_image if whole_images else portrait,
            lambda: inception.load_fid_inception(at("fid_inception")),
            lambda network, images: {"features.inception": network(images)},
        ),
    )


def _flame(network: Any, faces: Tensor) -> dict[str, Tensor]:
    found = network(faces)
    return {"shape.deca": found.shape, "expression.deca": found.expression}


def _basel(network: Any, faces: Tensor) -> dict[str, Tensor]:
    found = network(faces)
    return {"shape.deep3d": found.identity, "expression.deep3d": found.expression}


class Networks:
    """The networks whose files are on this machine, loaded.

    Args:
        whole_images: see `adapters`.

    Attributes:
        adapters: in use.
        missing: names of the cards without a file on this machine.
        hashes: card -> SHA-256 of its file.

    Raises:
        WeightsError: no recogniser is here, or a file is not what it should be.
    """

    def __init__(self, *, whole_images: bool) -> None:
        import torch

        chosen = adapters(whole_images=whole_images)
        self.adapters = tuple(one for one in chosen if expected_path(find_card(one.card)).is_file())
        self.missing = tuple(one.card for one in chosen if one not in self.adapters)
        if not any(fact.startswith("identity.") for one in self.adapters for fact in one.gives):
            raise WeightsError(
                "None of the literature's recognisers is on this machine (cosface, arcface_ir_se50, arcface_r100); at "
                "least one is needed. `hififace weights fetch literature` says where each file is found; without them, "
                "measure with --protocol open."
            )
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._networks = [one.load().to(self.device) for one in self.adapters]
        self.hashes = {one.card: sha256_of(expected_path(find_card(one.card))) for one in self.adapters}

    @property
    def facts(self) -> tuple[str, ...]:
        """Names of all facts that `describe` returns."""
        return tuple(fact for one in self.adapters for fact in one.gives)

    def describe(self, images: Sequence[RGBImage], faces: Sequence[Detection]) -> dict[str, FloatArray]:
        """Run every network on one face of each image.

        Args:
            images: (H, W, 3) each.
            faces: one for each image.

        Returns:
            Fact -> (N, D) float32.
        """
        import torch

        found: dict[str, list[FloatArray]] = {fact: [] for fact in self.facts}
        for adapter, network in zip(self.adapters, self._networks, strict=True):
            crops = [adapter.crop(image, face) for image, face in zip(images, faces, strict=True)]
            for batch in _equal_sizes(crops):
                with torch.inference_mode():
                    answer = adapter.run(network, torch.from_numpy(to_nchw(np.stack(batch))).to(self.device))
                for fact, rows in answer.items():
                    found[fact].append(rows.float().cpu().numpy())
        return {fact: np.concatenate(rows) for fact, rows in found.items()}


def _equal_sizes(crops: Sequence[RGBImage]) -> list[list[RGBImage]]:
    """Consecutive crops of equal size in batches of at most `BATCH_SIZE`."""
    batches: list[list[RGBImage]] = []
    for crop in crops:
        if batches and batches[-1][0].shape == crop.shape and len(batches[-1]) < BATCH_SIZE:
            batches[-1].append(crop)
        else:
            batches.append([crop])
    return batches
