"""Turn a user's module into a typed op list by reading its torch.export graph.

Nothing here looks at module classes: functional calls, hand-written blocks and nn modules give the
same graph. The graph must compute what the module computes in evaluation mode, which is what a
device runs; :mod:`nestnet.frontend.proof` compares the nested network with it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from codegen.errors import UserError
from nestnet.frontend.problems import CannotExpress, place
from nestnet.frontend.reader import Reading, dropouts, read
from nestnet.frontend.replay import Float32Epsilon, replay
from nestnet.frontend.torch_export import (
    export,
    fed_shapes,
    fixed_batch,
    float_clone,
    one_line,
    quiet,
)
from nestnet.net.fuse import fuse
from nestnet.net.stages import Network, Stage
from nestnet.net.tensors import Given, shapes_of
from nestnet.notices import notice

IMAGES = 3
"""Random images that graph and module are compared on; another number than the graph was captured
with."""
TOLERANCE = 1e-4
"""Of the largest output; in float32 where the module's code asks for it. Graph and module call the
same operators with the same values, so they usually agree to the last bit."""


@dataclass(frozen=True, eq=False)
class Trace:
    """A traced module: fused stages and the graph they were read from."""

    network: Network
    reading: Reading
    as_evaluation: bool
    """Whether the graph was captured in training mode, and has to be replayed as in evaluation."""
    images: tuple[Tensor, ...]
    """What graph and module were compared on: (n, c, h, w) or (n, c, w) for each input."""
    training_ends: tuple[Stage | None, ...]
    """What the module computes of each output's logits in training mode, as far as that can be
    read."""


def capture(module: nn.Module, input_shape: Given | tuple[Given, ...]) -> Trace:
    """Return the fused stages of ``module`` for inputs of ``input_shape``, (h, w, c) or (samples,
    channels); a tuple of such shapes where there are several inputs.

    The module is captured in training mode with a free batch size; it is not changed. Where that
    graph cannot be expressed, or computes something else in evaluation mode than the module does,
    the graph of evaluation mode is taken, and a notice says what is left out: stochastic depth,
    auxiliary outputs and whatever else happens in training only.

    Raises:
        UserError: torch.export cannot capture the module; it uses operators, options of operators
            or ways of sharing weights that the integer graph cannot express; a weight is not a
            number; or the module's evaluation mode cannot be reproduced.
    """
    fed = fed_shapes(module, shapes_of(input_shape))
    images = random_images(fed)
    name = type(module).__name__
    reading: Reading | None = None
    training_ends: tuple[Stage | None, ...] = ()
    seen: set[str] = set()
    try:
        exported = export(module, fed, training=True)
        seen = dropouts(exported)
        reading = read(exported, module, evaluation=False)
        left_out = "its outputs differ"
    except CannotExpress as problem:
        left_out = problem.summary
    except UserError as problem:
        left_out = f"{problem.what}: {problem.got}"
    if reading is not None:
        training_ends = reading.network.ends
        traced = Trace(fuse(reading.network), reading, True, images, training_ends)
        _check_values(traced, module)
        if _agrees(module, traced):
            return _checked(traced, module)
    try:
        exported = export(module, fed, training=False)
    except UserError as problem:
        raise fixed_batch(module, fed) or problem from None
    reading = read(exported, module, evaluation=True, training_dropouts=seen)
    if len(training_ends) != len(reading.network.outputs):  # unread, or with auxiliary outputs
        training_ends = reading.network.ends
    traced = Trace(fuse(reading.network), reading, False, images, training_ends)
    traced = _checked(traced, module)
    _check_values(traced, module)
    if not _agrees(module, traced):
        raise UserError(
            f"model {name}",
            "its captured graph does not compute what it computes",
            got="different outputs for the same images in evaluation mode",
            expected="a module whose outputs depend on its input and its weights alone",
            action="Remove random numbers and state that changes from call to call",
        )
    notice(
        f"model {name}: nested as it computes in evaluation mode; what it does in training mode "
        f"only is left out, while training too ({left_out})"
    )
    return traced


def constants(traced: Trace) -> dict[str, Tensor]:
    """Return the values of the constants that the module computes of its parameters, trainable
    where any of those is.

    Raises:
        UserError: one that differs between images, or is not finite.
    """
    reading = traced.reading
    wanted = set(reading.computed.values())
    if not wanted:
        return {}
    images = [x.double() for x in traced.images]
    found = replay(reading.program, images, wanted, as_evaluation=traced.as_evaluation)
    values: dict[str, Tensor] = {}
    for name, node in reading.computed.items():
        value = found[node].float()
        if isinstance(node.meta["val"].shape[0], torch.SymInt):
            if not bool((value == value[:1]).all()):
                raise _bad_constant(node, "differs between the images of a batch", "one for all")
            value = value[:1]
        if not bool(value.isfinite().all()):
            raise _bad_constant(node, "has infinite values, or such that are no numbers", "numbers")
        values[name] = value.clone().requires_grad_()
    return values


def _bad_constant(node: fx.Node, what: str, expected: str) -> UserError:
    return UserError(
        place(node),
        f"a constant that is computed {what}",
        got=node.name,
        expected=expected,
        action="Store what shall be added or multiplied as a parameter or buffer",
    )


def random_images(fed: Sequence[tuple[int, ...]]) -> tuple[Tensor, ...]:
    """Return a batch of each of ``fed``, (c, h, w) or (c, w), with values in -2..2, always the same
    ones."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand((IMAGES, *shape), generator=generator) * 4 - 2 for shape in fed)


def _agrees(module: nn.Module, traced: Trace) -> bool:
    """Return whether the graph computes what ``module`` computes in evaluation mode.

    Raises:
        UserError: the module fails there.
    """
    program, images = traced.reading.program, traced.images
    try:
        outputs = _outputs(module, images)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise UserError(
            f"model {type(module).__name__}",
            "fails in evaluation mode",
            got=f"{type(error).__name__}: {one_line(error)}",
            expected="a forward that works in both modes",
            action="Correct it",
        ) from error
    exact = [x.double() for x in images]
    found = replay(program, exact, set(program.outputs), as_evaluation=traced.as_evaluation)
    got = [found[node] for node in program.outputs]
    return len(got) == len(outputs) and all(map(_same, got, outputs))


def _same(got: Tensor, wanted: Tensor) -> bool:
    """Return whether two outputs are alike but for rounding."""
    limit = TOLERANCE * float(wanted.double().abs().nan_to_num().max())
    return got.shape == wanted.shape and bool(
        torch.isclose(got, wanted.double(), rtol=0.0, atol=limit, equal_nan=True).all()
    )


def _outputs(module: nn.Module, images: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors ``module`` makes of ``images`` in evaluation mode.

    In float64, where PyTorch uses no oneDNN, whose float32 convolutions of narrow maps are wrong in
    some memory formats; in float32 where the module's own code asks for that.
    """
    clone = float_clone(module).eval()
    with quiet(), torch.no_grad():
        try:
            with Float32Epsilon():
                made = copy.deepcopy(clone).double()(*(x.double() for x in images))
        except (Exception, SystemExit):  # whatever it is, it counts only if float32 fails as well
            made = clone(*(x.clone() for x in images))
    return [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]


def _checked(traced: Trace, module: nn.Module) -> Trace:
    """Return ``traced`` if its stages can be trained and deployed."""
    _check_sharing(traced.network, module)
    _check_ends(traced.network)
    return traced


def _check_sharing(network: Network, module: nn.Module) -> None:
    """Refuse a parameter that two stages use: each stage prunes and scales its own."""
    state = _state(module)
    owner: dict[object, str] = {}
    for stage in network.stages:
        for name in stage.tensors:
            identity = id(state[name]) if name in state else name
            if identity in owner:
                raise UserError(
                    f"parameter '{name}'",
                    "weights are shared by two operations",
                    got=f"uses in '{owner[identity]}' and '{stage.name}'",
                    expected="one use of every weight, bias and batch norm",
                    action="Give each use its own layer",
                )
            owner[identity] = stage.name


def _check_values(traced: Trace, module: nn.Module) -> None:
    """Refuse weights, biases and batch-norm statistics that no network can compute with, and such
    as the module holds without knowing."""
    state = _state(module)
    for stage in traced.network.stages:
        for name in stage.tensors:
            if name in traced.reading.computed:
                continue
            if name not in state:
                raise UserError(
                    f"tensor '{name}' of layer '{stage.name}'",
                    "is neither a parameter nor a buffer of the model",
                    got="a plain tensor, which is not saved, moved or trained with the model",
                    expected="weights that the model knows",
                    action="Register it with register_buffer, or make it an nn.Parameter",
                )
            variance = name in stage.variances
            good = state[name].isfinite()
            if variance:
                good &= state[name] >= 0
            if not bool(good.all()):
                raise UserError(
                    f"tensor '{name}' of layer '{stage.name}'",
                    "holds values that no network can compute with",
                    got=f"{int((~good).sum())} of {good.numel()} not a number, infinite"
                    + (" or negative" if variance else ""),
                    expected="finite numbers" + (", none negative" if variance else ""),
                    action="Go back to a state of the model from before its training diverged",
                )


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers under all their names."""
    state: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    state.update(module.named_buffers(remove_duplicate=False))
    return state


def _check_ends(network: Network) -> None:
    """Check that what has to be last is, and that no output is in another order on a device."""
    read = {name for stage in network.stages for name in stage.inputs}
    for stage in network.stages:
        if stage.only_last and (stage.output in read or stage.output not in network.outputs):
            kind = type(stage).__name__.lower()
            raise UserError(
                f"stage '{stage.name}'",
                f"{kind} is followed by another operation",
                got=f"a {kind} inside the network",
                expected=f"a {kind} at the very end, or none",
                action="Remove it or move it to the end",
            )
    for index, name in enumerate(network.outputs):
        output = network.tensor(name)
        if output.flat_from is not None:
            called = (network.output_names or ("",) * len(network.outputs))[index]
            alone = len(network.outputs) == 1
            raise UserError(
                "model output" if alone else f"model output {called or index}",
                "the output is a flattened map",
                got=f"{output.flat_from} in h, w, c, which a device has in another order",
                expected="a map, or a vector that never was one",
                action="Leave flatten out: a map may be an output; or pool to 1x1 before it",
            )
