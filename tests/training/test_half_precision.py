import torch

from hififace.training import half_precision
from hififace.training.half_precision import bfloat16_is_fast


def test_it_is_used_only_where_it_is_faster(monkeypatch):
    for half, expected in ((0.5, True), (0.95, False), (10.0, False)):
        monkeypatch.setattr(
            half_precision,
            "_seconds",
            lambda x, weight, half=half: half if x.dtype == torch.bfloat16 else 1.0,
        )
        assert bfloat16_is_fast(torch.device("cpu")) is expected


def test_this_machine_gives_an_answer():
    assert bfloat16_is_fast(torch.device("cpu")) in (True, False)
    assert not bfloat16_is_fast(torch.device("meta"))
