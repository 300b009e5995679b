"""Which sets a run accepts."""

import pytest

from hififace.errors import DataError
from hififace.training.families import check_parts, check_set, load_loss_networks
from hififace.training.presets import paper_256
from hififace.weights.registry import find_card
from hififace.weights.store import hashes_of
from tests.support.training_doubles import tiny_card, tiny_config

EMBEDDED = ("yunet", "face_mesh", "face_mesh_topology", "mesh_shape", "sface")


def test_a_set_described_by_the_parts_that_ship_is_accepted(caplog):
    check_parts(tiny_card(parts=hashes_of(EMBEDDED)))
    assert caplog.text == ""


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_set_described_by_another_part_is_refused(name):
    parts = hashes_of(EMBEDDED) | {name: "ab" * 32}
    with pytest.raises(DataError, match=f"described by another '{name}'.*Prepare the photos again"):
        check_parts(tiny_card(parts=parts))


def test_a_set_described_by_an_earlier_file_of_the_same_function_is_accepted(caplog):
    earlier = find_card("face_mesh").same_function
    assert earlier
    for digest in earlier:
        check_parts(tiny_card(parts=hashes_of(EMBEDDED) | {"face_mesh": digest}))
    assert caplog.text == ""


def test_loading_the_loss_networks_checks_the_parts():
    card = tiny_card(parts=hashes_of(EMBEDDED) | {"mesh_shape": "ab" * 32})
    with pytest.raises(DataError, match="another 'mesh_shape'"):
        load_loss_networks(tiny_config(), card, "cpu")


def test_a_set_without_hashes_is_accepted_with_a_warning(caplog):
    check_parts(tiny_card())
    assert "does not say which files described it (tests)" in caplog.text


def test_a_part_that_is_not_here_cannot_be_compared(caplog, monkeypatch, tmp_path):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    check_parts(tiny_card(parts={"bisenet": "ab" * 32}))
    assert "'bisenet' cannot be compared" in caplog.text


def test_a_part_is_looked_for_among_the_files_that_the_user_brings(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path / "home"))
    (tmp_path / find_card("bisenet").filename).write_bytes(b"other weights")
    with pytest.raises(DataError, match="another 'bisenet'"):
        check_parts(tiny_card(parts={"bisenet": "ab" * 32}), tmp_path)


@pytest.mark.parametrize(
    ("config", "changes", "sentence"),
    [
        (paper_256(), {}, "described by the 'mesh' family.*--family basel"),
        (tiny_config(), {"resolution": 48}, "48 px, the results of the generator 'tiny' 32 px"),
        (
            tiny_config(),
            {"coefficients": (("identity", 5),)},
            "expects 4 numbers for 'source_shape'.*holds 5",
        ),
        (tiny_config(), {"identity_size": 9}, "expects 8 numbers for 'source_identity'.*holds 9"),
    ],
)
def test_a_set_that_does_not_fit_is_a_sentence(config, changes, sentence):
    with pytest.raises(DataError, match=sentence):
        check_set(config, tiny_card(**changes))
