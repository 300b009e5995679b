from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from hififace import HififaceError, OptionError
from hififace.client import AsyncClient, Client, ServiceError
from hififace.provenance.verify import check_file
from tests.support.services import running


@pytest.fixture(scope="module")
def url(mesh_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIFIFACE_HOME", str(tmp_path_factory.mktemp("home")))
        with running(mesh_bundle, tmp_path_factory.mktemp("service")) as service:
            yield str(service.base_url)


@pytest.fixture
def photo(astronaut: np.ndarray, tmp_path: Path) -> Path:
    Image.fromarray(astronaut).save(tmp_path / "me.png")
    return tmp_path / "me.png"


def test_both_clients_do_the_same(url: str, photo: Path, tmp_path: Path):
    async def all_of_it() -> tuple[bytes, int]:
        async with AsyncClient(url) as client:
            swapped = await client.swap([photo, photo], photo, consent=True, format="PNG")
            job = await client.submit(photo, [photo.read_bytes()], consent=True)
            await client.wait(job.id, poll_s=0.05)
            await client.download(job.id, tmp_path / "async.zip")
            await client.remove(job.id)
            return swapped.data, len(await client.faces(photo))

    with Client(url) as client:
        swapped = client.swap(photo, photo, consent=True, format="PNG")
        assert (swapped.media_type, swapped.num_swapped, swapped.num_faces) == ("image/png", 1, 1)
        (tmp_path / "out.png").write_bytes(swapped.data)
        assert check_file(tmp_path / "out.png").marked
        job = client.submit(photo, [photo], consent=True)
        assert client.wait(job.id, poll_s=0.05).done == 1
        assert client.download(job.id, tmp_path / "out.zip") == tmp_path / "out.zip"
        assert [one.id for one in client.jobs()] == [job.id]
        client.remove(job.id)
        assert client.jobs() == []
        assert "mini" in [one["name"] for one in client.models()]
        num_faces = len(client.faces(photo))
    data, num_there = asyncio.run(all_of_it())
    assert num_there == num_faces == 1
    (tmp_path / "async.png").write_bytes(data)
    assert np.array_equal(*(np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("out", "async")))
    assert (tmp_path / "async.zip").stat().st_size > 1000


def test_what_the_service_refuses_is_its_sentence(url: str, photo: Path, tmp_path: Path):
    with Client(url) as client:
        with pytest.raises(ServiceError, match="nothing is swapped without consent") as told:
            client.swap(photo, photo, consent=False)
        assert told.value.status == 422
        assert set(told.value.fields) == {"consent"}
        assert told.value.request_id
        with pytest.raises(ServiceError, match="no such job"):
            client.download("none", tmp_path / "none.zip")
        assert not (tmp_path / "none.zip").exists()
        with pytest.raises(OptionError, match=r"none\.png cannot be read"):
            client.swap(tmp_path / "none.png", photo, consent=True)
        Image.new("RGB", (90, 90)).save(tmp_path / "empty.png")
        job = client.submit(photo, [tmp_path / "empty.png"], consent=True)
        with pytest.raises(HififaceError, match="No face was found"):
            client.wait(job.id, poll_s=0.05)
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(httpx.TransportError):
        nobody.models()
