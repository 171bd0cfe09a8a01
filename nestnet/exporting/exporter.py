"""Export a trained nested network to the integer graph (docs/integer-contract.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from codegen.errors import UserError
from codegen.graph import ir
from codegen.graph.ops.add import Add
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.max_pool import MaxPool
from codegen.graph.ops.reshape import Reshape
from codegen.graph.ops.softmax import MAX_CHANNELS, Softmax
from nestnet.frontend import stages as st
from nestnet.net.epilogue import UNIT_WEIGHT, integer_weight
from nestnet.net.nested import NestedWeight
from nestnet.net.network import NestedNet, Step
from nestnet.net.requant import make_add


def export(
    net: NestedNet, levels: Sequence[ir.Level], provenance: ir.Provenance, name: str
) -> ir.Graph:
    """Return the integer graph of ``net``, every level included.

    Args:
        net: a network whose activation ranges are known, after
            :func:`nestnet.net.quantize.quantize`.
        levels: one description per level, sparsest first.
        provenance: where the graph comes from.
        name: lower-case C identifier.

    Raises:
        UserError: unknown activation ranges, a wrong number of levels, or numbers that the integer
            arithmetic cannot hold.
    """
    if len(levels) != net.n_levels:
        raise UserError(
            "export",
            "wrong number of levels",
            got=len(levels),
            expected=net.n_levels,
            action="Describe every level of the network",
        )
    return _Exporter(net).graph(tuple(levels), provenance, name)


class _Exporter:
    """State of one export: the values and operators made so far."""

    def __init__(self, net: NestedNet) -> None:
        self.net = net
        self.network = net.network
        self.values: dict[str, ir.Value] = {}
        """Tensor name of the traced network -> value; several may share one."""
        self.ops: list[ir.Op] = []

    def graph(self, levels: tuple[ir.Level, ...], provenance: ir.Provenance, name: str) -> ir.Graph:
        source = self.network.input
        self._check_edges()
        grid = self.net.grid(source)
        given = self._add_value(source, source, grid.scale, grid.zero_point)
        with torch.no_grad():
            for step in self.net.steps:
                self._export_step(step)
        computed = self.values[self.network.output]
        unique = {value.name: value for value in self.values.values()}
        unique[given.name] = replace(given, meaning="pixels")
        unique[computed.name] = replace(computed, meaning=_meaning(computed.shape, provenance))
        return ir.Graph(
            name=name,
            inputs=(given.name,),
            outputs=(computed.name,),
            values=tuple(unique.values()),
            ops=tuple(self.ops),
            levels=levels,
            provenance=provenance,
        )

    def _check_edges(self) -> None:
        """Refuse inputs and outputs that are too large for the firmware's description of them."""
        edges = {"input": self.network.input, "output": self.network.output}
        for what, name in edges.items():
            shape = self.network.tensor(name).shape
            if max(shape) > ir.MAX_EXTENT:
                raise UserError(
                    f"the model's {what}",
                    "too large",
                    got=" x ".join(map(str, shape)) + " in h, w, c",
                    expected=f"at most {ir.MAX_EXTENT} of each",
                    action="Use fewer classes" if what == "output" else "Scale the images down",
                )

    def _add_value(
        self, tensor: str, name: str, scale: tuple[float, ...], zero_point: int
    ) -> ir.Value:
        value = ir.Value(name, self.network.tensor(tensor).shape, scale, zero_point)
        self.values[tensor] = value
        return value

    def _export_step(self, step: Step) -> None:
        stage = step.stage
        if isinstance(stage, st.Conv | st.Linear):
            self._export_weighted(step, stage)
        elif isinstance(stage, st.Add):
            self._export_add(stage, stage.inputs, stage.act)
        elif isinstance(stage, st.Activation):
            self._export_add(stage, (stage.input, stage.input), stage.act)
        elif isinstance(stage, st.MaxPool | st.AvgPool):
            x = self.values[stage.input]
            y = self._add_value(stage.output, stage.name, x.scale, x.zero_point)
            kind = MaxPool if isinstance(stage, st.MaxPool) else AvgPool
            self.ops.append(
                kind(stage.name, x.name, y.name, stage.kernel, stage.stride, stage.padding)
            )
        elif isinstance(stage, st.Softmax):
            self._export_softmax(stage)
        elif isinstance(stage, st.Reshape):
            x = self.values[stage.input]
            self.values[stage.output] = x
            if self.network.tensor(stage.output).shape != x.shape:
                y = self._add_value(stage.output, stage.name, x.scale, x.zero_point)
                self.ops.append(Reshape(stage.name, x.name, y.name))
        elif isinstance(stage, st.Dropout):
            self.values[stage.output] = self.values[stage.input]

    def _observed(self, stage: st.Stage) -> ir.Value:
        """Add the value a stage with its own quantization produces."""
        observer = self.net.observer(stage.output)
        assert observer is not None
        if not bool((observer.range > 0).all()):
            missing = [str(k) for k, span in enumerate(observer.range.tolist()) if not span > 0]
            raise UserError(
                self.net.where(stage),
                "the range of its output is not known",
                got=f"no data seen at level {', '.join(missing)}",
                expected="ranges of all levels",
                action="Quantize the network first: nestnet.quantize",
            )
        scale = tuple(float(observer.scale(level)) for level in range(self.net.n_levels))
        return self._add_value(stage.output, stage.name, scale, observer.zero_point)

    def _export_weighted(self, step: Step, stage: st.Conv | st.Linear) -> None:
        x = self.values[stage.input]
        y = self._observed(stage)
        residual_name = stage.residual if isinstance(stage, st.Conv) else None
        residual = self.values[residual_name] if residual_name else None
        epilogue = self.net.epilogue(step)
        requant = epilogue.requant
        if step.layer is None:
            weight = np.full((y.shape[2], 1, 1, 1), UNIT_WEIGHT, np.int8)
            group_size, group_level = 1, None
        else:
            weight = _stored_weight(step.layer)
            group_size, group_level = _group_levels(step.layer)
        act_min, act_max = _limits(stage.act, y)
        if isinstance(stage, st.Linear):
            self.ops.append(
                Linear(
                    stage.name,
                    x.name,
                    y.name,
                    weight,
                    group_size,
                    group_level,
                    requant,
                    act_min,
                    act_max,
                )
            )
            return
        fused = None
        if residual is not None and epilogue.residual_multiplier is not None:
            fused = ir.Residual(residual.name, epilogue.residual_multiplier)
        self.ops.append(
            Conv2D(
                stage.name,
                x.name,
                y.name,
                weight,
                group_size,
                group_level,
                stage.stride,
                stage.padding,
                stage.groups,
                requant,
                act_min,
                act_max,
                fused,
            )
        )

    def _export_add(
        self, stage: st.Add | st.Activation, inputs: tuple[str, str], act: st.Clip | None
    ) -> None:
        """Export an addition, or a lone activation as x * m + x * 0 with limits."""
        a, b = (self.values[name] for name in inputs)
        y = self._observed(stage)
        gains = np.stack([np.array(a.scale), np.array(b.scale)], axis=1)
        gains /= np.array(y.scale)[:, None]
        if isinstance(stage, st.Activation):
            gains[:, 1] = 0.0
        multiplier, offset, shift = make_add(gains, (a.zero_point, b.zero_point), y.zero_point)
        act_min, act_max = _limits(act, y)
        self.ops.append(
            Add(stage.name, (a.name, b.name), y.name, multiplier, offset, shift, act_min, act_max)
        )

    def _export_softmax(self, stage: st.Softmax) -> None:
        """Export a softmax; the logarithm of one is left out, logits have the same order."""
        x = self.values[stage.input]
        if stage.log:
            self.values[stage.output] = x
            return
        if x.shape[2] > MAX_CHANNELS:
            raise UserError(
                self.net.where(stage),
                "softmax over too many channels",
                got=x.shape[2],
                expected=f"at most {MAX_CHANNELS}",
                action="Remove the softmax; the arg-max of the logits is the same",
            )
        table = np.rint(2.0**15 * np.exp(-x.scale[0] * np.arange(256))).astype(np.uint16)
        y = self._add_value(stage.output, stage.name, (1 / 256,) * self.net.n_levels, -128)
        self.ops.append(Softmax(stage.name, x.name, y.name, table))


def _meaning(shape: ir.Shape, provenance: ir.Provenance) -> ir.Meaning:
    """Return what the output is: only names of classes tell scores from other lists of numbers."""
    if shape[:2] != (1, 1):
        return "map"
    return "class_scores" if provenance.class_names else "plain"


def _stored_weight(layer: NestedWeight) -> ir.Int8Array:
    """Return int8 weights (O, kh, kw, I) or (O, I)."""
    steps = integer_weight(layer)
    if steps.dim() == 4:
        steps = steps.permute(0, 2, 3, 1)
    return np.ascontiguousarray(steps.cpu().numpy().astype(np.int8))


def _group_levels(layer: NestedWeight) -> tuple[int, ir.Uint8Array | None]:
    """Return the group size and the level map, channels last."""
    if layer.level_map is None:
        return 1, None
    groups = layer.level_map.cpu().numpy()
    if groups.ndim == 4:
        groups = groups.transpose(0, 2, 3, 1)
    return layer.group_size, np.ascontiguousarray(groups)


def _limits(act: st.Clip | None, value: ir.Value) -> tuple[int, int]:
    """Return act_min and act_max: the activation's limits in int8 steps."""
    if act is None:
        return -128, 127
    limits = []
    for limit, open_end in ((act.lo, -128), (act.hi, 127)):
        if math.isinf(limit):
            limits.append(open_end)
        else:
            steps = round(limit / value.scale[-1]) + value.zero_point
            limits.append(min(max(steps, -128), 127))
    return limits[0], limits[1]
