"""The Basel face model: from named coefficients to 68 landmarks, and nothing else of its 35,709 vertices.

Paysan et al. 2009 with the expressions of Guo et al. 2018, cropped and projected as Deep3DFaceRecon does. The
model's files may not be passed on; the user brings `BFM_model_front.mat`, or the raw files from which it is
made.

Letters: B batch, V vertices of the model, 68 landmarks in iBUG order.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hififace.errors import RuntimeUnavailableError, WeightsError
from hififace.models.pretrained.deep3d import FaceCoefficients
from hififace.models.pretrained.frozen import freeze, full_precision

FRAME_PX = 224
FOCAL_PX = 1015.0
CAMERA_DISTANCE = 10.0
NUM_LANDMARKS = 68
FRONT_MODEL = "BFM_model_front.mat"

_NUM_IDENTITY = 80  # of 199 in the raw model
_NUM_EXPRESSION = 64  # of 79
_NUM_EXPRESSION_VERTICES = 53215  # the raw model without the inside of the mouth
_UNIT = 1e5  # micrometres in the raw files, decimetres here

FloatMatrix = NDArray[np.float64]


class BaselFaceModel(nn.Module):
    """68 landmarks of a face given by its coefficients.

    Args:
        mean: (68, 3) mean shape at the landmarks, after the whole face was centred.
        identity_basis: (68, 3, 80) change per standard deviation.
        expression_basis: (68, 3, 64) likewise.
    """

    mean: Tensor
    identity_basis: Tensor
    expression_basis: Tensor

    def __init__(self, mean: Tensor, identity_basis: Tensor, expression_basis: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("identity_basis", identity_basis)
        self.register_buffer("expression_basis", expression_basis)

    def forward(self, coefficients: FaceCoefficients) -> Tensor:
        """Project the landmarks.

        Returns:
            (B, 68, 2) x and y in pixels of the 224 px frame, **y upwards** as in the reference: the row of a
            image is 223 - y. Differentiable.
        """
        with full_precision(self.mean):
            coefficients = FaceCoefficients(*(part.to(self.mean.dtype) for part in coefficients))
            shape = (
                self.mean
                + torch.einsum("nck,bk->bnc", self.identity_basis, coefficients.identity)
                + torch.einsum("nck,bk->bnc", self.expression_basis, coefficients.expression)
            )
            # Rows are points, so the transposed rotation stands on the right: (Rz Ry Rx)^T.
            posed = shape @ rotation(coefficients.angles).transpose(1, 2) + coefficients.translation[:, None]
            depth = CAMERA_DISTANCE - posed[..., 2:]
            return FOCAL_PX * posed[..., :2] / depth + FRAME_PX / 2


def rotation(angles: Tensor) -> Tensor:
    """(B, 3) pitch, yaw, roll in radians to Rz Ry Rx, (B, 3, 3), right-handed."""
    sin, cos = angles.sin().unbind(1), angles.cos().unbind(1)
    one, zero = torch.ones_like(sin[0]), torch.zeros_like(sin[0])

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=1).reshape(-1, 3, 3)

    about_x = matrix(one, zero, zero, zero, cos[0], -sin[0], zero, sin[0], cos[0])
    about_y = matrix(cos[1], zero, sin[1], zero, one, zero, -sin[1], zero, cos[1])
    about_z = matrix(cos[2], -sin[2], zero, sin[2], cos[2], zero, zero, zero, one)
    return about_z @ about_y @ about_x


def load_bfm(path: Path) -> BaselFaceModel:
    """Read the model from `BFM_model_front.mat`, or from the folder that holds it or the raw files.

    Raises:
        WeightsError: a file is missing, damaged, or has other fields or sizes.
        RuntimeUnavailableError: `scipy` is not installed.
    """
    if path.is_dir():
        front = path / FRONT_MODEL
        return from_front_model(front) if front.is_file() else from_raw_files(path)
    return from_front_model(path)


def from_front_model(path: Path) -> BaselFaceModel:
    """Read the ready model, cropped to the front of the face.

    Raises:
        WeightsError: see `load_bfm`.
    """
    fields = _read_mat(path, "meanshape", "idBase", "exBase", "keypoints")
    try:
        return _keep_landmarks(
            fields["meanshape"].reshape(-1, 3),
            fields["idBase"].reshape(-1, 3, _NUM_IDENTITY),
            fields["exBase"].reshape(-1, 3, _NUM_EXPRESSION),
            fields["keypoints"],
        )
    except (ValueError, IndexError) as error:
        raise _misfit(path, error) from error


def from_raw_files(folder: Path) -> BaselFaceModel:
    """Build the model from the raw files, as the reference's conversion does.

    Reads `01_MorphableModel.mat` (shape), `Exp_Pca.bin` and `std_exp.txt` (expressions), `BFM_exp_idx.mat`
    and `BFM_front_idx.mat` (which vertices), and `facemodel_info.mat` (landmarks).

    Raises:
        WeightsError: see `load_bfm`.
    """
    trim = _read_mat(folder / "BFM_exp_idx.mat", "trimIndex")["trimIndex"]
    front = _read_mat(folder / "BFM_front_idx.mat", "idx")["idx"]
    keypoints = _read_mat(folder / "facemodel_info.mat", "keypoints")["keypoints"]
    raw = _read_mat(folder / "01_MorphableModel.mat", "shapePC", "shapeEV", "shapeMU")
    expressions, deviations = _read_expressions(folder)
    try:
        among_expression = front.astype(np.int64).ravel() - 1
        among_raw = trim.astype(np.int64).ravel()[among_expression] - 1
        identity = (raw["shapePC"] * raw["shapeEV"].reshape(1, -1))[:, :_NUM_IDENTITY] / _UNIT
        expression = (expressions * deviations)[:, :_NUM_EXPRESSION] / _UNIT
        return _keep_landmarks(
            raw["shapeMU"].reshape(-1, 3)[among_raw] / _UNIT,
            identity.reshape(-1, 3, _NUM_IDENTITY)[among_raw],
            expression.reshape(-1, 3, _NUM_EXPRESSION)[among_expression],
            keypoints,
        )
    except (ValueError, IndexError) as error:
        raise _misfit(folder, error) from error


def _keep_landmarks(
    mean: FloatMatrix, identity: FloatMatrix, expression: FloatMatrix, keypoints: FloatMatrix
) -> BaselFaceModel:
    """Centre the whole face, then keep the landmark rows."""
    if not len(mean) == len(identity) == len(expression):
        raise ValueError(f"{len(mean)}, {len(identity)} and {len(expression)} vertices in mean and bases")
    indices = keypoints.astype(np.int64).ravel() - 1  # stored from 1
    if len(indices) != NUM_LANDMARKS or indices.min() < 0:
        raise ValueError(f"{len(indices)} landmarks from {indices.min(initial=0) + 1}; expected 68 from 1")
    # The centre is that of all vertices, not of the landmarks.
    centred = mean - mean.mean(axis=0)
    mean68, identity68, expression68 = (
        torch.from_numpy(array[indices].astype(np.float32)) for array in (centred, identity, expression)
    )
    return freeze(BaselFaceModel(mean68, identity68, expression68))


def _read_mat(path: Path, *fields: str) -> dict[str, FloatMatrix]:
    """Read some fields of a MATLAB file as float64; no other field is decoded, and nothing is run."""
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"Reading {path.name} needs `scipy`; install it with `pip install '.[train]'`."
        ) from error
    if not path.is_file():
        raise WeightsError(
            f"The Basel face model is incomplete: {path} is missing. `hififace weights` says where "
            f"it is found."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of variables that are not ours
            content: dict[str, Any] = loadmat(str(path), variable_names=list(fields))
        missing = [name for name in fields if name not in content]
        if missing:
            raise WeightsError(
                f"{path.name} has no field {', '.join(missing)}; it is another file than the Basel "
                f"face model's."
            )
        return {name: np.asarray(content[name], dtype=np.float64) for name in fields}
    except (MatReadError, NotImplementedError, ValueError, TypeError, OSError, EOFError, IndexError) as error:
        raise WeightsError(
            f"{path.name} cannot be read as a MATLAB file of version 5 ({error}). "
            "It was cut short or is another kind of file; fetch it again."
        ) from error


def _read_expressions(folder: Path) -> tuple[FloatMatrix, FloatMatrix]:
    """Read the expression basis (3 x 53215, K) and its K standard deviations.

    `Exp_Pca.bin` is little-endian: K as int32, the mean as float32, then K directions as float32.
    """
    path, deviations_path = folder / "Exp_Pca.bin", folder / "std_exp.txt"
    length = 3 * _NUM_EXPRESSION_VERTICES
    try:
        content = path.read_bytes()
        deviations = np.loadtxt(deviations_path, dtype=np.float64).reshape(1, -1)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"The Basel face model is incomplete: {path.name} or {deviations_path.name} in {folder} "
            f"cannot be read "
            f"({error}). `hififace weights` says where they are found."
        ) from error
    count = int.from_bytes(content[:4], "little", signed=True)
    if count < _NUM_EXPRESSION or deviations.size != count or len(content) < 4 * (1 + length * (1 + count)):
        raise WeightsError(
            f"{path.name} announces {count} expressions in {len(content)} bytes and {deviations_path.name} of "
            f"{deviations.size}; they are damaged or do not belong together. Fetch both again."
        )
    numbers = np.frombuffer(content, dtype="<f4", offset=4 * (1 + length), count=length * count)
    return numbers.reshape(count, length).T.astype(np.float64), deviations


def _misfit(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"{path} is not the Basel face model that Deep3DFaceRecon uses: its sizes do not fit "
        f"together ({error})."
    )
