"""Claims about the choice among fills: weights add up, certainty is earned, and coefficients belong to one network."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

from restore.inpaint.arbiter import FEATURES, FILLS, Evidence, arbiter_for, as_table, evidence, of_table
from restore.models import store
from restore.models.inpainting import SHIPPED
from restore.trust.ledger import Fill


def some_evidence(deviation: float = 0.05, apart: float = 0.02, radius_px: float = 4.0) -> Evidence:
    return Evidence(100, radius_px, 100 * deviation, np.full(5, 100 * apart**2))


def test_weights_are_shares_and_confidence_a_probability() -> None:
    for radius_px in (0.5, 1.0, 20.0, 1e4):
        for deviation in (0.0, 0.01, 0.3):
            verdict = arbiter_for("0" * 64).decide(some_evidence(deviation, radius_px=radius_px))
            assert verdict.weights.min() >= 0
            assert verdict.weights.sum() == pytest.approx(1)
            assert 0 <= verdict.confidence <= 1


def test_rough_surroundings_make_a_fill_less_sure() -> None:
    decide = arbiter_for("0" * 64).decide
    assert decide(some_evidence(0.01)).confidence > 0.8
    assert decide(some_evidence(0.2)).confidence < 0.3


def test_a_network_that_nothing_was_fitted_for_gets_half_and_the_classical_fills_the_rest() -> None:
    weights = arbiter_for("no such network").decide(some_evidence()).weights
    np.testing.assert_allclose(weights, [0.5, 0.1, 0.15, 0.25])


def test_parts_of_a_hole_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    fills, deviation = rng.random((len(FILLS), 90, 3)).astype(np.float32), rng.random(90).astype(np.float32)
    whole = evidence(fills, 5.0, deviation, is_rim=False)
    parts = evidence(fills[:, :30], 3.0, deviation[:30], is_rim=False) + evidence(
        fills[:, 30:], 5.0, deviation[30:], is_rim=False
    )
    np.testing.assert_allclose(whole.features(), parts.features(), rtol=1e-6)


def test_a_fill_is_called_by_its_name_only_where_it_is_nearly_all() -> None:
    table = as_table(arbiter_for("x"), "y")
    for i, name in enumerate(FILLS):
        table["weights"] = np.zeros((len(FILLS), len(FEATURES))).tolist()
        table["weights"][i][0] = 9.0
        assert of_table(table).decide(some_evidence()).fill is name
    table["weights"] = np.zeros((len(FILLS), len(FEATURES))).tolist()
    assert of_table(table).decide(some_evidence()).fill is Fill.BLEND


def test_what_is_shipped_was_fitted_for_the_network_that_is_shipped() -> None:
    held = resources.files("restore.inpaint") / "arbiter.json"
    if not held.is_file() or not SHIPPED.is_file():
        pytest.skip("no fitted coefficients beside shipped weights; benchmarks/fit_arbiter.py makes them")
    table = json.loads(held.read_text())
    assert table["model_sha256"] == store.sha256_of(SHIPPED), "fit it again: python benchmarks/fit_arbiter.py"
    assert tuple(table["features"]) == FEATURES
    np.testing.assert_allclose(arbiter_for(table["model_sha256"]).weights, table["weights"])


def test_coefficients_for_other_features_are_refused() -> None:
    table = as_table(arbiter_for("x"), "y") | {"features": ["1"]}
    with pytest.raises(ValueError, match="was fitted for the features"):
        of_table(table)
