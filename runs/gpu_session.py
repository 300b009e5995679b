"""A short training session on a machine with a GPU, no network and little time: everything lies in one folder.

Here, where there is a network (docs/how-to/gpu-session.md):

    python runs/gpu_session.py pack CARRY PACK... --held-out PACK --init-from mini --loss-networks FOLDER \
        --preset mini_256 --set warm_up_steps=500

There, with PyTorch installed and nothing else:

    python3 CARRY/gpu_session.py go --minutes 10 --out OUT

`go` installs the wheels beside it into a folder of its own, checks for about two minutes (every file's hash, the
losses of the first step against those that the CPU found while packing, pairs a second), trains until a minute before
the end, and leaves in OUT: checkpoints in files of at most 15 MB, the best one, previews, stats.jsonl and session.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
NOT_CARRIED = (
    "torch",
    "onnx",
    "onnxscript",
    "tensorboard",
    "pyarrow",
    "scipy",
    "av",
    "c2pa-python",
    "cryptography",
)
"""Requirements that training from packed sets does not import, and PyTorch, which the machine has."""
CHECK_STEPS = 20
CHECK_BATCH = 8
LARGEST_DIFFERENCE = 0.02
"""Relative, of a loss of the first step: float32 here against bfloat16 there."""
COMPARED = ("reconstruction", "segmentation", "colour", "outline", "inside", "cosine_0")
MARGIN_S = 60.0
PART_MB = 15.0


def main() -> None:
    """Packs, or goes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="gather everything in one folder, here")
    pack.add_argument("carry", type=Path)
    pack.add_argument("sets", type=Path, nargs="+", help="parts of a packed set (`hififace pack`)")
    pack.add_argument("--held-out", type=Path, nargs="*", default=[])
    pack.add_argument("--preset", default="mini_256")
    pack.add_argument("--config", type=Path, help="a run's config.json, in the place of the preset")
    pack.add_argument("--set", dest="overrides", action="append", default=[], help="section.name=value")
    pack.add_argument("--init-from", help="a bundle that ships, or a file or folder, which is carried along")
    pack.add_argument("--discriminators", type=Path)
    pack.add_argument("--loss-networks", type=Path, help="folder of EfficientNet's and MobileFaceNet's files")
    pack.add_argument("--wheels", type=Path, help="folder of ready wheels; otherwise pip downloads them")
    pack.add_argument("--python", default="3.12", help="version there")
    pack.add_argument("--platform", default="manylinux2014_x86_64")
    go = commands.add_parser("go", help="install, check, train, gather the results, there")
    go.add_argument("--minutes", type=float, required=True, help="from now until the machine is gone")
    go.add_argument("--out", type=Path, required=True)
    go.add_argument("--device", default="cuda")
    go.add_argument(
        "--least-speed", type=float, default=0.0, help="pairs a second below which nothing is trained"
    )
    go.add_argument("--steps", type=int, help="stop after so many steps: for a rehearsal")
    go.add_argument("--installed", action="store_true", help="hififace is installed already")
    options = parser.parse_args()
    if options.command == "pack":
        pack_session(options)
    else:
        run_session(options, time.monotonic() + options.minutes * 60.0)


# ---- Here.


def pack_session(options: argparse.Namespace) -> None:
    """Writes the folder that is carried."""
    from hififace.training.config import parse_config, with_overrides
    from hififace.training.device_config import DEVICE_PRESETS, DeviceConfig

    carry = options.carry
    carry.mkdir(parents=True)
    config = (
        parse_config(json.loads(options.config.read_text()), DeviceConfig)
        if options.config
        else DEVICE_PRESETS[options.preset]()
    )
    config = with_overrides(config, [f"checkpoint_part_mb={PART_MB}", *options.overrides])
    plan = {"config": config.model_dump(mode="json"), "init_from": None, "discriminators": None}
    plan["sets"] = [_carry(path, carry / "sets") for path in options.sets]
    plan["held_out"] = [_carry(path, carry / "held-out") for path in options.held_out]
    if options.init_from is not None:
        where = Path(options.init_from)
        plan["init_from"] = _carry(where, carry / "start") if where.exists() else options.init_from
    if options.discriminators is not None:
        plan["discriminators"] = _carry(options.discriminators, carry / "start")
    plan["loss_networks"] = "loss-networks"
    (carry / "loss-networks").mkdir()
    for name in _loss_network_files():
        for folder in filter(None, (options.loss_networks, _own_models())):
            if (folder / name).is_file():
                shutil.copy2(folder / name, carry / "loss-networks" / name)
                break
    _gather_wheels(options, carry / "wheels")
    shutil.copy2(HERE, carry / HERE.name)
    (carry / "plan.json").write_text(json.dumps(plan, indent=1))
    losses, _ = first_losses(carry, "cpu")
    (carry / "expected.json").write_text(json.dumps(losses, indent=1))
    files = sorted(path for path in carry.rglob("*") if path.is_file())
    hashes = {str(path.relative_to(carry)): _sha256(path) for path in files}
    (carry / "SHA256.json").write_text(json.dumps(hashes, indent=1))
    size = sum(path.stat().st_size for path in files) / 1e6
    command = f"python3 {carry.name}/{HERE.name} go --minutes 10 --out OUT"
    print(f"{carry}: {len(files)} files, {size:.1f} MB. There: {command}")


def _carry(path: Path, folder: Path) -> str:
    """Copies a file or a folder; returns its place within the carried folder."""
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copy2(path, target)
    return str(target.relative_to(folder.parent))


def _loss_network_files() -> list[str]:
    from hififace.weights.registry import find_card

    return [find_card(name).filename for name in ("efficientnet_lite0", "mobilefacenet")]


def _own_models() -> Path:
    from hififace.weights.store import model_dir

    return model_dir()


def _gather_wheels(options: argparse.Namespace, folder: Path) -> None:
    """The project's own wheel, and what it needs beside PyTorch."""
    folder.mkdir()
    if options.wheels is not None:
        for wheel in options.wheels.glob("*.whl"):
            shutil.copy2(wheel, folder)
        return
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    wanted = [each for each in wanted if each.split(">")[0].split("[")[0].strip() not in NOT_CARRIED]
    there = ["--python-version", options.python, "--platform", options.platform, "--only-binary", ":all:"]
    subprocess.run([*pip, "download", "--dest", str(folder), *there, *wanted], check=True)


# ---- There.


def run_session(options: argparse.Namespace, end: float) -> None:
    """Installs, checks, trains and gathers."""
    carry = HERE.parent
    if not options.installed:
        site = options.out.resolve() / "site"
        _install(carry / "wheels", site)
        again = [sys.executable, str(HERE), *sys.argv[1:], "--installed"]
        left = max(0.1, (end - time.monotonic()) / 60.0)
        again[again.index("--minutes") + 1] = f"{left:.3f}"
        place = {
            **os.environ,
            "PYTHONPATH": str(site),
            "PYTHONUNBUFFERED": "1",
            "HIFIFACE_HOME": str(site / "home"),
        }
        code = subprocess.run(again, env=place, check=False).returncode
        shutil.rmtree(site, ignore_errors=True)
        sys.exit(code)
    begun = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    session = {"python": sys.version.split()[0]}
    _check_hashes(carry)
    session |= _check(carry, options)
    session["check_s"] = round(time.monotonic() - begun, 1)
    _note(options.out, session)
    minutes = (end - time.monotonic() - MARGIN_S) / 60.0
    if minutes <= 0 and options.steps is None:
        raise SystemExit("There is no time left to train: give more --minutes.")
    progress = _train(carry, options, minutes if options.steps is None else None)
    session |= {
        "images": progress.images,
        "steps": progress.steps,
        "train_minutes": round(max(minutes, 0.0), 2),
    }
    _note(options.out, session)
    print(json.dumps(session, indent=1))


def _install(wheels: Path, site: Path) -> None:
    site.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    files = [str(wheel) for wheel in sorted(wheels.glob("*.whl"))]
    subprocess.run([*command, "--upgrade", "--target", str(site), *files], check=True)


def _check_hashes(carry: Path) -> None:
    hashes = json.loads((carry / "SHA256.json").read_text())
    wrong = [name for name, value in hashes.items() if _sha256(carry / name) != value]
    if wrong:
        raise SystemExit(f"Not as they were packed: {', '.join(wrong)}. Carry them again.")


def _check(carry: Path, options: argparse.Namespace) -> dict:
    """The device, the losses of the first step against the CPU's, and pairs a second of a small batch."""
    import torch

    found, speed = first_losses(carry, options.device)
    expected = json.loads((carry / "expected.json").read_text())
    differences = {
        name: abs(found[name] - expected[name]) / max(abs(expected[name]), 1e-2) for name in COMPARED
    }
    worst = max(differences, key=lambda name: differences[name])
    cuda = options.device.startswith("cuda")
    card = torch.cuda.get_device_name(options.device) if cuda else "CPU"
    print(
        f"{card}: {speed:.1f} pairs/s at batch {CHECK_BATCH}; {worst} differs by {differences[worst]:.1%} at most"
    )
    if not differences[worst] <= LARGEST_DIFFERENCE:
        raise SystemExit(
            f"'{worst}' is {found[worst]:.5f} here and was {expected[worst]:.5f} on the CPU that packed this: nothing "
            "is trained."
        )
    if speed < options.least_speed:
        raise SystemExit(
            f"{speed:.1f} pairs/s, and {options.least_speed:g} were asked for: nothing is trained."
        )
    return {"card": card, "torch": torch.__version__, "pairs_per_s_at_check": round(speed, 2)}


def first_losses(carry: Path, device: str) -> tuple[dict[str, float], float]:
    """Losses of the first step at rates of zero, everything that is drawn switched off, and pairs/s of a few more."""
    from dataclasses import replace

    import torch

    from hififace.data.slots import Slots
    from hififace.training.config import parse_config
    from hififace.training.device_config import DeviceConfig
    from hififace.training.device_photos import load_photos
    from hififace.training.device_setup import make_step
    from hififace.training.run_options import RunOptions

    plan = json.loads((carry / "plan.json").read_text())
    config = parse_config(plan["config"], DeviceConfig)
    still = replace(
        config.step, occluded=0.0, dimmed=0.0, warp=(0.0, 0.0), identity_jitter=0.0, mesh_jitter=0.0
    )
    config = config.model_copy(update={"step": still, "batch_size": CHECK_BATCH, "recognisers": ()})
    where = torch.device(device)
    torch.manual_seed(config.seed)
    photos = load_photos([carry / name for name in plan["sets"][:1]], config, where)
    files = carry / plan["loss_networks"]
    step = make_step(
        config, photos, where, RunOptions(init_from=_start(carry, plan), loss_network_files=files)
    )
    step.set_rates(0.0, 0.0, 1.0)
    rows = torch.from_numpy(photos.sampler.table(0, 1 + CHECK_STEPS, Slots(CHECK_BATCH)).packed()).to(where)
    step.run(rows[0], 1)
    losses = step.read_stats()
    steps = CHECK_STEPS if where.type == "cuda" else 1
    begun = time.perf_counter()
    for number in range(1, 1 + steps):
        step.run(rows[number], number)
    step.read_stats()  # waits for the device
    return losses, steps * CHECK_BATCH / (time.perf_counter() - begun)


def _start(carry: Path, plan: dict) -> Path | None:
    start = plan["init_from"]
    if start is None:
        return None
    return carry / start if (carry / start).exists() else Path(start)


def _train(carry: Path, options: argparse.Namespace, minutes: float | None):
    from hififace.training.config import parse_config
    from hififace.training.device_config import DeviceConfig
    from hififace.training.device_loop import train_on_device
    from hififace.training.run_options import RunOptions

    plan = json.loads((carry / "plan.json").read_text())
    config = parse_config(plan["config"], DeviceConfig)
    return train_on_device(
        config,
        [carry / name for name in plan["sets"]],
        options.out / "run",
        RunOptions(
            device=options.device,
            init_from=_start(carry, plan),
            discriminators=carry / plan["discriminators"] if plan["discriminators"] else None,
            loss_network_files=carry / plan["loss_networks"],
            held_out=tuple(carry / name for name in plan["held_out"]),
            stop_after_minutes=minutes,
            stop_after_images=None if options.steps is None else options.steps * config.batch_size,
            report=lambda progress, values: print(
                progress.steps, {name: round(float(value), 4) for name, value in values.items()}, flush=True
            ),
        ),
    )


def _note(out: Path, session: dict) -> None:
    (out / "session.json").write_text(json.dumps(session, indent=1))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else _long_way(file)
        )


def _long_way(file) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    main()
