"""Prove that a nested network computes what the user's module computes.

Every stage is run alone, in float64, on the values that the module's own graph has at the stage's
inputs, and compared with what the graph makes of them. So a difference is found where it arises,
however small the network makes it further on, and rounding does not add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from codegen.errors import UserError
from nestnet.frontend.capture import Trace
from nestnet.frontend.problems import place
from nestnet.frontend.replay import replay
from nestnet.net.fuse import moved_activations
from nestnet.net.stages import Stage
from nestnet.net.tensors import Tensor as Activation
from nestnet.net.tensors import flat_order

TOLERANCE = 1e-8
"""Largest difference, in float64, as a share of the largest value the stage makes. Both sides hold
the same float32 weights, and float64 rounds at 1e-16."""
COMPOSED = 1e-6
"""The same, as a share of the largest of all values, for a stage with numbers that are rounded to
float32."""
FLOOR = 1e-13
"""The same as a share of the largest input: sums that cancel to nothing."""

Run = Callable[[Mapping[str, Tensor]], Tensor]
"""Executes one stage on the values of its inputs."""


@torch.no_grad()
def prove_equal(traced: Trace, stages: Iterable[tuple[Stage, Run]]) -> None:
    """Check every stage of a nested network in evaluation mode.

    Args:
        traced: the module's graph.
        stages: in execution order, with what runs each of them in float64.

    Raises:
        UserError: names the first stage that differs, or that makes something that is no number.
    """
    network, reading = traced.network, traced.reading
    nodes = reading.nodes
    known = [tensor for tensor in network.tensors if tensor.name in nodes]
    wanted_at = {tensor.name: nodes[tensor.name] for tensor in known}
    found = replay(
        reading.program,
        [x.double() for x in traced.images],
        set(wanted_at.values()),
        as_evaluation=traced.as_evaluation,
    )
    wanted = {tensor.name: in_own_order(found[wanted_at[tensor.name]], tensor) for tensor in known}
    moved = moved_activations(network)
    values = {name: wanted[name] for name in network.inputs}
    for stage, run in stages:
        got = run(values)
        if stage.output in moved or stage.output not in wanted:  # in the module it is nowhere
            values[stage.output] = got
            continue
        values[stage.output] = wanted[stage.output]
        node = nodes.get(stage.name, wanted_at[stage.output])
        where = f"layer '{stage.name}' ({place(node)})"
        inputs = [values[name] for name in stage.inputs]
        _compare(where, got, wanted[stage.output], inputs, COMPOSED if stage.is_composed else FLOOR)


def in_own_order(value: Tensor, tensor: Activation) -> Tensor:
    """Return PyTorch's ``value`` of ``tensor`` as a nested network holds it: a flattened map in
    h, w, c order."""
    value = value.reshape(-1, *tensor.torch_shape)
    return value if tensor.flat_from is None else value[:, flat_order(tensor.flat_from)]


def _compare(
    where: str, got: Tensor, wanted: Tensor, inputs: Iterable[Tensor], floor: float
) -> None:
    if not bool(wanted.isfinite().all()):
        raise UserError(
            where,
            "the module computes infinite values or values that are no numbers",
            got=f"{int((~wanted.isfinite()).sum())} of {wanted.numel()} values on random images",
            expected="finite values",
            action="Correct its weights",
        )
    largest = float(wanted.abs().max())
    most = max(largest, *(float(x.abs().max()) for x in inputs))
    limit = TOLERANCE * largest + floor * most
    difference = float((got - wanted).abs().max()) if got.shape == wanted.shape else float("inf")
    if not difference <= limit:
        raise UserError(
            where,
            "the nested network computes something else here than the module",
            got=f"a difference of {difference:.3g} where the largest value is {largest:.3g}",
            expected="the same values on random images",
            action="This is an error of nestnet: report the model; another way to write this "
            "layer may avoid it",
        )
