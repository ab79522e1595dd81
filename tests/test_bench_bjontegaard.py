"""The average difference of two rate-distortion curves, on curves where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.bjontegaard import bd_rate, common_range, curve, lowest


def power_law(scale, errors):
    return curve((rms, scale / rms) for rms in errors)


def test_a_curve_with_a_fifth_fewer_bytes_everywhere_is_a_fifth_below():
    errors = [0.1, 0.2, 0.5, 1.0]
    assert bd_rate([power_law(80, errors)], [power_law(100, errors)]) == pytest.approx(-0.2)


def test_a_curve_does_not_differ_from_itself():
    same = curve([(1, 900), (2, 300), (5, 20)])
    assert bd_rate([same], [same]) == 0


def test_only_errors_that_both_sides_reach_count():
    ours = curve([(0.1, 5000), (1, 90), (10, 9)])
    theirs = curve([(1, 100), (10, 10), (100, 1e-9)])
    assert np.exp(common_range([ours], [theirs])) == pytest.approx([1, 10])
    assert bd_rate([ours], [theirs]) == pytest.approx(-0.1)


def test_the_difference_is_averaged_over_the_logarithm_of_the_error():
    ours = curve([(1, 200), (10, 100), (100, 100 / 1.0001)])  # twice theirs at 1, as much at 10 and from there on
    theirs = curve([(1, 100), (100, 100 / 1.0001)])
    assert bd_rate([ours], [theirs]) == pytest.approx(2**0.25 - 1, rel=1e-3)


def test_of_several_curves_the_lowest_counts_at_every_error():
    falling, flat = curve([(1, 1000), (100, 10)]), curve([(1, 100), (100, 99)])
    assert np.exp(lowest([falling, flat], np.log([1.0, 100.0]))) == pytest.approx([100, 10])
    both, either = bd_rate([falling, flat], [falling]), bd_rate([falling], [falling])
    assert both < either


def test_where_curves_cross_the_integral_is_exact():
    ours = [curve([(1, 1000), (100, 10)]), curve([(1, 100), (100, 99.99)])]  # they cross at 10, between all points
    theirs = [curve([(1, 100), (100, 99.99)])]
    assert bd_rate(ours, theirs) == pytest.approx(10**-0.25 - 1, rel=1e-3)


def test_a_curve_that_ends_early_counts_only_as_far_as_it_goes():
    short, long = curve([(1, 50), (10, 5)]), curve([(1, 100), (100, 1)])
    assert bd_rate([long, short], [long]) == pytest.approx(0.5**0.5 - 1)


def test_a_point_that_another_is_no_worse_than_is_left_out():
    assert np.exp(curve([(1, 10), (2, 12), (2, 4), (3, 4)])) == pytest.approx(np.array([[1.0, 2.0], [10.0, 4.0]]))


def test_a_point_between_two_of_a_curve_does_not_lift_it():
    better, worse = curve([(1, 100), (100, 1)]), curve([(2, 60), (50, 2.1)])
    assert bd_rate([better, worse], [better]) == pytest.approx(0)


def test_curves_without_an_error_in_common_cannot_be_compared():
    with pytest.raises(ValueError, match="no error in common"):
        bd_rate([curve([(1, 9), (2, 8)])], [curve([(2, 9), (3, 8)])])
