"""Make the images of README and concepts: three swaps side by side, the steps of one, and a clip with a moving line.

    python tools/make_showcase.py PORTRAITS [--model mini] [--out docs/showcase]

PORTRAITS is a folder with files of the Face Research Lab London Set (DeBruine and Jones, 2017, figshare, CC BY 4.0),
named `001_neutral.jpg`, `001_smiling.jpg` and so on. Needs `ffmpeg` for the camera's movement. What is written carries
the mark of a face swap.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hififace import FaceSwapper, VideoOptions
from hififace.faces.drawing import draw_faces
from hififace.media.image_like import load_image
from hififace.provenance.claim import Claim
from hififace.swap.output import save_image

PAIRS = (("124", "001", 180), ("143", "128", 240), ("025", "100", 240))
"""Source, target, upper edge of the target's square in pixels of its 1350."""
TILE, SQUARE = 420, 860
CLIP, FRAMES, RATE = 400, 36, 12
LINE = (255, 255, 255)


def square(image: Image.Image, top: int) -> Image.Image:
    """The head and shoulders, (TILE, TILE)."""
    left = (image.width - SQUARE) // 2
    return image.crop((left, top, left + SQUARE, top + SQUARE)).resize((TILE, TILE), Image.Resampling.LANCZOS)


def stills(swapper: FaceSwapper, portraits: Path, out: Path) -> Claim:
    """One row for each pair: source, target, result. Returns the claim of the results."""
    sheet = Image.new("RGB", (3 * TILE + 16, len(PAIRS) * (TILE + 8) - 8), LINE)
    for row, (source, target, top) in enumerate(PAIRS):
        swapper.set_source(portraits / f"{source}_neutral.jpg")
        result = swapper.swap(portraits / f"{target}_smiling.jpg")
        shown = (
            square(Image.open(portraits / f"{source}_neutral.jpg").convert("RGB"), 240),
            square(Image.fromarray(result.target.pixels), top),
            square(result.image, top),
        )
        for column, tile in enumerate(shown):
            sheet.paste(tile, (column * (TILE + 8), row * (TILE + 8)))
    held = io.BytesIO()
    sheet.save(held, "PNG")
    like = load_image(held.getvalue())
    save_image(like.pixels, like, out / "portraits.jpg", result.claim, quality=86)
    return result.claim


def steps(swapper: FaceSwapper, portraits: Path, out: Path) -> None:
    """The steps of one swap, from the photos to the result, with a word or two below each."""
    source, target, top = PAIRS[0]
    names = (f"{source}_neutral.jpg", f"{target}_smiling.jpg")
    photos = [np.asarray(Image.open(portraits / name).convert("RGB")) for name in names]
    swapper.set_source(photos[0])
    result = swapper.swap(photos[1])
    (face,) = (one for one in result.faces if one.swapped)
    assert face.target_crop is not None
    assert face.crop is not None
    assert face.mask is not None
    found = [
        draw_faces(photo, swapper.engine.with_landmarks(photo, swapper.find_faces(photo))) for photo in photos
    ]
    mask = Image.fromarray(np.rint(255 * face.mask).astype(np.uint8))
    tiles = (
        ("1, 2  the source: found and encoded", square(Image.fromarray(found[0]), 240)),
        ("1  the target: found", square(Image.fromarray(found[1]), top)),
        ("3  the target: aligned", Image.fromarray(face.target_crop)),
        ("4, 5  generated, with the source's shape and identity", Image.fromarray(face.crop)),
        ("5  the mask that is generated with it", mask.convert("RGB")),
        ("6  blended with the mask", square(result.image, top)),
    )
    font, below = ImageFont.load_default(17), 34
    sheet = Image.new("RGB", (3 * TILE + 16, 2 * (TILE + below) + 4), LINE)
    draw = ImageDraw.Draw(sheet)
    for place, (told, tile) in enumerate(tiles):
        x, y = place % 3 * (TILE + 8), place // 3 * (TILE + below + 4)
        sheet.paste(tile.resize((TILE, TILE), Image.Resampling.LANCZOS), (x, y))
        draw.text((x + 2, y + TILE + 6), told, font=font, fill=(40, 40, 40))
    held = io.BytesIO()
    sheet.save(held, "PNG")
    like = load_image(held.getvalue())
    save_image(like.pixels, like, out / "steps.jpg", result.claim, quality=86)


def moving(photo: Path, top: int, path: Path) -> None:
    """A clip of three seconds in which the camera turns, pans and zooms over a photo."""
    turn = f"2*PI*t*{RATE}/{FRAMES}"
    chain = (
        f"rotate=a='0.10*sin({turn})':c=0xd0d2d2:ow=iw:oh=ih,"
        f"crop={SQUARE}:{SQUARE}:x='(iw-{SQUARE})/2+70*sin({turn})':y='{top}+25*cos({turn})',"
        f"zoompan=z='1.12+0.10*sin(2*PI*on/{FRAMES})':x='iw/2-(iw/zoom/2)':y='ih/2-(ih/zoom/2)':d=1:"
        f"s=480x480:fps={RATE},format=yuv420p"
    )
    command = ["ffmpeg", "-v", "error", "-y", "-loop", "1", "-i", str(photo), "-r", str(RATE), "-vf", chain]
    subprocess.run(
        [*command, "-frames:v", str(FRAMES), "-c:v", "libx264", "-crf", "12", str(path)], check=True
    )


def frames_of(path: Path) -> list[Image.Image]:
    """All frames of a clip, (CLIP, CLIP) each."""
    with av.open(str(path)) as container:
        return [
            frame.to_image().resize((CLIP, CLIP), Image.Resampling.LANCZOS)
            for frame in container.decode(video=0)
        ]


def wiped(target: Image.Image, result: Image.Image, source: Image.Image, share: float) -> Image.Image:
    """The target right of a line, the result left of it, and the source in a corner."""
    image, edge = target.copy(), round(share * CLIP)
    image.paste(result.crop((0, 0, edge, CLIP)), (0, 0))
    draw = ImageDraw.Draw(image)
    draw.line([(edge, 0), (edge, CLIP)], fill=LINE, width=3)
    small = source.resize((92, 92), Image.Resampling.LANCZOS)
    draw.rectangle([5, CLIP - 99, 100, CLIP - 4], fill=LINE)
    image.paste(small, (7, CLIP - 97))
    font = ImageFont.load_default(15)
    for text, place in (("face swap", (8, 6)), ("target", (CLIP - 52, 6))):
        draw.text(place, text, font=font, fill=(40, 40, 40))
    return image


def clip(swapper: FaceSwapper, portraits: Path, out: Path, claim: Claim, work: Path) -> None:
    """An animated WebP: three moving portraits, a line between result and target sweeping over each."""
    shown = []
    for source, target, top in PAIRS:
        swapper.set_source(portraits / f"{source}_neutral.jpg")
        moving(portraits / f"{target}_smiling.jpg", top, work / f"{target}.mp4")
        swapper.swap_video(
            work / f"{target}.mp4", work / f"{target}-out.mp4", video_options=VideoOptions(crf=12)
        )
        face = square(Image.open(portraits / f"{source}_neutral.jpg").convert("RGB"), 240)
        pairs = zip(frames_of(work / f"{target}.mp4"), frames_of(work / f"{target}-out.mp4"), strict=True)
        for at, (before, after) in enumerate(pairs):
            share = min(1.0, max(0.0, 1.3 * at / (FRAMES - 1) - 0.05))
            shown.append(wiped(before, after, face, share))
    first, *rest = shown
    first.save(
        out / "clip.webp", save_all=True, append_images=rest, duration=round(1000 / RATE), loop=0, quality=62,
        method=6, xmp=claim.to_xmp(),
    )  # fmt: skip


def main() -> None:
    """Read the arguments and write the files."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("portraits", type=Path)
    reader.add_argument("--model", default="mini")
    reader.add_argument("--out", type=Path, default=Path("docs/showcase"))
    asked = reader.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("ffmpeg was not found; the clip's camera movement needs it. Install it and try again.")
    asked.out.mkdir(parents=True, exist_ok=True)
    swapper = FaceSwapper.load(asked.model)
    claim = stills(swapper, asked.portraits, asked.out)
    steps(swapper, asked.portraits, asked.out)
    with tempfile.TemporaryDirectory() as work:
        clip(swapper, asked.portraits, asked.out, claim, Path(work))
    for path in sorted(asked.out.iterdir()):
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
