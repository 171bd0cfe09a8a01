"""Level choice, distillation and the schedules."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nestnet.sparsity.schedule import cubic_sparsity
from nestnet.tasks.classification import sparser_loss
from nestnet.training.schedule import drawn_levels, one_cycle

DENSE_EPOCHS_ALLOWED = 2.6
EVALUATION_COST = 10 / 50 / 3
"""Test images over training images, forward only: cost of one level's evaluation in epochs."""


@given(levels=st.integers(2, 8), seed=st.integers(0, 2**63 - 1), block=st.integers(0, 10**6))
def test_every_block_of_steps_has_exact_shares(levels: int, seed: int, block: int) -> None:
    middle = max(1, levels - 2)
    steps = range(block * 2 * middle, (block + 1) * 2 * middle)
    chosen = [drawn_levels(levels, step, seed) for step in steps]
    assert all(active[0] == levels - 1 for active in chosen)
    counts = Counter(active[1] for active in chosen)
    if levels == 2:
        assert counts == {0: len(steps)}
    else:
        assert counts == {0: middle, **dict.fromkeys(range(1, levels - 1), 1)}


@pytest.mark.parametrize("levels", range(1, 9))
def test_an_epoch_costs_at_most_2_6_dense_ones(levels: int) -> None:
    passes = [len(drawn_levels(levels, step, 3)) for step in range(391)]
    cost = sum(passes) / len(passes) + levels * EVALUATION_COST
    assert cost <= DENSE_EPOCHS_ALLOWED


def test_a_stand_alone_network_runs_its_one_level() -> None:
    assert drawn_levels(1, 5, 0) == (0,)


def test_level_choice_depends_on_the_seed() -> None:
    first = [drawn_levels(4, step, 0) for step in range(40)]
    assert first == [drawn_levels(4, step, 0) for step in range(40)]
    assert first != [drawn_levels(4, step, 1) for step in range(40)]


def test_distillation_is_zero_at_the_teacher_and_has_no_gradient_into_it() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(7, 5, generator=generator, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1])
    same = sparser_loss(teacher.detach().clone(), teacher, labels, weight=1.0, temperature=2.0)
    assert float(same) == pytest.approx(0.0, abs=1e-6)
    logits = torch.randn(7, 5, generator=generator, requires_grad=True)
    sparser_loss(logits, teacher, labels, weight=0.5, temperature=2.0).backward()
    assert teacher.grad is None
    assert logits.grad is not None and bool(logits.grad.abs().sum() > 0)


def test_distillation_equals_its_formula() -> None:
    logits = torch.tensor([[1.0, -1.0]])
    teacher = torch.tensor([[0.5, 0.25]])
    labels = torch.tensor([0])
    t = 2.0
    p = torch.softmax(teacher / t, 1)[0].tolist()
    q = torch.softmax(logits / t, 1)[0].tolist()
    divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    hard = -math.log(math.exp(1) / (math.exp(1) + math.exp(-1)))
    got = float(sparser_loss(logits, teacher, labels, weight=0.3, temperature=t))
    assert got == pytest.approx(0.7 * hard + 0.3 * t * t * divergence, rel=1e-5)


def test_cubic_schedule_values() -> None:
    assert cubic_sparsity(0.9, 0.0) == 0.0
    assert cubic_sparsity(0.9, 0.5) == pytest.approx(0.9 * 0.875)
    assert cubic_sparsity(0.9, 1.0) == 0.9
    assert cubic_sparsity(0.9, 7.0) == 0.9
    assert cubic_sparsity(0.9, -1.0) == 0.0


@given(progress=st.floats(0, 1), inner=st.floats(0, 0.99), outer=st.floats(0, 0.99))
def test_cubic_schedule_keeps_levels_in_order(progress: float, inner: float, outer: float) -> None:
    low, high = sorted((inner, outer))
    assert cubic_sparsity(low, progress) <= cubic_sparsity(high, progress)


def test_one_cycle_values() -> None:
    assert one_cycle(0.1, 0.0, 0.2, 0.002) == pytest.approx(0.01)
    assert one_cycle(0.1, 0.2, 0.2, 0.002) == pytest.approx(0.1)
    assert one_cycle(0.1, 0.6, 0.2, 0.002) == pytest.approx(0.1 * (0.002 + 0.998 * 0.5))
    assert one_cycle(0.1, 1.0, 0.2, 0.002) == pytest.approx(0.0002)
