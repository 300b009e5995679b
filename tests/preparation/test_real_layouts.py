"""Sets in the folders of VGGFace2-HQ and Asia-Celeb, with the faults that real ones have."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import pytest
from preparation_doubles import double_factory, make_image, png, save

from hififace.data.index import PreparedSet
from hififace.errors import DataError, OptionError
from hififace.faces.templates import find_template
from hififace.preparation.build import PrepareOptions, prepare_set
from hififace.preparation.sources import open_inputs

OPTIONS = PrepareOptions(resolution=64, photos_per_shard=20, template="frontal_256")
SIDE = 96


def rejected(folder: Path) -> dict[str, str]:
    with (folder / "rejected.csv").open() as file:
        return {row["source"]: row["reason"] for row in csv.DictReader(file)}


def test_vggface2_hq_as_it_is_unpacked(tmp_path):
    """One folder n000002 for each person below the folder of the archive; names of photos repeat between people."""
    root = tmp_path / "VGGface2_None_norm_512_true_bygfpgan"
    for person in range(4):
        for photo in range(8):
            image = make_image(person, photo, texture=20 * person + photo)
            save(root / f"n{person:06d}" / f"{photo:04d}_01.jpg", image)
    first = root / "n000000"
    (first / "0100_01.jpg").write_bytes(b"")  # of nought bytes
    (first / "0101_01.jpg").write_bytes(png(make_image())[:300])  # cut short
    (first / "0102_01.jpg").write_bytes(b"<html>quota exceeded</html>")  # what a drive says instead
    save(first / "0103_01.jpg", make_image(0, 3, texture=3))  # the same photo again
    save(first / "0104_01.jpg", make_image(2, 40, texture=700))  # another person's
    save(root / "n000009" / "0001_01.jpg", make_image(3, 60, texture=800))  # alone in its folder
    for junk in ("Thumbs.db", ".DS_Store", "._0001_01.jpg", "list.csv"):
        (first / junk).write_bytes(b"junk")
    (root / "n000010").mkdir()  # empty
    save(root / "__MACOSX" / "n000000" / "0001_01.jpg", make_image(1, 1))
    prepare_set([root], tmp_path / "set", OPTIONS, factory=double_factory)
    prepared = PreparedSet.open(tmp_path / "set")
    people = {f"{root.name}/n{n:06d}" for n in (0, 1, 2, 3, 9)}
    assert set(prepared.columns["identity"]) == people
    assert len(prepared) == 33
    assert prepared.card.template == "frontal_256"
    found = rejected(tmp_path / "set")
    duplicate = {name for name, reason in found.items() if reason == "near-duplicate"}
    assert len(duplicate) == 1
    assert duplicate <= {f"{root.name}/n000000/{name}_01.jpg" for name in ("0003", "0103")}
    assert {name: reason for name, reason in found.items() if name not in duplicate} == {
        f"{root.name}/n000000/0100_01.jpg": "unreadable",
        f"{root.name}/n000000/0101_01.jpg": "unreadable",
        f"{root.name}/n000000/0102_01.jpg": "unreadable",
        f"{root.name}/n000000/0104_01.jpg": "not the same person",
    }


def points_line(dx: float = 0.0) -> str:
    """Five points as the frontal template lies in a photo of 96 px, moved."""
    template = find_template("frontal_256")
    points = template.points * SIDE / template.size
    return " ".join(f"{x + dx:.1f} {y:.1f}" for x, y in points)


def write_celebrity(folder: Path) -> tuple[Path, list[str]]:
    """train_celebrity.tar.gz of three people, and the lines of its list."""
    path, lines = folder / "train_celebrity.tar.gz", []
    with tarfile.open(path, "w:gz") as archive:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

        for person in range(3):
            for photo in range(6):
                name = f"celebrity/{86876 + person}/{photo:032x}.jpg"
                add(name, png(make_image(person, photo, size=SIDE, texture=20 * person + photo)))
                lines.append(f"{name} {86876 + person} {points_line()}")
        for place, (data, points) in enumerate(
            [
                (png(make_image(0, 50, texture=500))[:200], points_line()),  # damaged
                (png(make_image(0, 51, texture=501)), "nan " * 9 + "nan"),  # no numbers
                (png(make_image(0, 52, texture=502)), "40 40 " * 4 + "40 40"),  # one spot
                (png(make_image(0, 53, texture=503)), "9000 10 9100 10 9050 50 9000 90 9100 90"),  # elsewhere
            ]
        ):
            add(f"celebrity/86876/bad{place}.jpg", data)
            lines.append(f"celebrity/86876/bad{place}.jpg 86876 {points}")
        add("celebrity/86876/unlisted.jpg", png(make_image(0, 54, texture=504)))
        add("celebrity/readme.md", b"#")
    lines.append(f"celebrity/99999/lost.jpg 99999 {points_line()}")  # in the list alone
    return path, lines


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_asia_celeb_as_it_is_published(tmp_path, packed):
    """Its list is `celebrity_lmk`, without an ending, or still packed."""
    archive, lines = write_celebrity(tmp_path)
    landmarks = tmp_path / "celebrity_lmk"
    text = ("\n".join(lines) + "\n").encode()
    if packed:
        landmarks = tmp_path / "celebrity_lmk.tar.gz"
        with tarfile.open(landmarks, "w:gz") as list_archive:
            info = tarfile.TarInfo("celebrity_lmk")
            info.size = len(text)
            list_archive.addfile(info, io.BytesIO(text))
    else:
        landmarks.write_bytes(text)
    prepare_set([archive, landmarks], tmp_path / "set", OPTIONS, factory=double_factory)
    prepared = PreparedSet.open(tmp_path / "set")
    assert set(prepared.columns["identity"]) == {f"train_celebrity/{86876 + n}" for n in range(3)}
    assert len(prepared) == 18
    found = {name.rsplit("/", 1)[1]: reason for name, reason in rejected(tmp_path / "set").items()}
    assert found == {
        "bad0.jpg": "unreadable",
        "bad1.jpg": "no face",
        "bad2.jpg": "no face",
        "bad3.jpg": "face cut off",
    }


def test_the_unpacked_folder_takes_the_same_list(tmp_path):
    archive, lines = write_celebrity(tmp_path)
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    (tmp_path / "celebrity_lmk").write_text("\n".join(lines))
    (source,) = open_inputs([tmp_path / "unpacked" / "celebrity", tmp_path / "celebrity_lmk"])
    photos = {photo.source: photo for photo in source.photos()}
    assert photos[f"celebrity/86877/{0:032x}.jpg"].points is not None
    assert photos[f"celebrity/86877/{0:032x}.jpg"].identity == "celebrity/86877"
    assert photos["celebrity/86876/unlisted.jpg"].points is None  # detected then


def test_a_packed_list_that_is_none_is_told(tmp_path):
    archive, _ = write_celebrity(tmp_path)
    with tarfile.open(tmp_path / "celebrity_lmk.tar.gz", "w:gz"):
        pass
    with pytest.raises(DataError, match="it holds no file"):
        open_inputs([archive, tmp_path / "celebrity_lmk.tar.gz"])
    (tmp_path / "msra_lmk").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="msra_lmk cannot be read"):
        open_inputs([archive, tmp_path / "msra_lmk"])
    (tmp_path / "celebrity_lmk").write_text(f"a.jpg 1 {points_line()}")
    with pytest.raises(OptionError, match="2 landmark lists"):
        open_inputs([archive, tmp_path / "celebrity_lmk", tmp_path / "msra_lmk"])
