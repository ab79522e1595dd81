"""What the rate-distortion benchmark is made of, where the right answer is known without a codec."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.bench import fashion_mnist
from tests.bench.rate_cases import Case, Chain, case_of
from tests.bench.rate_points import HIGHEST_BITS, LOWEST_BITS, added, measured, spread


def weights_of(value):
    return {"w": np.full((2, 3), value, np.float32), "b": np.full(2, value, np.float32)}


@pytest.fixture
def federation(tmp_path):
    for folder in ("clients", "globals"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        save_file(weights_of(number), tmp_path / "globals" / f"global_r0{number}.safetensors")
    for number in (1, 3):
        save_file(weights_of(number + 0.5), tmp_path / "clients" / f"r0{number}_c0.safetensors")
    return tmp_path


def test_an_uplink_starts_from_the_global_model_of_the_round_before(federation):
    first, third = case_of(f"up={federation / 'clients'}:{federation / 'globals'}").chains
    assert first.base["w"][0, 0] == 0
    assert first.before is None
    assert third.base["w"][0, 0] == 2
    assert third.before["w"][0, 0] == 1
    assert [weights["w"][0, 0] for weights in third.checkpoints] == [3.5]


def test_a_series_counts_all_but_the_checkpoint_that_both_sides_hold(federation):
    case = case_of(f"down={federation / 'globals'}")
    assert case.n_weights == 3 * 8
    assert case.typical_step == pytest.approx(1)


def test_a_file_is_one_keyframe_of_its_float_tensors(tmp_path):
    tensors = weights_of(2) | {"count": np.array(7), "empty": np.zeros((0, 2), np.float32)}
    save_file(tensors, tmp_path / "net.safetensors")
    (chain,) = case_of(f"net={tmp_path / 'net.safetensors'}").chains
    assert chain.base is None
    assert [sorted(weights) for weights in chain.checkpoints] == [["b", "w"]]


def test_errors_are_pooled_over_all_weights_of_all_checkpoints():
    case = Case("pooled", [Chain(weights_of(0), [weights_of(1), weights_of(2)]), Chain(None, [weights_of(3)])])

    def code(chain):
        for n_bytes, weights in enumerate(chain.checkpoints, start=10):
            yield n_bytes, {name: array + (2 if chain.base else 0) for name, array in weights.items()}

    n_bytes, rms, accuracies = measured(case, code, None)
    assert (n_bytes, accuracies) == (10 + 11 + 10, ())
    assert rms == pytest.approx((2 * 4 / 3) ** 0.5)


def test_the_chosen_qp_reach_from_the_highest_rate_to_the_lowest():
    case = Case("spread", [Chain(weights_of(0), [weights_of(1)])])

    def bits_at(qp):
        return 0.3 * 2 ** (-qp / 4)

    qps = spread(case, lambda qp: bits_at(qp) * case.n_weights / 8, 8)
    assert len(qps) == 8
    assert bits_at(qps[0]) <= HIGHEST_BITS < bits_at(qps[0] - 1)
    assert bits_at(qps[-1]) >= LOWEST_BITS > bits_at(qps[-1] + 1)


def test_a_tensor_without_a_difference_stays_as_it_is():
    held = added(weights_of(1), {"w": np.full(6, 0.5, np.float32)})
    assert held["w"].tolist() == [[1.5] * 3] * 2
    assert held["b"].tolist() == [1, 1]


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 2)])
def test_a_convolution_is_a_sum_over_the_window_around_each_pixel(size, stride):
    rng = np.random.default_rng(1)
    values, kernel = rng.standard_normal((2, 6, 8, 3)), rng.standard_normal((4, 3, size, size))
    result = fashion_mnist.convolved(values, kernel, stride)
    assert result.shape == (2, -(-6 // stride), -(-8 // stride), 4)
    padded = np.pad(values, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    for row, column in np.ndindex(*result.shape[1:3]):
        window = padded[:, row * stride : row * stride + size, column * stride : column * stride + size]
        assert result[:, row, column] == pytest.approx(np.einsum("nhwi,oihw->no", window, kernel))


def test_missing_images_are_asked_for_in_one_line(tmp_path):
    with pytest.raises(SystemExit, match="apt-get install dataset-fashion-mnist"):
        fashion_mnist.read_test_images(tmp_path)
