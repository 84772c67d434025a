"""Likelihoods of a pixel, in every tail; and the decoder that must not look ahead."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.kit.likelihoods import Bernoulli, Categorical, DiscretisedLogistic, log_sigmoid_
from harness.studies.likelihood.pixelcnn import PixelCNN

relaxed = settings(deadline=None, max_examples=60)
LEVELS = torch.arange(256.0).double()


def logistic(log_scale: float) -> DiscretisedLogistic:
    head = DiscretisedLogistic(1).double()
    with torch.no_grad():
        head.log_scale.fill_(log_scale)
    return head


def by_tape(head, x: torch.Tensor, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    slope = torch.empty_like(outputs)
    return head.at(x).value_and_slope(outputs.clone(), slope), slope


@relaxed
@given(output=st.floats(-3, 3), log_scale=st.floats(math.log(0.5), math.log(128)))
def test_the_discretised_logistic_sums_to_one_and_is_a_difference_of_sigmoids(output, log_scale):
    head = logistic(log_scale)
    outputs = torch.full((256, 1), output, dtype=torch.float64)
    log_p = head.log_prob(LEVELS[:, None], outputs)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    mean, scale = 127.5 * (1 + output), math.exp(log_scale)
    ends = (torch.arange(257.0).double() - 0.5 - mean) / scale
    ends[0], ends[-1] = -math.inf, math.inf
    naive = ends.sigmoid().diff()
    torch.testing.assert_close(log_p.exp().detach(), naive, rtol=1e-6, atol=1e-13)


@relaxed
@given(x=st.integers(0, 255), output=st.floats(-20, 20), log_scale=st.floats(-4, 8))
def test_the_logistic_is_finite_and_its_two_forms_agree_far_out(x, output, log_scale):
    head = logistic(log_scale)
    data = torch.tensor([[float(x)]]).double()
    outputs = torch.tensor([[output]]).double().requires_grad_()
    expected = head.log_prob(data, outputs)
    (slope,) = torch.autograd.grad(expected.sum(), outputs)
    value, found = by_tape(head, data, outputs.detach())
    assert torch.isfinite(value).all() and torch.isfinite(found).all()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found, slope, rtol=1e-7, atol=1e-10)


def test_single_precision_is_enough_for_a_whole_image():
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(-100, 356, (4, 784), generator=generator).clamp(0, 255).double()
    outputs = 1.5 * torch.randn(4, 784, generator=generator).double()
    head = DiscretisedLogistic(784).double()
    exact, exact_slope = by_tape(head, x, outputs)
    value, slope = by_tape(head.float(), x.float(), outputs.float())
    torch.testing.assert_close(value.double(), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(slope.double(), exact_slope, rtol=1e-4, atol=1e-5)


@relaxed
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(-60, 60)), min_size=1, max_size=30))
def test_the_bernoulli_is_torchs_own(pixels):
    bits, logits = (torch.tensor(column).double()[None] for column in zip(*pixels, strict=True))
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(bits).sum(-1)
    torch.testing.assert_close(Bernoulli().log_prob(bits, logits), expected)
    value, slope = by_tape(Bernoulli(), bits, logits)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(slope, bits - logits.sigmoid())


@relaxed
@given(size=st.integers(1, 800), scale=st.floats(0, 60))
def test_one_logarithm_for_many_factors_never_underflows(size, scale):
    generator = torch.Generator().manual_seed(size)
    logits = scale * torch.randn(3, size, generator=generator)
    rest = logits.clone()
    value = log_sigmoid_(rest)
    expected = torch.nn.functional.logsigmoid(logits.double())
    torch.testing.assert_close(value.double(), expected.sum(-1), rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(rest.double(), logits.double().neg().sigmoid(), rtol=0, atol=1e-6)
    all_even = log_sigmoid_(torch.zeros(1, size))  # the smallest product there can be
    assert all_even.item() == pytest.approx(-size * math.log(2), rel=1e-5)


def test_the_categorical_gives_each_level_its_own_probability():
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(1, 256, 1, generator=generator).double()
    log_p = Categorical().log_prob(LEVELS[:, None], outputs.expand(256, -1, -1))
    torch.testing.assert_close(log_p, outputs.log_softmax(1).flatten())


@pytest.mark.parametrize("head", [Bernoulli(), DiscretisedLogistic(5)], ids=["bits", "gray"])
def test_the_start_reproduces_the_mean_of_the_data(head):
    top = 1.0 if isinstance(head, Bernoulli) else 255.0
    mean = top * torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
    outputs = head.start(mean)
    decoded = outputs.sigmoid() if isinstance(head, Bernoulli) else 127.5 * (1 + outputs)
    torch.testing.assert_close(decoded, mean)


# --- PixelCNN ----------------------------------------------------------------------------------------

SIDE = 9


@pytest.fixture(scope="module", params=["bits", "gray"])
def pixelcnn(request):
    torch.manual_seed(0)
    head = Bernoulli() if request.param == "bits" else Categorical()
    model = PixelCNN(SIDE, SIDE, head, latent=3, kernels=(5, 3, 3), channels=4, encoder_channels=4)
    x = torch.rand(4, SIDE * SIDE).round() * (1 if request.param == "bits" else 255)
    return model.double().eval(), x.double()


def test_a_pixel_depends_on_earlier_pixels_only(pixelcnn):
    model, x = pixelcnn
    image = x[:1].clone().requires_grad_()
    outputs = model.decode(image, torch.zeros(1, 3).double()).flatten(2)
    probe = torch.randn(outputs.shape[1], generator=torch.Generator().manual_seed(4)).double()
    rows = [torch.autograd.grad(out, image, retain_graph=True)[0][0] for out in (probe @ outputs[0])]
    jacobian = torch.stack(rows)
    assert jacobian.triu().abs().max() == 0
    inside = [r * SIDE + c for r in range(1, SIDE) for c in range(1, SIDE)]
    for neighbour in (1, SIDE):  # the pixel to the left, and the one above
        assert all(jacobian[i, i - neighbour] != 0 for i in inside)


def test_every_output_depends_on_z(pixelcnn):
    model, x = pixelcnn
    z = torch.zeros(1, 3, requires_grad=True, dtype=torch.float64)
    outputs = model.decode(x[:1], z).flatten(2)
    moved = model.decode(x[:1], z + 1).flatten(2)
    assert (outputs != moved).any(1)[0, 1:].all()


def test_many_samples_at_once_equal_one_by_one(pixelcnn):
    model, x = pixelcnn
    z = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(6)).double()
    together = model.log_likelihood(x, z)
    assert together.shape == (2, 4)
    for n in range(2):
        torch.testing.assert_close(together[n], model.log_likelihood(x, z[n]))
    q = model.encode(x)
    assert q.mean.shape == q.scale.shape == (4, 3)


def test_the_published_decoder_has_twelve_layers():
    model = PixelCNN(28, 28, Bernoulli())
    sizes = [2 * layer.reach + 1 for layer in (model.first, *model.rest)]
    assert sizes == [9, 9, 9, 7, 7, 7, 5, 5, 5, 3, 3, 3]
    assert model.planes.weight.shape == (4 * 784, 32)
