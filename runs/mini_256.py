"""Trains the embedded 256 px model for a given number of minutes, on a GPU or (slowly) on a CPU.

    python runs/mini_256.py --set 'packs/train256-*.hfpack' --init arm-f.safetensors --second mobilefacenet.onnx \
        --features efficientnet_lite0.safetensors --minutes 9 --out out

Needs no network. What it writes into --out: log.txt, preview-*.jpg, and every minute a rolling checkpoint of files of
at most 15 MB (average, generator, discriminators, second moments), which --init takes to go on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hififace.data.packed import PackedSet
from hififace.data.resident import ResidentSet
from hififace.data.slots import Slots, SlotSampler
from hififace.faces.alignment import estimate_similarity
from hififace.faces.masks import region_mask
from hififace.faces.templates import TEMPLATES
from hififace.models import params
from hififace.models.create import create_discriminator
from hififace.models.generator import Generator
from hififace.models.pretrained.efficientnet_lite import EfficientNetLite0
from hififace.models.pretrained.face_mesh import load_face_mesh
from hififace.models.pretrained.frozen import freeze
from hififace.models.pretrained.iris import load_iris
from hififace.models.pretrained.mesh_shape import load_mesh_shape
from hififace.models.pretrained.mobilefacenet import load_mobilefacenet
from hififace.models.pretrained.resampling import resample_affine
from hififace.models.pretrained.sface import load_sface
from hififace.training.device_step import EMBEDDER_SIZE_PX, REDUCED_PX, DeviceStep, Networks, StepSettings
from hififace.training.mesh_teachers import FEATURE_STAGES, MeshTeachers
from hififace.training.warm_start import start_from

SHARP_PX, CLEAR_PX = 190.0, 45.0
SHARP_SOURCES = ("portraits-train", "identities-hd")
"""Inputs whose photos have the pixels; `native_px` alone cannot tell a smooth sharp face from a textured blurred
one."""
BLURRED_SOURCES = ("identities-train",)
"""Inputs of enlarged faces: they serve as sources, and as targets of pairs of one person on two photos."""
CHUNK_STEPS = 512
OLD_GATES = {"skip32": "fusion.gate", "skip64": "upsampler.gate", "skip128": "upsampler.unfold_gate"}
PREVIEW_PAIRS = 10


def main() -> None:
    options = parse()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    log = Log(out / "log.txt")
    device = torch.device(options.device)
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    log(f"torch {torch.__version__} on {torch.cuda.get_device_name() if device.type == 'cuda' else 'cpu'}")

    data, card, codes, native = load_set(sorted(Path().glob(options.set)), device, options, log)
    teachers = load_teachers(options, card, device)
    second = load_mobilefacenet(Path(options.second)).to(device)
    to_arcface = arcface_map(card.template, data.side).to(device)
    known = [data.identity, embed_all(second, data, to_arcface)]
    log(f"second recogniser: mean length {known[1].norm(dim=1).mean():.3f}")
    networks = make_networks(options, device, log)
    slots = Slots(options.batch)
    sampler = SlotSampler(codes, native, sharp_px=SHARP_PX, clear_px=CLEAR_PX, seed=options.seed)
    log(
        f"{len(data)} photos: {len(sampler.sharp)} sharp, {len(sampler.clear)} clear, {len(sampler.several)} of several"
    )
    settings = StepSettings(**json.loads(options.settings))
    step = DeviceStep(
        data, known, networks, teachers, second, to_arcface, slots, settings, device, device.type == "cuda"
    )
    restore_average(options, step, log)
    log(f"settings {settings}")
    train(step, sampler, options, out, log)


def train(step: DeviceStep, sampler: SlotSampler, options: argparse.Namespace, out: Path, log: Log) -> None:
    device, slots, settings = step.device, step.slots, step.settings
    cuda = device.type == "cuda"
    table, first = upload(sampler, 0, slots, device), 0
    preview = PreviewPairs(step, sampler, out)
    preview.save("start")
    number = 0
    step.set_rates(0.0, settings.discriminator_rate, 0.0)
    if cuda and not options.eager:
        step.run(table[0], 1)  # the first step fills caches that a graph may not
        step.capture()
        log("graphs captured")
    started = time.monotonic()
    step.stats and step.read_stats()
    for number in range(options.warm_up):
        step.warm_up(table[number % len(table)], number)
        if number % 100 == 99:
            values = step.read_stats()
            log(f"warm-up {number + 1}: " + " ".join(f"{k} {v:.3f}" for k, v in values.items()))
    budget = options.minutes * 60.0
    begun = time.monotonic()
    log(f"warm-up took {begun - started:.1f} s")
    deadline = begun + budget
    last_log = last_save = last_preview = begun
    number = counted = options.first_step
    while True:
        now = time.monotonic()
        share = (now - begun) / budget
        if now >= deadline or number - options.first_step >= options.steps:
            break
        step.set_rates(*rates(share, settings, options))
        for _ in range(options.burst):
            if number - first >= len(table) or number < first:
                table, first = upload(sampler, number, slots, device), number
            step.run(table[number - first], number)
            number += 1
        if cuda:
            torch.cuda.synchronize()
        if now - last_log >= options.log_every:
            values = step.read_stats()
            speed = (number - counted) * slots.batch / (time.monotonic() - last_log)
            log(
                f"{number} steps, {number * slots.batch} pairs, {100 * share:.0f} %, {speed:.0f} pairs/s: "
                + " ".join(f"{k} {v:.4g}" for k, v in values.items())
            )
            last_log, counted = time.monotonic(), number
            if not math.isfinite(values["reconstruction"]):
                log("the reconstruction is not finite: stopping without another checkpoint")
                return
        if now - last_save >= options.save_every:
            save(step, out, number)
            last_save = time.monotonic()
        if now - last_preview >= options.preview_every:
            preview.save(f"{number:06d}")
            last_preview = time.monotonic()
    save(step, out, number)
    preview.save("end")
    log(f"finished after {number} steps, {time.monotonic() - begun:.0f} s")


def rates(share: float, settings: StepSettings, options: argparse.Namespace) -> tuple[float, float, float]:
    """Learning rates and the adversarial ramp at a share 0..1 of the time: short rise, flat, cosine to 3 %."""
    flat = options.flat_until
    fall = (
        1.0
        if share < flat
        else 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - flat) / (1 - flat))))
    )
    rise = min(1.0, share / 0.02 + 0.05)
    ramp = min(1.0, max(0.0, (share - 0.02) / 0.08)) if options.ramp else 1.0
    return settings.learning_rate * fall * rise, settings.discriminator_rate * max(fall, 0.3), ramp


def upload(sampler: SlotSampler, number: int, slots: Slots, device: torch.device) -> Tensor:
    return torch.from_numpy(sampler.table(number, CHUNK_STEPS, slots).packed()).to(device)


# ---- What training starts from.


def load_set(
    paths: list[Path], device: torch.device, options: argparse.Namespace, log: Log
) -> tuple[ResidentSet, object, np.ndarray, np.ndarray]:
    started = time.monotonic()
    pack = PackedSet.open(paths)
    rows = np.arange(len(pack.native_px))
    if options.photos:
        rows = np.random.default_rng(0).permutation(rows)[: options.photos]
        rows.sort()
    landmarks = pack.landmarks()[rows]
    side = pack.card.resolution
    images = pack.images(rows, options.workers)
    log(f"decoded {images.shape} in {time.monotonic() - started:.1f} s")
    small = (landmarks[..., :2] + 0.5) * (REDUCED_PX / side) - 0.5

    def mask_of(points: np.ndarray) -> np.ndarray:
        return (region_mask(points, (REDUCED_PX, REDUCED_PX), dilate_px=0, feather_px=0) * 255).astype(
            np.uint8
        )

    with ThreadPoolExecutor(options.workers) as pool:
        masks = np.stack(list(pool.map(mask_of, small, chunksize=64)))
    data = ResidentSet.from_arrays(
        images=images,
        masks=masks,
        identity=pack.identity[rows],
        coefficients=pack.coefficients[rows],
        coefficients_mirrored=pack.coefficients_mirrored[rows],
        landmarks=landmarks,
        matrix=pack.matrix[rows],
        photo_size=pack.photo_size[rows],
        mirror=np.asarray(pack.card.landmark_mirror),
        device=device,
    )
    log(f"set on {device} after {time.monotonic() - started:.1f} s")
    inputs = np.asarray([str(name) for name in pack.labels["source"]])[rows]
    native = np.where(np.char.startswith(inputs, SHARP_SOURCES[0]), 256.0, pack.native_px[rows])
    native = np.where(np.char.startswith(inputs, SHARP_SOURCES[1]), 256.0, native)
    native = np.where(np.char.startswith(inputs, BLURRED_SOURCES[0]), 0.0, native)
    return data, pack.card, pack.identity_codes[rows], native


def load_teachers(options: argparse.Namespace, card: object, device: torch.device) -> MeshTeachers:
    features = EfficientNetLite0(FEATURE_STAGES)
    features.load_state_dict(load_file(options.features), strict=False)
    teachers = MeshTeachers(
        card,
        params.mini_256().vector,
        load_sface(),
        load_mesh_shape(),
        load_face_mesh(),
        load_iris(),
        freeze(features),
    )
    for network in (teachers.sface, teachers.shape, teachers.face_mesh, teachers.iris, teachers.features):
        network.to(device).eval().requires_grad_(False)
    for network in (teachers.sface, teachers.features):
        network.to(memory_format=torch.channels_last)
    teachers.region_weights = teachers.region_weights.to(device)
    teachers.crop_to_arcface = teachers.crop_to_arcface.to(device)
    return teachers


def arcface_map(template: str, side: int) -> Tensor:
    """(2, 3) from pixels of a crop reduced to 128 px by block means to ArcFace's 112 px."""
    points = (TEMPLATES[template].scaled(side).points + 0.5) * (REDUCED_PX / side) - 0.5
    return torch.from_numpy(estimate_similarity(points, TEMPLATES["arcface_112"].points).astype(np.float32))


@torch.no_grad()
def embed_all(network: nn.Module, data: ResidentSet, to_arcface: Tensor, batch: int = 256) -> Tensor:
    """(N, D) mean embedding of every crop and its mirror image."""
    found = []
    for start in range(0, len(data), batch):
        rows = torch.arange(start, min(start + batch, len(data)), device=to_arcface.device)
        images = data.images[rows].permute(0, 3, 1, 2).float() / 255.0
        small = nn.functional.avg_pool2d(images, images.shape[-1] // REDUCED_PX)
        faces = resample_affine(small - 0.5, to_arcface, EMBEDDER_SIZE_PX) + 0.5
        vectors = [nn.functional.normalize(network(seen), dim=1) for seen in (faces, faces.flip(3))]
        found.append(nn.functional.normalize(vectors[0] + vectors[1], dim=1))
    return torch.cat(found)


def make_networks(options: argparse.Namespace, device: torch.device, log: Log) -> Networks:
    generator = Generator(params.mini_256())
    weights = renamed(load_file(options.init))
    new = start_from(generator, weights)
    log(f"started from {options.init}; new: {len(new)} tensors")
    fine = create_discriminator(params.patch_discriminator(StepSettings().window_px, 48, (96, 192, 256)))
    coarse = create_discriminator(params.patch_discriminator(REDUCED_PX))
    if options.discriminators:
        state = load_file(options.discriminators)
        for prefix, network in (("fine.", fine), ("coarse.", coarse)):
            network.load_state_dict(
                {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}
            )
    for network in (generator, fine, coarse):
        network.to(device).train().to(memory_format=torch.channels_last)
    return Networks(generator, fine, coarse)


def restore_average(options: argparse.Namespace, step: DeviceStep, log: Log) -> None:
    if options.average:
        state = {name: value.float() for name, value in load_file(options.average).items()}
        step.average.load_state_dict(state)
        log(f"average from {options.average}")
    if options.moments:
        restore_moments(step, load_file(options.moments))


def restore_moments(step: DeviceStep, state: Mapping[str, Tensor]) -> None:
    for name, parameter in step.networks.generator.named_parameters():
        entry = step.generator_adam.state[parameter]
        entry["step"] = torch.tensor(1000.0, device=step.device)
        entry["exp_avg"] = torch.zeros_like(parameter)
        entry["exp_avg_sq"] = state[name].to(parameter).clone(memory_format=torch.preserve_format)


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of the gates of an earlier trial to today's."""
    result = {}
    for name, value in weights.items():
        head, _, rest = name.partition(".")
        result[f"{OLD_GATES[head]}.{rest}" if head in OLD_GATES else name] = value
    return result


# ---- What it leaves.


def save(step: DeviceStep, out: Path, number: int) -> None:
    networks = step.networks
    moments = {
        name: step.generator_adam.state[parameter]["exp_avg_sq"].to(torch.bfloat16)
        for name, parameter in networks.generator.named_parameters()
        if parameter in step.generator_adam.state
    }
    judges = {f"fine.{k}": v for k, v in networks.fine.state_dict().items()}
    judges |= {f"coarse.{k}": v for k, v in networks.coarse.state_dict().items()}
    for name, state, kind in (
        ("average", step.average.state_dict(), torch.float16),
        ("generator", networks.generator.state_dict(), torch.float16),
        ("discriminators", judges, torch.float16),
        ("moments", moments, torch.bfloat16),
    ):
        plain = {key: value.detach().to("cpu", kind).contiguous() for key, value in state.items()}
        temporary = out / f".{name}.tmp"
        save_file(plain, temporary, metadata={"steps": str(number), "generator": "mini_256"})
        temporary.replace(out / f"{name}.safetensors")


class PreviewPairs:
    """The same sharp targets with the same sources, before and after."""

    def __init__(self, step: DeviceStep, sampler: SlotSampler, out: Path) -> None:
        random = np.random.default_rng(5)
        self.step, self.out = step, out
        self.targets = torch.from_numpy(random.permutation(sampler.sharp)[:PREVIEW_PAIRS]).to(step.device)
        self.sources = torch.from_numpy(random.permutation(sampler.size)[:PREVIEW_PAIRS]).to(step.device)

    @torch.no_grad()
    def save(self, name: str) -> None:
        from PIL import Image

        step = self.step
        upright = torch.zeros(len(self.targets), dtype=torch.bool, device=step.device)
        crops = step.data.crops(self.targets, upright)
        vector = step._vector(step.data.coefficients[self.sources], self.sources, crops.coefficients)
        with step._autocast():
            result = step.average(crops.image, vector)
        rows = [
            step.data.crops(self.sources, upright).image,
            crops.image,
            result.image.float().clamp(0, 1),
            result.mask.float().expand(-1, 3, -1, -1),
        ]
        sheet = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
        pixels = (sheet.permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        Image.fromarray(pixels).save(self.out / f"preview-{name}.jpg", quality=88)


class Log:
    def __init__(self, path: Path) -> None:
        self.path, self.started = path, time.monotonic()

    def __call__(self, text: str) -> None:
        line = f"[{time.monotonic() - self.started:7.1f}] {text}"
        print(line, flush=True)
        with self.path.open("a") as file:
            file.write(line + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--set", required=True, help="packed set: a pattern of its parts")
    add("--init", required=True, help="safetensors of a generator: arm F, or an earlier checkpoint")
    add("--average", help="safetensors of the average to go on from")
    add("--discriminators", help="safetensors of both discriminators to go on from")
    add("--moments", help="safetensors of the generator's second moments to go on from")
    add("--second", required=True, help="mobilefacenet.onnx")
    add("--features", required=True, help="safetensors of EfficientNet-lite0, stages 0 to 2")
    add("--out", required=True)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--batch", type=int, default=64)
    add("--minutes", type=float, default=9.0)
    add("--steps", type=int, default=10**9)
    add("--first-step", type=int, default=0)
    add("--warm-up", type=int, default=600, help="steps of the discriminators alone")
    add("--flat-until", type=float, default=0.6, help="share of the time with the full learning rate")
    add("--ramp", type=int, default=1, help="0: adversarial terms at full weight from the start")
    add("--burst", type=int, default=20, help="steps between two looks at the clock")
    add("--log-every", type=float, default=10.0)
    add("--save-every", type=float, default=60.0)
    add("--preview-every", type=float, default=90.0)
    add("--workers", type=int, default=os.cpu_count() or 1)
    add("--photos", type=int, default=0, help="only so many photos, for a rehearsal")
    add("--eager", action="store_true", help="no CUDA graphs")
    add("--seed", type=int, default=1)
    add("--settings", default="{}", help="JSON of StepSettings that differ")
    return parser.parse_args()


if __name__ == "__main__":
    main()
