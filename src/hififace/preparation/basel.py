"""The Basel family of frozen networks: ArcFace R100, Deep3DFaceRecon and BiSeNet, whose files are user-supplied.

Everything is computed on the crop, as the reference implementation does in every training step (its
`ShapeAwareIdentityExtractor` and `generate_mask.py`): the identity from the crop reduced to 112 px, the
coefficients from the crop at 256 px, the mask by face parsing of the crop.
Detection, and the landmarks and pose that the filters need, come from the embedded networks.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from hififace.models.pretrained.arcface import ArcFace, load_arcface
from hififace.models.pretrained.bisenet import BiSeNet, load_bisenet
from hififace.models.pretrained.deep3d import Deep3D, load_deep3d
from hififace.pixels import to_nchw
from hififace.preparation.crop import Crop
from hififace.preparation.describe import DescriberSettings, Description, MeshDescriber
from hififace.types import Detection, FloatArray, RGBImage
from hififace.weights.registry import find_card
from hififace.weights.store import locate

LAYOUT = (
    ("identity", 80),
    ("expression", 64),
    ("texture", 80),
    ("pose", 3),
    ("light", 27),
    ("translation", 3),
)
"""Deep3DFaceRecon's 257 coefficients, in its own order; pose in radians."""

_DEEP3D_PX = 256
"""Input size of a bundle's shape graph, so that training and swapping use the same coefficients."""


class BaselParts:
    """The three networks.

    Args:
        arcface: identity.
        deep3d: shape, expression, texture, pose, light.
        bisenet: face region.
    """

    def __init__(self, arcface: ArcFace, deep3d: Deep3D, bisenet: BiSeNet) -> None:
        self._arcface, self._deep3d, self._bisenet = arcface, deep3d, bisenet

    @classmethod
    def load(cls) -> BaselParts:
        """Load the user-supplied files.

        Raises:
            WeightsError: a file is missing or has another hash; the message says where to get it.
        """
        torch.set_num_threads(1)  # work is spread over processes
        return cls(
            load_arcface(locate(find_card("arcface_r100"))),
            load_deep3d(locate(find_card("deep3d_recon"))),
            load_bisenet(locate(find_card("bisenet"))),
        )

    @torch.inference_mode()
    def describe(self, crop: RGBImage) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.uint8]]:
        """Identity (512,), coefficients (257,) of the crop and of the mirrored crop, face region (S, S).

        Args:
            crop: (S, S, 3) uint8.
        """
        face = torch.from_numpy(to_nchw(crop[None]))  # (1, 3, S, S)
        both = torch.cat([face, face.flip(3)])  # the crop and its mirror image
        seen = F.interpolate(both, size=(_DEEP3D_PX, _DEEP3D_PX), mode="bilinear", align_corners=False)
        coefficients = self._deep3d(seen).flat()  # (2, 257)
        region = self._bisenet.face_region(face)
        mask = region.mask[0, 0].numpy() * float(region.found[0])
        return (
            self._arcface.identity(face)[0].numpy(),
            coefficients[0].numpy(),
            coefficients[1].numpy(),
            np.rint(mask * 255).astype(np.uint8),
        )


class BaselDescriber(MeshDescriber):
    """Finds faces with the embedded networks and describes them with the user-supplied ones."""

    family = "basel"
    identity_name = "arcface_r100"
    parts: tuple[str, ...] = (
        "yunet",
        "face_mesh",
        "face_mesh_topology",
        "mesh_shape",
        "arcface_r100",
        "deep3d_recon",
        "bisenet",
    )
    # With ArcFace, cosines of different people are near 0; the usual threshold for two single photos is 0.28.
    person_cosine = 0.25

    def __init__(self, settings: DescriberSettings, parts: BaselParts | None = None) -> None:
        super().__init__(settings, with_identity=False)
        self._parts = parts or BaselParts.load()
        self.identity_size = 512
        self.layout = LAYOUT

    def describe(self, image: RGBImage, face: Detection, crop: Crop) -> Description:
        """Landmarks and pose by the mesh, everything else by the user-supplied networks."""
        mesh = super().describe(image, face, crop)
        identity, coefficients, mirrored, mask = self._parts.describe(crop.image)
        return mesh._replace(
            identity=identity, coefficients=coefficients, coefficients_mirrored=mirrored, mask=mask
        )
