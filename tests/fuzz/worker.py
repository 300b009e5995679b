"""Works through files that its parent names, one line each, and answers each with one line of JSON.

A process of its own, because a damaged file may crash or hang a decoder: the parent then knows which file it was.
"""

from __future__ import annotations

import json
import shutil
import sys
import traceback
import warnings
from pathlib import Path

from hififace import FaceSwapper
from hififace.cli.main import set_up_logging
from hififace.errors import HififaceError
from hififace.provenance.verify import check_file

ROOT = Path(__file__).parents[2]


def attempt(swapper: FaceSwapper, path: Path, results: Path) -> str:
    """What people do with a file: ask for its marks, swap it, ask for the marks of the result."""
    said = []
    try:
        said.append("marked" if check_file(path).marked else "unmarked")
    except HififaceError as error:
        said.append(f"verify: {error}")
    # Some containers are read but not written.
    output = results / (path.name + ".mkv" if path.suffix in {".flv", ".mpg"} else path.name)
    try:
        if path.name.startswith("video"):
            swapper.swap_video(path, output)
        else:
            swapper.swap(path).save(output)
    except HififaceError as error:
        said.append(f"swap: {error}")
    else:
        said.append("swapped")
        if not check_file(output).marked:
            raise AssertionError(f"{output} was written without a mark")
    # A video that failed may be gone on with: its unfinished work is kept on purpose.
    leftovers = [left for left in results.iterdir() if left != output]
    for left in (output, *leftovers):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
    strange = [left.name for left in leftovers if not left.name.endswith(".unfinished")]
    if strange:
        raise AssertionError(f"left behind: {strange}")
    return "; ".join(said)


def main() -> None:
    """Until the input ends."""
    results = Path(sys.argv[1])
    set_up_logging(verbose=False)
    warnings.simplefilter("ignore")
    swapper = FaceSwapper.load("mini", threads=1)
    swapper.set_source(ROOT / "examples" / "officer.jpg")
    for line in sys.stdin:
        try:
            answer = {"said": attempt(swapper, Path(line.rstrip("\n")), results)}
        except BaseException:  # noqa: BLE001 - whatever it is, it is what this looks for
            answer = {"traceback": traceback.format_exc()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
