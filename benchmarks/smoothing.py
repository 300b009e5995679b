"""How much jitter the smoothing of faces takes away, and how far it lags behind.

    python benchmarks/smoothing.py

A made-up face of 200 px with the 468 points' noise of a real landmarker (1 px standard deviation), 30 frames per
second, fixed seed: numbers are the same on every machine. Still face: jitter is the standard deviation of the steps
from frame to frame, after by before. Moving face: lag is the mean distance behind the truth, divided by the speed.
Talking: the mouth's points swing at 3 Hz in a still head; error is root mean square, after and before.

Masks: a made-up one of 128 px whose rim trembles by 1 px and whose values by 0.03 (standard deviations). Jitter as
above; hand: how much of a mask that a hand takes away within one frame is still there in that frame and in the next.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from numpy.typing import NDArray

from hififace.video.mask_smoothing import MaskSmoother, MaskSmoothingOptions
from hififace.video.smoothing import PointSmoother, SmoothingOptions, face_size

SIZE_PX, NOISE_PX, RATE, SECONDS, WARM_UP = 200.0, 1.0, 30, 10, 60


def video(speed: float = 0.0, talking: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(T, 5, 2) true and (T, 5, 2) measured points; speed in face sizes per second, talking as a share of the size."""
    times = np.arange(SECONDS * RATE) / RATE
    shape = np.array([[-0.5, -0.5], [0.5, -0.5], [0.0, 0.0], [-0.4, 0.6], [0.4, 0.6]])
    shape *= SIZE_PX / face_size(shape)
    true = shape + np.stack([speed * SIZE_PX * times, 0 * times], axis=1)[:, None]
    true[:, 3:, 1] += talking * SIZE_PX * np.sin(2 * np.pi * 3.0 * times)[:, None]
    return true, true + np.random.default_rng(0).normal(0.0, NOISE_PX, true.shape)


def smoothed(measured: NDArray[np.float64], options: SmoothingOptions) -> NDArray[np.float64]:
    """(T, 5, 2) after the filter."""
    smoother = PointSmoother(options)
    points = [smoother.update(p, i / RATE) for i, p in enumerate(measured)]
    return np.stack([p for p in points if p is not None])


def measure(options: SmoothingOptions) -> dict[str, float]:
    """All numbers for one setting."""
    true, noisy = video()
    after = smoothed(noisy, options)[WARM_UP:]
    numbers = {
        "jitter_left": float(np.diff(after, axis=0).std() / np.diff(noisy[WARM_UP:], axis=0).std()),
        "still_error_px": float(np.sqrt(((after - true[WARM_UP:]) ** 2).sum(-1).mean())),
        "still_error_before_px": float(np.sqrt(((noisy - true)[WARM_UP:] ** 2).sum(-1).mean())),
    }
    for speed in (0.1, 0.25, 0.5, 1.0, 2.0):
        true, noisy = video(speed)
        behind = (true - smoothed(noisy, options))[WARM_UP:, :, 0].mean()
        numbers[f"lag_ms_at_{speed:g}_sizes_per_s"] = float(behind / (speed * SIZE_PX) * 1000.0)
    true, noisy = video(talking=0.05)
    error = (smoothed(noisy, options) - true)[WARM_UP:, 3:]
    numbers["talking_error_px"] = float(np.sqrt((error**2).sum(-1).mean()))
    numbers["talking_error_before_px"] = float(np.sqrt(((noisy - true)[WARM_UP:, 3:] ** 2).sum(-1).mean()))
    return numbers


def measure_masks(options: MaskSmoothingOptions) -> dict[str, float]:
    """The numbers for masks."""
    rng = np.random.default_rng(0)
    side, num = 128, SECONDS * RATE
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    distance = np.hypot(x, y * 0.8)

    def mask() -> NDArray[np.float64]:
        rim = np.clip((40.0 + rng.normal(0, 1) - distance) / 8 + 0.5, 0, 1)
        return np.asarray(np.clip(rim + rng.normal(0, 0.03, rim.shape), 0, 1))

    smoother = MaskSmoother(options)
    raw = [mask() for _ in range(num)]
    after = np.stack([smoother.update(one, i / RATE) for i, one in enumerate(raw)])[WARM_UP:]
    hand = distance < 30
    hand[:, : side // 2] = False
    middle = hand & (x > 8)
    left = []
    for number in range(num, num + 2):
        hidden = mask()
        hidden[hand] = 0.0
        left.append(float(smoother.update(hidden, number / RATE)[middle].mean()))
    return {
        "mask_jitter_left": float(np.diff(after, axis=0).std() / np.diff(raw[WARM_UP:], axis=0).std()),
        "mask_left_of_a_hand_at_once": left[0],
        "mask_left_of_a_hand_one_frame_later": left[1],
    }


def main() -> None:
    defaults = SmoothingOptions()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("min_cutoff_hz", "beta", "speed_cutoff_hz", "dead_speed", "own_dead_speed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults, name))
    numbers = measure(SmoothingOptions(**vars(parser.parse_args()))) | measure_masks(MaskSmoothingOptions())
    print(json.dumps({name: round(value, 3) for name, value in numbers.items()}, indent=2))


if __name__ == "__main__":
    main()
