"""Export: the integer graph agrees with fake quantization and keeps the contract's rules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from codegen.errors import UserError
from codegen.graph import ir, reference
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.softmax import Softmax
from codegen.graph.verify import verify
from nestnet.exporting.exporter import export
from nestnet.frontend.tracing import trace
from nestnet.models import build
from nestnet.net.network import NestedNet, predict, to_float_input
from nestnet.net.ops.common import weighted
from nestnet.net.quantize import quantize
from tests.support.exports import DENSITIES, PROVENANCE, int8, levels, prepared, stage_differences
from tests.support.nets import CASES, conv_bn, head, trained_like


def compare(net: NestedNet, graph: ir.Graph, pixels: np.ndarray, level: int) -> tuple[int, float]:
    """Return the largest difference in output steps and the share of equal arg-max.

    Where the fake-quantized network has a tie or its two best logits are one step apart, either of
    them counts: random networks have many ties, trained ones hardly any.
    """
    logits = predict(net, pixels, level)
    output = graph.only_output
    got = reference.run_one(graph, int8(pixels), level).reshape(len(pixels), -1).astype(np.int32)
    if isinstance(graph.ops[-1], Softmax):
        logits = torch.softmax(torch.from_numpy(logits), 1).numpy()
    wanted = np.rint(logits / output.scale[level]) + output.zero_point
    wanted = wanted.clip(-128, 127)
    chosen = wanted[np.arange(len(got)), got.argmax(1)]
    return int(np.abs(got - wanted).max()), float((chosen >= wanted.max(1) - 1).mean())


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.name for case in CASES])
def test_every_stage_agrees_with_the_reference(index: int) -> None:
    case, group = CASES[index], (1, 2, 4)[index % 3]
    net, pixels = prepared(trained_like(case, seed=index), case.shape, group, seed=index)
    graph = verify(export(net, levels(), PROVENANCE, "net"))
    imitated = {s.stage.name for s in net.steps if isinstance(s.stage, weighted.Weighted)}
    compared = 0
    for level in range(len(DENSITIES)):
        for name, steps in stage_differences(net, graph, pixels, level):
            assert steps.max() <= 1, (name, level, steps.max())
            # Pools may differ where a mean is halfway between two steps; tables are imitated.
            limit = 0.001 if name in imitated else 0.1
            assert steps.mean() <= limit, (name, level, steps.mean())
            compared += 1
    stages = {step.stage.name for step in net.steps}
    ends = {op.name for op in graph.ops if isinstance(op, Softmax) and op.output in graph.outputs}
    kept = sum(op.name in stages and op.name not in ends for op in graph.ops)
    assert compared == kept * len(DENSITIES)


def test_gradients_pass_through_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """With settled ranges the tables are imitated; gradients are those of the real numbers."""
    case = next(case for case in CASES if case.name == "residual in place")
    net, pixels = prepared(trained_like(case), case.shape, group=2, seed=3)
    x = to_float_input(pixels[:20])
    found = []
    for imitated in (True, False):
        net.zero_grad()
        net.train()
        net.freeze_observers()
        if not imitated:
            monkeypatch.setattr(weighted, "settled", lambda net, step: False)
        logits = net(x, 1)
        F.cross_entropy(logits, torch.arange(20) % 5).backward()
        found.append((logits.detach(), {n: p.grad for n, p in net.named_parameters()}))
    assert not torch.equal(found[0][0], found[1][0])
    trained = {name for name, grad in found[0][1].items() if grad is not None}
    assert trained == {name for name, grad in found[1][1].items() if grad is not None}
    for name in trained:
        mine, plain = found[0][1][name].flatten(), found[1][1][name].flatten()
        assert torch.cosine_similarity(mine, plain, 0) > 0.98, name


def test_trained_network_keeps_its_decisions() -> None:
    """Train the digits a little; fake quantization and reference agree on 99.5 % of arg-max."""
    data = load_digits()
    pixels = np.rint(data.images * 255 / 16).astype(np.uint8)[..., None]
    labels = torch.from_numpy(data.target)
    torch.manual_seed(0)
    net, _ = prepared(build("digits_cnn", (8, 8, 1), 10), (8, 8, 1), 4, 8, ("stem", "head"))
    net.set_quantize(False)
    optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, nesterov=True)
    x = to_float_input(pixels)
    for epoch in range(7):
        net.train()
        if epoch == 6:
            quantize(net, pixels)
            optimizer.param_groups[0]["lr"] = 0.002
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            for level in range(net.n_levels):
                F.cross_entropy(net(x[batch], level), labels[batch]).backward()
            optimizer.step()
    graph = verify(export(net, levels(), PROVENANCE, "digits"))
    for level in range(net.n_levels):
        mine = predict(net, pixels, level).argmax(1)
        theirs = reference.run_one(graph, int8(pixels), level).reshape(len(pixels), -1).argmax(1)
        assert (mine == data.target).mean() > 0.9
        assert (mine == theirs).mean() >= 0.995, (level, (mine == theirs).mean())


@pytest.mark.parametrize(("name", "shape"), [("digits_cnn", (8, 8, 1)), ("resnet8", (16, 16, 3))])
def test_shipped_models_agree(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    net, pixels = prepared(build(name, shape, 10), shape, 4, seed=5)
    graph = verify(export(net, levels(), PROVENANCE, name))
    for level in range(len(DENSITIES)):
        largest, same = compare(net, graph, pixels[:128], level)
        assert largest <= 4 and same >= 0.995, (level, largest, same)


def test_weights_outside_every_level_are_zero() -> None:
    module = nn.Sequential(conv_bn(3, 5), conv_bn(5, 7), *head(7))
    net, _ = prepared(module, (7, 9, 3), 4, seed=1)
    graph = export(net, levels(), PROVENANCE, "net")
    for op in graph.ops:
        if isinstance(op, Conv2D | Linear):
            assert op.group_level is not None and op.group_size == 4
            size = op.weight.shape[-1]
            never = np.repeat(op.group_level == ir.NEVER, 4, axis=-1)[..., :size]
            assert never.any()
            assert not op.weight[never].any()
            kept = np.abs(op.weight.reshape(len(op.weight), -1)).max(1)
            assert (kept[kept > 0] == 127).all()


def test_contract_of_values() -> None:
    module = nn.Sequential(
        conv_bn(3, 5), nn.Conv2d(5, 5, 1), nn.AvgPool2d(2), nn.Conv2d(5, 5, 1), nn.ReLU6(),
        *head(5), nn.Softmax(1),
    )  # fmt: skip
    net, _ = prepared(module, (8, 6, 3), 2, seed=2)
    graph = verify(export(net, levels(), PROVENANCE, "net"))
    source = graph.only_input
    assert source.scale == (1 / 64,) * 3 and source.zero_point == 0
    values = {op.name: graph.value(op.output) for op in graph.ops}
    kinds = [type(op) for op in graph.ops]
    assert kinds == [
        Conv2D, Conv2D, AvgPool, Conv2D, AvgPool, Linear, Softmax,
    ]  # fmt: skip
    convs = [op for op in graph.ops if isinstance(op, Conv2D)]
    assert [values[op.name].zero_point for op in convs] == [-128, 0, -128]
    pool = next(op for op in graph.ops if isinstance(op, AvgPool))
    assert graph.value(pool.output).scale == graph.value(pool.input).scale
    relu6 = values[convs[2].name]
    assert len(set(relu6.scale)) == 1
    assert convs[2].act_max == min(127, round(6 / relu6.scale[0]) - 128)
    softmax = graph.ops[-1]
    assert isinstance(softmax, Softmax)
    logits = graph.value(softmax.input)
    assert len(set(logits.scale)) == 1
    assert softmax.table[0] == 2**15
    assert graph.only_output.scale == (1 / 256,) * 3
    assert graph.only_output.zero_point == -128


def test_dead_channels_do_not_cost_precision() -> None:
    """A channel without weights, whose variance is 0, has a huge gain that scales nothing."""
    module = nn.Sequential(conv_bn(3, 5), *head(5))
    net, pixels = prepared(module, (7, 5, 3), 1, seed=3)
    layer = net.weighted()["0.0"].module
    norm = net.steps[0].norm
    assert norm is not None and layer.level_map is not None
    layer.level_map[2] = ir.NEVER
    norm.running_var[:, 2] = 0.0
    norm.running_mean[:, 2] = 0.0
    quantize(net, pixels[:100])
    graph = verify(export(net, levels(), PROVENANCE, "net"))
    conv = graph.ops[0]
    assert isinstance(conv, Conv2D) and isinstance(conv.requant, ir.Requant)
    assert not conv.requant.multiplier[:, 2].any()
    assert np.abs(np.delete(conv.requant.multiplier, 2, axis=1)).max() > 8000
    for level in range(3):
        assert compare(net, graph, pixels, level)[0] <= 2


def extreme_affine(net: NestedNet) -> None:
    """Give the first batch norm zero, tiny, negative and large gains and large shifts."""
    norm = net.steps[0].norm
    assert norm is not None
    gains = torch.tensor([0.0, 1e-12, -1.5, 30.0, 1.0])
    shifts = torch.tensor([0.5, -40.0, 0.0, 3.0, 60.0])
    with torch.no_grad():
        for level in range(net.n_levels):
            norm.weight[level].copy_(gains)
            norm.bias[level].copy_(shifts * (1 + 0.3 * level))


@pytest.mark.parametrize("change", [extreme_affine])
def test_extreme_batch_norms(change: Callable[[NestedNet], None]) -> None:
    net, pixels = prepared(nn.Sequential(conv_bn(3, 5), *head(5)), (7, 5, 3), 4, seed=4)
    change(net)
    quantize(net, pixels[:200])
    graph = verify(export(net, levels(), PROVENANCE, "net"))
    for level in range(3):
        largest, same = compare(net, graph, pixels, level)
        assert largest <= 4 and same >= 0.995, (level, largest, same)


def test_a_large_gain_on_signed_inputs_is_no_overflow() -> None:
    """Images around mid-grey, as of a thermal camera: small outputs and accumulators near the
    limit. Export and verifier bound a signed input alike, by 128."""
    torch.manual_seed(0)
    shape = (64, 64, 3)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64 * 64 * 3, 16), nn.ReLU(), nn.Linear(16, 3))
    with torch.no_grad():
        module[1].bias.zero_()
    net = trace(module, shape)
    quantize(net, np.random.default_rng(0).integers(127, 129, (5, *shape), dtype=np.uint8))
    near_the_limit = 0
    for exponent in range(-20, 1):
        observer = net.observer(net.steps[1].stage.output)
        assert observer is not None
        observer.range.fill_(2.0**exponent)
        graph = verify(export(net, (ir.Level("l0", 0.0, None, None),), PROVENANCE, "net"))
        linear = next(op for op in graph.ops if isinstance(op, Linear))
        assert isinstance(linear.requant, ir.Requant)
        sums = np.abs(linear.weight.astype(np.int64)).sum(axis=1) << linear.requant.pre_shift
        near_the_limit += 2**31 // 255 < sums.max() <= 2**31 // 128
    assert near_the_limit


def test_export_before_quantization_is_refused() -> None:
    net = trace(nn.Sequential(conv_bn(3, 5), *head(5)), (7, 5, 3))
    net.set_levels(3)
    with pytest.raises(UserError, match=r"range of its output is not known.*level 0, 1, 2"):
        export(net, levels(), PROVENANCE, "net")


def test_wrong_number_of_levels_is_refused() -> None:
    net, _ = prepared(nn.Sequential(conv_bn(3, 5), *head(5)), (7, 5, 3), 4, seed=6)
    with pytest.raises(UserError, match="wrong number of levels; got 2, expected 3"):
        export(net, levels()[:2], PROVENANCE, "net")


def test_export_is_deterministic() -> None:
    first, second = (
        export(
            prepared(trained_like(CASES[0]), CASES[0].shape, 4, seed=7)[0],
            levels(), PROVENANCE, "net",
        )
        for _ in range(2)
    )  # fmt: skip
    for a, b in zip(first.ops, second.ops, strict=True):
        if isinstance(a, Conv2D) and isinstance(b, Conv2D):
            assert np.array_equal(a.weight, b.weight)
            assert isinstance(a.requant, ir.Requant) and isinstance(b.requant, ir.Requant)
            assert np.array_equal(a.requant.bias, b.requant.bias)
    assert first.values == second.values
