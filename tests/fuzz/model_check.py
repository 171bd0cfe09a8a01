"""What a random module must survive: float equality, quantization, the same bits in C."""

from __future__ import annotations

import copy
import linecache
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, fx, nn

import nestnet
from codegen.emit import project
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.ir import Graph, Int8Array
from codegen.graph.ops.softmax import Softmax as SoftmaxOp
from codegen.measure import compare
from codegen.target import toolchain
from codegen.target.target import resolve
from nestnet.frontend.replay import Float32Epsilon
from nestnet.frontend.tracing import trace
from nestnet.net.network import NestedNet, predict, to_float_input
from tests.fuzz.model_source import ModelCase

IMAGES = 200
TOLERANCE = 1e-4
"""Largest difference in float, as a share of the largest output."""
SANE_DB = 25.0
"""Ratio of signal to quantization noise, in dB, that is enough for any network."""
ROUNDING_DB = 6.0
"""How far below a plain rounding of each tensor a network may fall whose plain rounding is bad."""
PRUNING_DB = 14.0
"""The same of its densest level, whose weights are pruned without training."""
WEIGHTED = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.Linear
SHA256 = "0123456789abcdef" * 4

NOT_PRUNABLE = ("the network has no layer that can be pruned", "too few groups to tell the levels")
"""What a module without levels is refused with; it is then checked as a dense one."""


class Broken(Exception):
    """Say what does not hold for a module."""


@dataclass(frozen=True)
class Checked:
    """A module that holds what it must, up to C."""

    case: ModelCase
    graph: Graph
    images: NDArray[np.int8]
    sqnr_db: float
    plain_db: float
    """The same of plain rounding, see :func:`plain_rounding_db`."""
    refusal: str
    """Why the levels that were asked for are not there; empty where they are."""


def build_module(case: ModelCase) -> nn.Module:
    """Return the case's module in evaluation mode, with random weights and sane statistics.

    Batch norms hold the statistics of :func:`random_images`, somewhat wrong, as trained ones are.
    They are measured in double precision: see :func:`check_model`. Where a tensor cannot be viewed,
    which depends on how PyTorch's operators lay out their results, it is reshaped.
    """
    try:
        return _built(case, case.source)
    except RuntimeError as error:
        if "view size is not compatible" not in str(error):
            raise
        return _built(case, case.source.replace(".view(", ".reshape("))  # as PyTorch advises


def _built(case: ModelCase, source: str) -> nn.Module:
    name = f"model-{case.seed}.py"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space: dict[str, Any] = {"torch": torch, "nn": nn, "F": F}
    exec(compile(source, name, "exec"), space)  # its own generator wrote it
    torch.manual_seed(case.seed)
    module: nn.Module = space["Net"]()
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, WEIGHTED):
                nn.init.normal_(part.weight, 0, math.sqrt(1.6 / part.weight[0].numel()))
                if part.bias is not None:
                    nn.init.normal_(part.bias, 0, 0.2)
        for norm in norms:
            norm.momentum = 1.0
        module.double().train()(network_input(random_images(case, IMAGES)))
        module.float()
        for norm in norms:
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_var.clamp_(min=0.01)
            norm.running_mean += norm.running_var.sqrt() * torch.randn(norm.num_features) * 0.3
            norm.running_var *= torch.empty(norm.num_features).uniform_(0.6, 1.6)
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                norm.weight *= torch.where(torch.rand(norm.num_features) < 0.2, -1.0, 1.0)
                nn.init.normal_(norm.bias, 0, 0.4)
    return module.eval()


def random_images(case: ModelCase, count: int) -> NDArray[np.uint8]:
    """Return uint8 images (n, h, w, c): a brightness, a slope and noise, different in each."""
    random = np.random.default_rng(case.seed)
    h, w, c = case.input_shape
    y, x = np.linspace(-1, 1, h)[:, None, None], np.linspace(-1, 1, w)[None, :, None]
    level, dy, dx = (random.normal(0, size, (count, 1, 1, c)) for size in (40, 30, 30))
    noise = random.normal(0, 25, (count, h, w, c))
    return np.clip(128 + level + dy * y + dx * x + noise, 0, 255).astype(np.uint8)


def network_input(images: NDArray[np.uint8]) -> Tensor:
    """Return images as a module gets them, in double precision.

    Contiguous in the order n, c, h, w: for another order view() fails in the module itself.
    """
    return to_float_input(images).double().contiguous()


def check_model(case: ModelCase, folder: Path) -> Checked:
    """Check the case from its module to the integer reference; ``folder`` is for its file.

    The module itself computes in double precision, where PyTorch does not call oneDNN, which in
    single precision takes memory that nobody has written for part of some maps of width 1.

    Raises:
        Broken: the traced network is another function, or quantization costs more than it must.
        UserError: the module is refused.
    """
    module = build_module(case)
    images = random_images(case, IMAGES)
    inputs = network_input(images)
    exact = copy.deepcopy(module).double()
    with torch.no_grad(), Float32Epsilon():
        wanted = exact(inputs)
    dense = trace(module, case.input_shape).eval()
    check_float(wanted, dense, inputs)
    floats = predict(dense, images, 0)
    nestnet.quantize(dense, images)
    plain_db = plain_rounding_db(exact, inputs)
    _check_rounding(worst_db(rows(floats), rows(predict(dense, images, 0))), plain_db - ROUNDING_DB)
    net, refusal = _nest(module, case)
    densest = net.n_levels - 1
    floats = predict(net, images, densest)
    nestnet.quantize(net, images)
    path = nestnet.export(net, folder / f"model_{case.seed}.nestnet")
    graph = nestfile.load(path)
    device = (images.astype(np.int16) - 128).astype(np.int8)
    rounded = rows(predict(net, images, densest))
    if not isinstance(graph.ops[-1], SoftmaxOp):
        rounded = dequantized(graph, device, densest)
    sqnr_db = worst_db(rows(floats), rounded)
    _check_rounding(sqnr_db, plain_db - PRUNING_DB)
    return Checked(case, graph, device, sqnr_db, plain_db, refusal)


def _check_rounding(sqnr_db: float, least_db: float) -> None:
    if sqnr_db < min(SANE_DB, least_db):
        raise Broken(
            f"int8 is {sqnr_db:.1f} dB from float; by plain rounding of every tensor it should be "
            f"{min(SANE_DB, least_db):.1f} dB at least"
        )


def _nest(module: nn.Module, case: ModelCase) -> tuple[NestedNet, str]:
    """Return the nested network, a dense one where no levels can be made, and why not."""
    try:
        net = nestnet.nest(module, case.input_shape, sparsity=case.sparsity, group=case.group)
    except UserError as error:
        if not any(text in str(error) for text in NOT_PRUNABLE):
            raise
        return nestnet.nest(module, case.input_shape, sparsity=(0.0,)).eval(), error.what
    return net.eval(), ""


def check_float(wanted: Any, net: NestedNet, inputs: Tensor) -> None:
    """Compare a traced network with what its module gives for ``inputs``; Broken if they differ."""
    with torch.no_grad():
        found = rows(net(inputs.float()))
    for number, (got, exact) in enumerate(zip(found, rows(wanted), strict=True)):
        error = float(np.abs(got - exact).max()) / max(float(np.abs(exact).max()), 1e-6)
        if not error <= TOLERANCE:
            raise Broken(
                f"the traced network differs in float by {error:.2g} of the largest value of "
                f"output {number}"
            )


def rows(outputs: Any) -> list[NDArray[np.float64]]:
    """Return each output, a tensor or an array (n, ...), as (n, values)."""
    parts = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [torch.as_tensor(part).detach().double().flatten(1).numpy() for part in parts]


def dequantized(graph: Graph, device: Int8Array, level: int) -> list[NDArray[np.float64]]:
    """Return the outputs of the integer graph as real numbers, in a module's order of axes."""
    found = []
    for name, raw in zip(graph.outputs, reference.run(graph, (device,), level), strict=True):
        value = graph.value(name)
        ordered = raw.transpose(0, 3, 1, 2).astype(np.float64)
        found.append((ordered - value.zero_point) * value.scale[level])
    return rows(found)


def worst_db(signals: Sequence[NDArray[Any]], rounded: Sequence[NDArray[Any]]) -> float:
    """Return the :func:`ratio_db` of the output that has the lowest."""
    return min(ratio_db(*pair) for pair in zip(signals, rounded, strict=True))


def ratio_db(signal: NDArray[Any], rounded: NDArray[Any]) -> float:
    """Return the power of ``signal`` over that of its difference from ``rounded``, in dB."""
    noise = float(np.square(signal - rounded, dtype=np.float64).sum())
    return 10 * math.log10(float(np.square(signal, dtype=np.float64).sum()) / max(noise, 1e-30))


class _Rounding(fx.Interpreter):
    """Runs a module with every result rounded to 255 steps of its largest value; an average keeps
    the steps of what it averages, as in docs/integer-contract.md and in TFLite."""

    def run_node(self, n: fx.Node) -> Any:
        """Run one operation of the module and round what it gives."""
        first = self.env.get(n.args[0]) if n.args and isinstance(n.args[0], fx.Node) else None
        step = _step(first) if isinstance(first, Tensor) and self._averages(n) else None
        result = super().run_node(n)
        if not isinstance(result, Tensor) or n.op in ("output", "get_attr"):
            return result
        step = _step(result) if step is None else step
        return (result / step).round() * step

    def _averages(self, n: fx.Node) -> bool:
        target = type(self.fetch_attr(str(n.target))) if n.op == "call_module" else n.target
        name = getattr(target, "__name__", str(target))
        return name == "mean" or "avg_pool" in name or "AvgPool" in name


def _step(values: Tensor) -> Tensor:
    """Return the step of a tensor; the infinities that some pad with stay what they are."""
    return values.abs().nan_to_num(posinf=0.0).max().clamp(min=1e-12) / 127


def plain_rounding_db(module: nn.Module, inputs: Tensor) -> float:
    """Return how near the module's result before a softmax stays when all tensors are rounded to
    int8, weights by output channel: what an ordinary quantizer would reach.

    It knows nothing of nestnet's stages, so it is a fair measure of how hard a module is.
    """
    traced = fx.symbolic_trace(module)
    _cut_softmax(traced)
    with torch.no_grad():
        exact = rows(traced(inputs))
        for parameter in traced.parameters():
            if parameter.dim() > 1:
                flat = parameter.flatten(1)
                step = flat.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
                flat.copy_((flat / step).round() * step)
        rounded = rows(_Rounding(traced).run(inputs))
    return worst_db(exact, rounded)


def _cut_softmax(traced: fx.GraphModule) -> None:
    """Let the module return what its last softmax reads."""
    output = next(node for node in traced.graph.nodes if node.op == "output")
    last = output.args[0]
    if not isinstance(last, fx.Node):
        return
    name = str(last.target) + str(getattr(last.target, "__name__", ""))
    if "softmax" in name:
        output.args = (last.args[0],)
        traced.graph.eliminate_dead_code()
        traced.recompile()


def check_bits(checked: Checked, board_id: str, folder: Path, count: int = 3) -> None:
    """Build the network for a board and compare every level on ``count`` images with the reference.

    Then do so once more with some of its inner values as outputs, too.

    Raises:
        Broken: some bit differs.
        UserError: the network is refused, or a tool is missing.
    """
    check_graph(checked.graph, checked.images[:count], board_id, folder)
    check_graph(with_more_outputs(checked.graph), checked.images[:count], board_id, folder)


def with_more_outputs(graph: Graph) -> Graph:
    """Return ``graph`` with up to two inner values as further outputs, before its own.

    Those have one scale for all levels, as edges do; where there are none, it stays as it is.
    """
    given = set(graph.inputs)
    inner = []
    for op in graph.ops:
        if op.is_view and op.inputs[0] in given:
            given.add(op.output)
        elif op.output not in graph.outputs and len(set(graph.value(op.output).scale)) == 1:
            inner.append(op.output)
    more = inner[:: max(1, len(inner) - 1)][:2]
    return replace(graph, outputs=(*more, *graph.outputs), name=f"{graph.name}_more")


def check_graph(graph: Graph, images: Int8Array, board_id: str, folder: Path) -> None:
    """Build ``graph`` for a board and compare it on ``images`` with the reference.

    Raises:
        Broken: some bit differs.
        UserError: the network is refused, or a tool is missing.
    """
    place = folder / f"{graph.name}-{board_id}"
    project.write(graph, SHA256, resolve(board_id), place)
    made = compare.compare(toolchain.build(place), graph, (images,), None, range(len(graph.levels)))
    if not made.bit_exact:
        raise Broken(f"{board_id}: {made.differences[0]}")
