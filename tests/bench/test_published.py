"""The figures of bench/reproduce.py against scikit-learn, SciPy and brute force, and each case on a few digits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

import zpinch
from zpinch.losses import jacobian_rows


@pytest.fixture(scope="module")
def few() -> tuple[zpinch.ImageCollection, ...]:
    digits = zpinch.open_images("digits", split="train")
    return digits[:300], digits[300:400], digits[400:500]


def sets_of(few: tuple[zpinch.ImageCollection, ...]):
    from published.trained import Sets

    return Sets(*few)


def test_the_projection_is_scikit_learns(few: tuple[zpinch.ImageCollection, ...]) -> None:
    from published.pca import projected

    training, _, judged = (images.pixels for images in few)
    fitted = PCA(5, svd_solver="full").fit(training.reshape(300, -1) / 255.0)
    expected = fitted.inverse_transform(fitted.transform(judged.reshape(100, -1) / 255.0))
    np.testing.assert_allclose(projected(training, judged, 5).reshape(100, -1), expected, atol=1e-6)


def test_the_figures_of_a_layer_are_brute_forces(few: tuple[zpinch.ImageCollection, ...]) -> None:
    from published import contractive
    from published.trained import trained

    sets = sets_of((few[0], few[1], few[2][:8]))
    model = trained(
        sets.training, "contractive", backbone="mlp", latent=6, settings=contractive.ONE_LAYER, epochs=1, seed=0
    )
    found = contractive.layer_figures(model, model.encoder.layers[0], sets)
    x = model.as_input(torch.from_numpy(sets.judged.pixels))
    jacobian, h = jacobian_rows(model.encoder, x), model.encoder(x)
    assert found["squared_entry"] == pytest.approx(jacobian.square().mean().item(), rel=1e-4)
    assert found["saturated"] == ((h < 0.05) | (h > 0.95)).float().mean()
    assert found["mse"] == pytest.approx((model.generator(h, torch.zeros(8)) - x).square().mean().item(), rel=1e-4)


def test_the_parzen_estimate_is_scipys() -> None:
    from published.balance import log_densities

    rng = np.random.default_rng(0)
    x, centres = rng.random((4, 3)), rng.random((5, 3))
    expected = logsumexp([multivariate_normal(c, 0.04).logpdf(x) for c in centres], axis=0) - np.log(5)
    found = log_densities(*(torch.from_numpy(a).float() for a in (x, centres)), 0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_balance_counts_what_is_misplaced() -> None:
    from published.balance import balance

    found = balance(np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5]))
    assert (found["misplaced"], found["rarest"], found["commonest"]) == (0.5, 0.0, 2.0)


CASES = {
    "contractive": {"epochs": 0.1, "fine_epochs": 1},
    "pca": {"epochs": 0.1},
    "densities": {"epochs": 0.1},
    "balance": {"epochs": 0.1},
    "tangents": {"epochs": 0.1},
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_runs_and_has_a_table(
    name: str, few: tuple[zpinch.ImageCollection, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import record
    import reproduce
    import tables

    monkeypatch.setattr("zpinch.evaluation.features.STEPS", 4)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    case = reproduce.CASES[name]
    rows = list(case.measure(sets_of(few), case.Settings()._replace(**CASES[name]), seed=0))
    record.record(f"reproduce-{name}", "python bench/reproduce.py", data="digits", seed=0, rows=rows, paper=case.PAPER)
    text = tables.TABLES[f"reproduce_{name}"]()
    assert len(text.splitlines()) >= 2 + len(rows)
    assert all(number not in text for number in ("nan", "inf"))


def test_settings_are_changed_by_name() -> None:
    import reproduce

    settings = reproduce.settled(reproduce.CASES["contractive"].Settings(), ["fine_epochs=3", "rate=0.5"])
    assert (settings.fine_epochs, settings.rate) == (3, 0.5)
