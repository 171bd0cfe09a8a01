"""Activation functions that are no clamp: on a device, a table of the 256 results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import fx

from codegen.errors import UserError
from codegen.graph import ir
from codegen.graph.ops import lookup as graph_lookup
from nestnet.net.fuse import Fused
from nestnet.net.graph_builder import GraphBuilder
from nestnet.net.grids import Grids
from nestnet.net.ops.clamp import Clamp
from nestnet.net.ops.common.weighted import settled
from nestnet.net.stages import Bound, GridRule, Network, OneInput, Run, Stage, Step
from nestnet.net.tensors import Arithmetic, Clip, NormParams
from nestnet.net.walk import CONSTANTS, Aten, Unsupported, Walk

SPELLED = (
    "leaky_relu/elu/selu/celu/gelu/silu/hardswish/hardsigmoid/sigmoid/tanh/softplus/mish, "
    "neg/abs/exp/square/sqrt/pow"
)

_LARGEST = {"sigmoid": 1.0, "hardsigmoid": 1.0}
"""Functions between 0 and this, whatever their input."""

_NAMED = ("sigmoid", "hardsigmoid", "tanh")
"""Functions that level off on both sides, by themselves."""
_FLAT = 1e-6
"""Most by which a function that levels off still changes."""
_FAR = 64.0
"""Beyond it every function is a line or a constant, in double precision."""


Functions = tuple[Callable[[torch.Tensor], torch.Tensor], ...]
"""One after the other."""


@dataclass(frozen=True)
class Function:
    """A function of one number, computed by the operator of an exported graph."""

    name: str
    arguments: tuple[float, ...] = ()
    """What stands behind the input."""
    form: str = ""
    """Which of two a gelu is."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the function of every element."""
        named = {"approximate": self.form} if self.form else {}
        y: torch.Tensor = getattr(torch.ops.aten, self.name)(x, *self.arguments, **named)
        return y


def _affine(function: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Arithmetic, ...]:
    """Return what a function is that is an affine; nothing for any other."""
    if not isinstance(function, Function):
        return ()
    if function.name == "neg":
        return (Arithmetic("mul", (-1.0,)),)
    if function.name not in ("mul", "div", "add"):
        return ()
    return (Arithmetic(function.name, function.arguments),)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Lookup(OneInput):
    """One function of every element after the other, rounded once."""

    functions: Functions
    """Each a :class:`Function` or a :class:`Clip`."""

    makes = (graph_lookup.Lookup,)
    grid = GridRule.OWN
    elementwise = True
    activations = (
        *("nn.LeakyReLU", "nn.ELU", "nn.SELU", "nn.CELU", "nn.GELU", "nn.SiLU", "nn.Hardswish"),
        *("nn.Hardsigmoid", "nn.Sigmoid", "nn.Tanh", "nn.Softplus", "nn.Mish"),
    )

    @property
    def fixed_range(self) -> float | None:
        """Return 1 for what a sigmoid makes."""
        last = self.functions[-1]
        return _LARGEST.get(last.name) if isinstance(last, Function) else None

    @property
    def one_scale(self) -> bool:
        """Return whether its output's range is fixed."""
        return self.fixed_range is not None

    @property
    def bound(self) -> Bound | None:
        """Return the last function if all of them together level off on both sides."""
        y = torch.linspace(-_FAR, _FAR, 8193, dtype=torch.float64)
        last: object = None
        for last in _without_limits(self.functions):
            y = last(y)
        at_ends, halfway = y[[0, -1]], y[[2048, -2049]]
        flat = bool(y.isfinite().all()) and torch.allclose(at_ends, halfway, rtol=0, atol=_FLAT)
        if last is None or not flat:
            return None
        name = last.name if isinstance(last, Function) else ""
        y = self.of(torch.linspace(-_FAR, _FAR, 8193, dtype=torch.float64))
        low, high = (round(float(end), 6) for end in (y.min(), y.max()))
        return Bound(name if name in _NAMED else "bounded function", low, high)

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return the functions' result for every element."""
        for function in self.functions:
            x = function(x)
        return x

    def fuse(self, done: Fused) -> None:
        """Become one table with a table, or a clamp that stands alone, in front of it; or, if this
        is an affine, part of the sums in front of it."""
        maker = done.maker(self.input)
        if isinstance(maker, Lookup | Clamp):
            before = maker.functions if isinstance(maker, Lookup) else (maker.act,)
            functions = (*before, *self.functions)
            done.replace(maker, Lookup(maker.name, maker.input, self.output, functions))
            return
        steps = tuple(step for function in self.functions for step in _affine(function))
        both: Stage | None = None
        if maker is not None and all(map(_affine, self.functions)):
            both = maker.with_norm(NormParams.affine(self.name, steps), self.output)
        if maker is not None and both is not None:
            done.replace(maker, both)
        else:
            done.append(self)

    def with_clip(self, clip: Clip, output: str) -> Stage | None:
        """Return the table with limits."""
        return replace(self, functions=(*self.functions, clip), output=output)

    def run(self, x: tuple[torch.Tensor, ...], at: Run) -> torch.Tensor:
        """Compute the functions, or read the integer table once the ranges are settled.

        Gradients are those of the functions.
        """
        y = self.of(x[0])
        if not settled(at.net, at.step):
            return y
        source, target = (self._value(at, name) for name in (self.input, self.output))
        steps = (x[0].detach().float() / source.scale[0]).round().long() + source.zero_point
        table = torch.from_numpy(self._table(source, target)[0]).to(y.device)
        entries = (table.float() - target.zero_point) * torch.tensor(target.scale[0])
        found = entries.to(y)[steps.clamp(-128, 127) - graph_lookup.FIRST]
        return y + (found - y).detach() if y.requires_grad else found

    def _value(self, at: Run, name: str) -> ir.Value:
        """Return a tensor's grid at one level."""
        grid = at.net.grid(name)
        return ir.Value(name, at.tensor(name).shape, (grid.scale[at.level],), grid.zero_point)

    def _table(self, source: ir.Value, target: ir.Value) -> ir.Int8Array:
        """Return the integer table, (levels, 256) or (1, 256)."""
        return graph_lookup.make_table(
            lambda real: self.of(torch.from_numpy(real)).numpy(), source, target
        )

    def non_negative(self, inputs: tuple[bool, ...]) -> bool:
        """Return whether the functions are never negative where the input can be."""
        least = 0.0 if all(inputs) else -_FAR
        return bool((self.of(torch.linspace(least, _FAR, 8193, dtype=torch.float64)) >= 0).all())

    def export(self, step: Step, graph: GraphBuilder) -> None:
        """Add a table."""
        x, y = graph.values[self.input], graph.observed(self)
        self._check_finite(graph.net.where(self), x)
        graph.ops.append(graph_lookup.Lookup(self.name, x.name, y.name, self._table(x, y)))

    def _check_finite(self, where: str, source: ir.Value) -> None:
        steps = torch.arange(-128, 128, dtype=torch.float64) - source.zero_point
        real = torch.tensor(source.scale, dtype=torch.float64)[:, None] * steps
        bad = ~self.of(real).isfinite()
        if bool(bad.any()):
            raise UserError(
                where,
                "the function has no finite value somewhere in its input's range",
                got=f"{float(self.of(real)[bad][0]):g} at {float(real[bad][0]):g}",
                expected="finite values",
                action="Limit its input, or add a small number to it",
            )

    def table_bytes(self, network: Network, levels: int) -> int:
        """Return the bytes of a table for each level, or of one where all levels have one scale at
        both ends."""
        grids = Grids(network)
        ends = (self.input, self.output)
        shared = all(grids.of(name) in network.inputs or grids.one_scale(name) for name in ends)
        return graph_lookup.ENTRIES * (1 if shared else levels)


def _without_limits(functions: Functions) -> Functions:
    """Return ``functions`` without the limits they end in."""
    while functions and isinstance(functions[-1], Clip):
        functions = functions[:-1]
    return functions


@dataclass(frozen=True)
class Both:
    """A function of what two functions make of one number."""

    first: Functions
    second: Functions
    combine: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the function of every element."""
        sides = []
        for functions in (self.first, self.second):
            y = x
            for function in functions:
                y = function(y)
            sides.append(y)
        return self.combine(*sides)


def as_table(
    stage: Stage, combine: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], done: Fused
) -> Lookup | None:
    """Return what ``stage`` is, which combines its two inputs element by element, if both are
    functions of one tensor: a table. What nothing else reads of them is taken out of ``done``."""
    first, second = (_origins(name, done) for name in stage.inputs)
    for source in first:
        if source in second:
            one, its_makers = first[source]
            other, more_makers = second[source]
            for maker in (*its_makers, *more_makers):
                done.remove(maker)
            done.read_once(source)
            return Lookup(stage.name, source, stage.output, (Both(one, other, combine),))
    return None


def _origins(name: str, done: Fused) -> dict[str, tuple[Functions, tuple[Stage, ...]]]:
    """Return the tensors that tensor ``name`` is a function of, element by element, with the
    functions and the stages that compute them."""
    found: dict[str, tuple[Functions, tuple[Stage, ...]]] = {name: ((), ())}
    maker = done.maker(name)
    while isinstance(maker, Lookup | Clamp):
        functions, stages = found[name]
        mine = maker.functions if isinstance(maker, Lookup) else (maker.act,)
        name = maker.inputs[0]
        found[name] = (*mine, *functions), (maker, *stages)
        maker = done.maker(name)
    return found


def emit_function(walk: Walk, node: fx.Node, source: object, *functions: Function) -> None:
    """Append functions of the activation ``source`` as what ``node`` computes.

    Raises:
        Unsupported: ``source`` is none.
    """
    tensor = walk.read(source, channel_axis=None)
    if tensor is None:
        raise Unsupported("an operand is not an activation", source)
    walk.emit(node, tensor, lambda name, output: Lookup(name, tensor.name, output, functions))


def _read(walk: Walk, node: fx.Node) -> None:
    tensor = walk.activation(node, channel_axis=None)
    name = str(node.target).removeprefix("aten.").partition(".")[0].rstrip("_")
    arguments = node.args[1:]
    numbers = tuple(float(value) for value in arguments if isinstance(value, int | float))
    if len(numbers) != len(arguments):
        raise Unsupported(
            "activation whose form is computed", arguments, "numbers as arguments", CONSTANTS
        )
    form = str(node.kwargs.get("approximate", ""))
    function = Function(name, numbers, form)
    walk.emit(node, tensor, lambda stage, output: Lookup(stage, tensor.name, output, (function,)))


ATEN = dict.fromkeys(
    (
        *("leaky_relu", "elu", "selu", "celu", "gelu", "silu", "hardswish", "hardsigmoid"),
        *("sigmoid", "tanh", "softplus", "mish", "neg", "abs", "exp", "square", "sqrt", "pow"),
    ),
    Aten(_read),
)
