import pytest

from hififace.training.schedule import check_knots, is_ever_positive, value_at

KNOTS = ((1000, 0.0), (3000, 4.0), (4000, 1.0))


def test_a_constant_never_changes():
    assert value_at(2.5, 0) == value_at(2.5, 10**9) == 2.5


@pytest.mark.parametrize(
    ("images", "expected"),
    [(0, 0.0), (1000, 0.0), (2000, 2.0), (3000, 4.0), (3500, 2.5), (4000, 1.0), (10**9, 1.0)],
)
def test_knots_are_joined_by_lines_and_held_outside(images, expected):
    assert value_at(KNOTS, images) == pytest.approx(expected)


@pytest.mark.parametrize("knots", [(), ((5, 1.0), (5, 2.0)), ((10, 1.0), (5, 2.0)), ((-1, 1.0),)])
def test_knots_that_do_not_increase_are_refused(knots):
    with pytest.raises(ValueError, match=r"knot|increase"):
        check_knots(knots)


def test_a_term_that_starts_later_is_needed_from_the_start():
    assert is_ever_positive(KNOTS)
    assert not is_ever_positive(0.0)
    assert not is_ever_positive(((0, 0.0), (10, 0.0)))
