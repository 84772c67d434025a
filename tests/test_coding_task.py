"""The coding task on small problems whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from method_files import load
from PIL import Image

from harness.authoring import Estimate, Skip
from harness.context import Run
from harness.kit.ldpc.matched import matched_code
from harness.studies.coding import assets, images, rivals, separate, task
from harness.studies.coding import distortion as measure
from harness.studies.coding import features as codes
from harness.studies.coding import measures as scoring
from harness.studies.coding import score as scoring_file
from harness.studies.coding.networks import CodeNetworks
from harness.studies.coding.noisy_codes import BinaryChannel
from harness.studies.coding.schemes import LearnedCode, ProtectedCode


@pytest.fixture
def run(tmp_path):
    return Run(seed=0, folder=tmp_path)


def fitted(run: Run, room: str, name: str, problem: task.Problem, **parameters) -> dict[str, torch.Tensor]:
    made = getattr(load(room, name), name)(problem, run, **parameters)
    return {key: torch.as_tensor(value) for key, value in made.items()}


def values(found: dict[str, float | Estimate]) -> dict[str, float]:
    return {name: each.value if isinstance(each, Estimate) else each for name, each in found.items()}


def scores(
    run: Run, problem: task.Problem, arrays: dict[str, torch.Tensor], **parameters
) -> dict[str, float]:
    return values(scoring_file.score(problem, arrays, run, **parameters))


# --- distortion


def test_distortions_of_known_answers():
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    logits = torch.tensor([[2.0, 1.0, -1.0, -3.0]])
    found = measure.of_logits(x, logits, binary=True)
    p = torch.sigmoid(logits)
    assert float(found.l1) == 0.5
    assert float(found.l2) == pytest.approx(float((x - p).square().mean()))
    expected = -(p[0, 0].log() + (1 - p[0, 1]).log() + p[0, 2].log() + (1 - p[0, 3]).log()) / 4
    assert float(found.cross_entropy) == pytest.approx(float(expected))
    assert float(found.psnr) == pytest.approx(-10 * math.log10(float(found.l2)))
    gray = measure.of_logits(torch.tensor([[0.25, 0.5]]), torch.zeros(1, 2), binary=False)
    assert float(gray.l1) == 0.125 and gray.cross_entropy is None
    assert float(measure.of_means(x, x, binary=True).psnr) == measure.PSNR_CAP


def test_floor_is_the_best_constant_image():
    generator = torch.Generator().manual_seed(0)
    share = torch.tensor([0.1, 0.4, 0.8])
    x = (torch.rand(20_000, 3, generator=generator) < share).float()
    found = measure.floor(x, x, binary=True)
    mean = x.mean(0)
    assert float(found.l1.mean()) == pytest.approx(float(torch.minimum(mean, 1 - mean).mean()))
    assert float(found.l2.mean()) == pytest.approx(float((mean * (1 - mean)).mean()), rel=1e-4)
    entropy = -(mean * mean.log() + (1 - mean) * (1 - mean).log()).mean()
    assert float(found.cross_entropy.mean()) == pytest.approx(float(entropy), rel=1e-4)
    gray = torch.rand(5001, 2, generator=generator)
    floors = measure.floor(gray, gray, binary=False)
    for constant in (0.3, 0.45, 0.6):
        other = measure.of_means(gray, torch.full_like(gray, constant), binary=False)
        assert other.l1.mean() >= floors.l1.mean() and other.l2.mean() >= floors.l2.mean()


# --- no code


def test_uncoded_bits_meet_their_closed_forms(run):
    """Fair coin flips: l1 is eps, cross-entropy H(eps), and no information is left over."""
    problem = task.coding(run, dataset="random_bits", bits=50, eps=0.1)
    found = scores(run, problem, {"prior": torch.full((50,), 0.5)}, draws=20)
    entropy = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    assert found["l1"] == pytest.approx(0.1, abs=0.0015)
    assert found["cross_entropy"] == pytest.approx(entropy, abs=0.004)
    assert found["information_margin"] == pytest.approx(0, abs=0.004)
    assert found["l1_floor"] == pytest.approx(0.5, abs=0.01) and found["bits"] == 50
    clean = scores(run, problem, {"prior": torch.full((50,), 0.5)}, test_eps=0.0)
    assert clean["l1"] == 0 and clean["cross_entropy"] < 1e-6


def test_a_claim_beyond_the_information_floor_is_wrong(run):
    problem = task.coding(run, dataset="random_bits", bits=10, eps=0.1)
    honest = {"cross_entropy": Estimate(math.log(2) * (1 - 10 * 0.531 / 50), 0.001, 1000), "bits": 10.0}
    assert scoring._margin(problem, honest, problem.channel).value == pytest.approx(0, abs=1e-4)
    with pytest.raises(scoring.Wrong, match=r"below the information floor: .* 10 bits at capacity 0\.531"):
        scoring._margin(problem, honest | {"cross_entropy": Estimate(0.6, 0.001, 1000)}, problem.channel)


# --- at eps 0.5 nothing arrives


@pytest.mark.parametrize(
    ("room", "name", "parameters"),
    [
        ("baselines", "uncoded", {}),
        ("methods", "straight_through", {"steps": 80}),
        ("methods", "necst", {"steps": 80}),
        ("methods", "iabf", {"steps": 60}),
        ("baselines", "uae_ldpc", {"steps": 10, "k": 12}),
        ("baselines", "vae_ldpc", {"steps": 10, "k": 12}),
        ("baselines", "codec_ideal", {}),
        ("baselines", "codec_ldpc", {}),
    ],
)
def test_every_scheme_falls_to_the_floor(run, room, name, parameters):
    """Never below it, and at it for those that know that nothing arrives.

    Codes trained without noise cannot know, so behind their LDPC code they may do worse.
    """
    problem = task.coding(run, dataset="digits", bits=64 if name == "uncoded" else 24, eps=0.5)
    found = scores(run, problem, fitted(run, room, name, problem, **parameters))
    slack = {"uncoded": 1e-6, "codec_ideal": 1e-6, "codec_ldpc": 1e-6}.get(name, 0.1)
    assert found["l2"] >= found["l2_floor"] * (1 - 1e-4)
    assert found["l1"] >= found["l1_floor"] * (1 - 1e-4)
    if "ldpc" not in name or name == "codec_ldpc":
        assert found["l2"] <= found["l2_floor"] * (1 + slack)
        assert found["l1"] <= found["l1_floor"] * (1 + slack)


# --- schemes


def test_a_learned_code_beats_the_floor_and_fewer_errors_are_better(run):
    problem = task.coding(run, dataset="digits", bits=24, eps=0.1)
    arrays = fitted(run, "methods", "straight_through", problem, steps=200)
    noise = [scores(run, problem, arrays, test_eps=eps)["l1"] for eps in (0.0, 0.1, 0.3)]
    assert noise == sorted(noise) and noise[1] < 0.8 * scores(run, problem, arrays)["l1_floor"]


def test_the_same_seed_gives_the_same_bits(tmp_path):
    found = []
    for seed in (3, 3, 4):
        run = Run(seed=seed, folder=tmp_path)
        problem = task.coding(run, dataset="digits", bits=8)
        found.append(fitted(run, "methods", "necst", problem, steps=5))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not torch.equal(found[0]["encoder.0.weight"], found[2]["encoder.0.weight"])


def test_an_ldpc_code_hides_what_it_can_correct():
    """At eps 0 the protected code is the bare one; at eps .1 a code of 30 bits in 500 still is."""
    generator = torch.Generator().manual_seed(1)
    networks = CodeNetworks(64, 30, generator)
    x = torch.rand(20, 64, generator=generator)
    bare = LearnedCode(networks).encode(x, torch.Generator().manual_seed(5))
    for eps in (0.0, 0.1):
        channel = BinaryChannel("bsc", eps)
        scheme = ProtectedCode(networks, matched_code(500, 30), channel)
        words = scheme.encode(x, torch.Generator().manual_seed(5))
        corrected = scheme.correct(channel.send(words, generator))
        assert words.shape == (20, 500) and torch.equal(corrected, bare)
        assert torch.equal(scheme.reconstruct(corrected), networks.decode(bare))


def test_files_arrive_or_are_the_mean_image(run):
    problem = task.coding(run, dataset="digits", bits=3000, eps=0.0)
    arrays = fitted(run, "baselines", "codec_ideal", problem, codec="webp_lossless", charged="file")
    assert scores(run, problem, arrays)["l2"] == 0
    half = arrays | {"lost": torch.full((len(problem.images.x_test),), 0.5)}
    found = scores(run, problem, half)
    assert found["images_lost"] == 0.5
    assert found["l2"] == pytest.approx(found["l2_floor"] / 2, rel=1e-5)
    with pytest.raises(ValueError, match=r"made for eps 0\.0, not 0\.2"):
        scoring_file.score(problem, arrays, run, test_eps=0.2)


def test_files_of_all_images_share_one_pool_of_bits(run):
    """A cap for each image would lose those whose file is a bit longer than others'."""
    problem = task.coding(run, dataset="digits", bits=110, eps=0.0, test_images=60)
    points = assets.operating_points(run, dataset="digits", binary=True, codec="webp_lossless", images=60)
    sizes = points["bits"][2, 0] + separate.fields(points["bits"][2].numpy()) + 1
    arrays = fitted(run, "baselines", "codec_ideal", problem, codec="webp_lossless")
    sent = arrays["lost"] == 0
    spent = float((sizes * sent).sum()) + float((~sent).sum())
    assert 110 * 60 - 2 * float(sizes.max()) < spent <= 110 * 60
    assert sizes[sent].max() > 110 and 0.1 < float(arrays["lost"].mean()) < 0.9
    found = scores(run, problem, arrays)
    capped = points["blank_l1"] * (sizes > 110)
    assert found["l1"] < 0.8 * float(capped.mean()) and found["l1"] < found["l1_floor"]


def test_the_pixel_model_sends_images_whole_or_not_at_all(run):
    problem = task.coding(run, dataset="digits", bits=20, eps=0.1, test_images=80)
    arrays = fitted(run, "baselines", "codec_ideal", problem, codec="lossless_context")
    sent = (arrays["lost"] == 0).numpy()
    pixels = 255 * problem.images.x_test.numpy().astype(np.uint8)
    assert 0.1 < sent.mean() < 0.9 and np.array_equal(arrays["intact"].numpy()[sent], pixels[sent])
    gray = task.coding(run, dataset="digits", binary=False)
    with pytest.raises(Skip, match="one of binary pixels"):
        fitted(run, "baselines", "codec_ideal", gray, codec="lossless_context")


def test_blocks_that_carry_no_file_have_no_error_rate(run):
    problem = task.coding(run, dataset="digits", bits=4, eps=0.5, test_images=20)
    arrays = fitted(run, "baselines", "codec_ldpc", problem, n=100)
    assert scores(run, problem, arrays)["images_lost"] == 1
    assert "frame_error_rate" not in run.measurements


def test_a_file_lies_in_every_block_that_holds_a_bit_of_it():
    message, first, last = load("baselines", "codec_ldpc").blocks(["1111", "", "101", "1"], 2, 4)
    assert message.flatten().tolist() == [int(bit) for bit in "00011110000101000100"]
    assert first.tolist() == [0, 1, 2, 3] and last.tolist() == [1, 1, 3, 4]


def test_codec_behind_a_real_code_that_fits_the_noise_loses_few_blocks(run, monkeypatch):
    """Few blocks fail at any noise; more noise leaves room for fewer images."""
    monkeypatch.setattr(assets, "WORDS", 512)
    found = {}
    for eps in (0.0, 0.1, 0.2):
        problem = task.coding(run, dataset="digits", bits=60, eps=eps, test_images=40)
        arrays = fitted(run, "baselines", "codec_ldpc", problem, codec="webp_lossless", n=200)
        found[eps] = scores(run, problem, arrays) | {"failed": run.measurements["frame_error_rate"]}
    assert found[0.0]["failed"] == 0 and max(each["failed"] for each in found.values()) < 0.08
    assert found[0.0]["l1"] < found[0.1]["l1"] < found[0.2]["l1"] < found[0.2]["l1_floor"]


# --- what codes are good for


def test_classifiers_on_raw_digits(run, monkeypatch):
    problem = task.coding(run, dataset="digits", bits=64, test_images=200)
    arrays = {"prior": torch.full((64,), 0.5)}
    clean = values(codes.accuracies(problem.images, arrays, problem.channel, run, 0.0, 900))
    nearest = codes._classifiers(0)["knn"]
    monkeypatch.setattr(codes, "_classifiers", lambda seed: {"knn": nearest})
    noisy = values(codes.accuracies(problem.images, arrays, problem.channel, run, 2.0, 900))
    assert list(clean) == [
        "knn",
        "decision_tree",
        "random_forest",
        "mlp",
        "adaboost",
        "naive_bayes",
        "qda",
        "svm",
    ]
    assert min(clean["knn"], clean["svm"], clean["mlp"], clean["random_forest"]) > 0.85
    assert noisy["knn"] < clean["knn"] - 0.1
    random = task.coding(run, dataset="random_bits", bits=50)
    with pytest.raises(ValueError, match="random_bits has no labels"):
        codes.accuracies(random.images, arrays, random.channel, run, 0.0, 900)


def test_pictures_are_drawn(run, tmp_path):
    problem = task.coding(run, dataset="digits", bits=12)
    networks = CodeNetworks(64, 12, torch.Generator().manual_seed(0))
    codes.pictures(problem.images, networks.state_dict(), problem.channel, run, chain_steps=20)
    sizes = {path.stem: Image.open(path).size for path in tmp_path.glob("*.png")}
    assert sizes == {"received": (100, 20), "chain": (100, 110), "flips": (100, 50)}


def test_flipped_bits_lead_from_one_code_to_another(run):
    problem = task.coding(run, dataset="digits", bits=12)
    scheme = LearnedCode(CodeNetworks(64, 12, torch.Generator().manual_seed(0)))
    words = scheme.encode(problem.images.x_test[:10], run.stream("flips"))
    path = codes.flips(scheme, problem.images, run.stream("flips"))
    torch.testing.assert_close(path[0, 0], scheme.reconstruct(words[0]).sigmoid())
    torch.testing.assert_close(path[0, -1], scheme.reconstruct(words[1]).sigmoid())


def test_information_of_independent_bits():
    """None where all rows agree; ln 2 a bit where certain bits are fair over the batch."""
    information = load("methods", "iabf").information
    assert float(information(torch.full((6, 3), 1.7))) == pytest.approx(0, abs=1e-6)
    certain = torch.tensor([[30.0, -30.0], [-30.0, -30.0]])
    assert float(information(certain)) == pytest.approx(math.log(2), abs=1e-4)
    logits = torch.tensor([[200.0, -200.0]]).requires_grad_()
    (gradient,) = torch.autograd.grad(information(logits), logits)
    assert torch.isfinite(gradient).all()


# --- separate coding at the same distortion


def test_bits_that_separate_coding_needs(tmp_path, monkeypatch):
    """Capacity scales an ideal code's bits; codes of finite length need more, real ones most; nothing costs
    nothing."""
    built = {}

    def built_once(wanted):
        return [one(builder, parameters) for builder, parameters in wanted]

    def one(builder, parameters):
        key = (builder.__name__, *parameters.values())
        return built.setdefault(key, built.get(key) or builder(run, **parameters))

    def needed(channel, found):
        gathered = rivals.gather(problem.images, channel, run)
        return scoring.separate_bits(problem, channel, run, found, gathered)

    monkeypatch.setattr(assets, "WORDS", 512)
    run = Run(seed=0, folder=tmp_path, assets=built_once)
    problem = task.coding(run, dataset="digits", bits=64, eps=0.0, test_images=12)
    lossless = {"l1": Estimate(0.0, 0.0, 12), "bits": 64.0}
    noisy = BinaryChannel("bsc", 0.1)
    clean = needed(problem.channel, lossless)
    dearer = needed(noisy, lossless)
    real = {"jpeg_ldpc_bits", "best_ldpc_bits", "best_finite_bits", "ldpc_rate"}
    assert clean["best_bits"] == clean["context_bits"] < min(clean["webp_scan_bits"], 64)
    assert clean["jpeg_scan_bits"] < clean["jpeg_stripped_bits"] < clean["jpeg_file_bits"]
    for name in clean.keys() - real:
        assert dearer[name] == pytest.approx(clean[name] / noisy.capacity)
    assert (
        clean["best_ldpc_bits"] == clean["best_finite_bits"] == clean["best_bits"] and clean["ldpc_rate"] == 1
    )
    lossy = needed(noisy, {"l1": Estimate(0.1, 0.0, 12), "bits": 64.0})
    assert lossy["best_bits"] < lossy["best_finite_bits"] < lossy["best_ldpc_bits"]
    assert 0.35 < lossy["ldpc_rate"] < noisy.message_bits(1000, 0.01) / 1000
    floor = float(measure.floor(problem.images.x_train, problem.images.x_test, binary=True).l1.mean())
    blind = {"l1": Estimate(floor + 1e-4, 0.0, 12), "bits": 64.0}
    assert needed(BinaryChannel("bsc", 0.5), blind)["jpeg_scan_bits"] == 0
    assert (tmp_path / "separate.png").stat().st_size > 1000
    assert (
        (tmp_path / "separate.csv").read_text().startswith("scheme,channel_bits,distortion\nthis code,64.0,")
    )


# --- wrong input


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"eps": 0.6}, r"eps is 0\.6"),
        ({"eps": -0.01}, r"eps is -0\.01"),
    ],
)
def test_impossible_settings_are_named(run, parameters, message):
    with pytest.raises(ValueError, match=message):
        task.coding(run, dataset="digits", **parameters)


@pytest.mark.parametrize(
    ("array", "levels", "message"),
    [
        (np.full((2, 8, 8), 17), 17, "made: pixels are 0 to 16, but some are 17"),
        (np.full((2, 8, 8), -1), 17, "but some are -1"),
        (np.zeros((2, 8, 8, 4)), 256, r"made: images are .* not \(2, 8, 8, 4\)"),
        (np.zeros(8), 256, r"not \(8,\)"),
        (np.zeros((2, 8)), None, "made has no pixels"),
    ],
)
def test_images_of_the_wrong_range_or_shape_are_named(array, levels, message):
    with pytest.raises(ValueError, match=message):
        images.pixels(array, levels, "made")


def test_other_misuse_is_named(run):
    with pytest.raises(ValueError, match="faces is in colour: set binary: false"):
        images.binarise(torch.zeros(2, 8, 8, 3), "faces", 0)
    bits = task.coding(run, dataset="random_bits", bits=10)
    with pytest.raises(ValueError, match="random_bits has no pictures"):
        bits.images.pictures()
    found = scoring_file.score(bits, {"prior": torch.full((50,), 0.5)}, run, separate=True)
    assert not any(name.startswith("jpeg") for name in found)  # rows of bits are no pictures
    with pytest.raises(ValueError, match="sends 64 bits, one a pixel: set bits: 64, not 20"):
        load("baselines", "uncoded").uncoded(task.coding(run, dataset="digits", bits=20), run)
    gray = task.coding(run, dataset="digits", binary=False)
    with pytest.raises(ValueError, match="digits is not binary"):
        load("baselines", "uncoded").uncoded(gray, run)


def test_binary_mnist_is_sampled_and_the_rest_rounded():
    x = torch.full((400, 5, 5), 0.3)
    sampled = images.binarise(x, "mnist", 7)
    assert float(sampled.mean()) == pytest.approx(0.3, abs=0.02)
    assert torch.equal(sampled, images.binarise(x, "mnist", 7))
    assert not images.binarise(x, "digits", 7).any()
    assert images.evenly(4, 10).tolist() == [0, 2, 5, 7] and images.evenly(99, 3).tolist() == [0, 1, 2]


def test_validation_rows_are_the_last_and_taken_away(run):
    found = images.load(run, "digits", True, 50)
    assert len(found.x_train) == 1437 - 143 and len(found.x_valid) == 143 and len(found.x_test) == 50
    assert len(found.y_train) == len(found.x_train) and len(found.y_test) == 50
    made = images.load(run, "random_bits", True, 5000)
    assert (len(made.x_train), len(made.x_valid), len(made.x_test)) == (5000, 1000, 1000)
