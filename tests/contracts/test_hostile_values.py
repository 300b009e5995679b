"""Values that no honest file or person gives: each is a sentence, wherever it is met."""

from __future__ import annotations

import io
import json
import tarfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.bundle_doubles import write_mesh_bundle
from tests.support.set_doubles import make_set

from hififace import BundleError, OptionError, SwapOptions, WeightsError
from hififace.cli import main as cli
from hififace.cli.video import parse_rate, parse_seconds
from hififace.data.index import INDEX_NAME, PreparedSet
from hififace.data.shards import unpack_arrays
from hififace.errors import DataError
from hififace.json_values import parse_json, parse_json_object
from hififace.swap.options import parse_selection
from hififace.video.options import VideoOptions
from hififace.weights.bundle import MANIFEST_NAME, load_bundle
from hififace.weights.sessions import Session

DEEP = "[" * 200_000


def test_deep_json_is_a_value_error():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)
    with pytest.raises(ValueError, match="holds a list"):
        parse_json_object("[]")


@pytest.mark.parametrize("text", [DEEP, "[]", "null", '"x"', "{", "\ud800", '{"schema_version": 1e999}'])
def test_a_manifest_of_any_content_is_a_sentence(tmp_path: Path, text: str):
    folder = write_mesh_bundle(tmp_path / "double").folder
    (folder / MANIFEST_NAME).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(BundleError):
        load_bundle(folder)


@pytest.mark.parametrize("text", [DEEP, "[]", "3", "{", '{"schema_version": []}'])
def test_a_checkpoint_s_state_of_any_content_is_a_sentence(tmp_path: Path, text: str):
    from hififace.errors import TrainingError
    from hififace.training.checkpoint import read_state

    (tmp_path / "state.json").write_text(text)
    with pytest.raises(TrainingError):
        read_state(tmp_path)


@pytest.mark.parametrize("text", ["inf", "nan", "-1", "1e400", "1:inf", "", "1:2:3:4", "²", "1e12"])
def test_seconds(text: str):
    with pytest.raises(OptionError, match="--start"):
        parse_seconds(text, "--start")


@pytest.mark.parametrize(
    "text", ["1e-300", "1e999999999", "inf", "nan", "-3", "0", "1/0", "²", "9" * 5000, "1e9", "1001"]
)
def test_rates(text: str):
    with pytest.raises(OptionError, match="--fps"):
        parse_rate(text)


def test_ordinary_rates():
    assert [parse_rate(text) for text in ("24", "29.97", "30000/1001", "0.5", "12.5")] == [
        24, Fraction(30000, 1001), Fraction(30000, 1001), Fraction(1, 2), Fraction(25, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [{"start_s": float("inf")}, {"end_s": float("nan")}, {"start_s": -1.0}, {"fps": Fraction(1, 10**300)},
     {"fps": Fraction(10**6)}, {"crf": float("inf")}, {"preview_s": float("nan")}],
)  # fmt: skip
def test_video_options(fields: dict[str, Any]):
    with pytest.raises(OptionError, match=next(iter(fields))):
        VideoOptions(**fields)


@pytest.mark.parametrize("text", ["²", "1,²", "9" * 5000])
def test_what_only_looks_like_a_number_is_none(text: str):
    with pytest.raises(OptionError, match="numbers of faces or the path of a reference photo"):
        parse_selection(text)
    assert parse_selection("0, 2") == (0, 2)


@pytest.mark.parametrize(
    "words", [["--source-face", "²"], ["--fps", "1e-300"], ["--start", "inf"], ["--map", "²=me.jpg"]]
)
def test_the_command_line_says_it(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["swap", "nobody.jpg", "nothing.jpg", "-o", str(tmp_path / "o.jpg"), *words])
    assert ended.value.code in {1, 2}
    assert capsys.readouterr().err.startswith("hififace: ")


class Tensor:
    name, shape, type = "image", (1,), "tensor(float)"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_graph_that_returns_no_numbers(value: float):
    class Graph:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

        def get_inputs(self) -> list[Any]:
            return []

        get_outputs = lambda self: [Tensor()]  # noqa: E731

        def run(self, *_: Any) -> list[Any]:
            return [np.array([0.5, value, 3e38, 3e38], np.float32)]

    with pytest.raises(WeightsError, match=r"odd\.onnx returned NaN or infinite values"):
        Session(Graph(), reason="", threads=1, name="odd.onnx").run({})


def test_large_numbers_are_numbers():
    from hififace.weights.sessions import _is_finite

    assert _is_finite(np.full(100, 3e38, np.float32))
    assert _is_finite(np.array([2**62]))
    assert not _is_finite(np.array([np.nan], np.float16))


@pytest.mark.parametrize(
    "header",
    [b"[1]", b"{'descr': '<f4', 'shape': (10**12,)}", b"{'descr': 'O', 'shape': (1,)}", b"{'descr': {}, 'shape': ()}",
     b"{'descr': '<f4', 'shape': 'x'}", b"(" * 5000, b"{'descr': '<f4', 'shape': (-1, 2)}", b"\xff\xfe"],
)  # fmt: skip
def test_a_garbled_array_is_a_sentence(header: bytes):
    import struct

    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64)
    name = b"a.npy"
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, len(npy), len(npy), len(name), 0)
    with pytest.raises(DataError, match="cannot be read"):
        unpack_arrays(local + name + npy)


@pytest.mark.parametrize(
    ("column", "value"),
    [("shard", 7), ("shard", -1), ("jpg_offset", -512), ("jpg_size", 0), ("npz_size", 2**30), ("json_size", None),
     ("mask_offset", 2**62)],
)  # fmt: skip
def test_an_index_that_points_elsewhere_is_a_sentence(tmp_path: Path, column: str, value: int | None):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    folder = make_set(tmp_path / "set", ["a", "a", "b"])
    PreparedSet.open(folder)
    table = parquet.read_table(folder / INDEX_NAME)
    place = table.column_names.index(column)
    values = table.column(column).to_pylist()
    values[0] = value
    table = table.set_column(place, column, pa.array(values, pa.int64()))
    parquet.write_table(table, folder / INDEX_NAME)
    with pytest.raises(DataError, match="index"):
        PreparedSet.open(folder)


def test_options_refuse_values_that_are_no_numbers():
    for name in ("shape_rate", "id_rate", "detail", "same_person"):
        with pytest.raises(OptionError, match=name):
            SwapOptions(**{name: float("nan")})


def test_a_huge_member_of_a_tar_is_refused_unread(tmp_path: Path):
    """6 GB by its header, and as a hole in the file: reading it would fill the memory."""
    from hififace.data.shards import iterate_members
    from hififace.preparation.sources import open_inputs

    info = tarfile.TarInfo("000001.jpg")
    info.size = 6_000_000_000
    shard = tmp_path / "photos-000.tar"
    with shard.open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(512 + 6_000_000_256 + 1024)
    with pytest.raises(DataError, match=r"000001\.jpg has 6\.0 GB"):
        list(iterate_members(shard))
    (source,) = open_inputs([shard])
    with pytest.raises(DataError, match=r"6\.0 GB"):
        list(source.photos())


def test_a_huge_member_of_a_packed_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from hififace.preparation import sources

    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 1000)
    archive = tmp_path / "faces.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        info = tarfile.TarInfo("anna/1.jpg")
        info.size = 2000
        packed.addfile(info, io.BytesIO(bytes(2000)))
    (source,) = sources.open_inputs([archive])
    with pytest.raises(DataError, match="no photo is that large"):
        list(source.photos())


@pytest.mark.parametrize("age", [-1, 1e300, float("nan"), "old", [3]])
def test_an_age_that_is_none_is_not_believed(tmp_path: Path, age: Any):
    from hififace.preparation.sources import open_inputs

    with tarfile.open(tmp_path / "photos-000.tar", "w") as shard:
        for name, data in {
            "1.jpg": b"x",
            "1.json": json.dumps({"age": age, "identity": "a"}).encode(),
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
    (source,) = open_inputs([tmp_path / "photos-000.tar"])
    (photo,) = source.photos()
    assert photo.age is None
