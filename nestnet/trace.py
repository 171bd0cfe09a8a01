"""Turn a user's module into a typed op list by walking its torch.export graph.

Nothing here looks at module classes: functional calls, hand-written blocks and nn modules give the
same graph. Whatever the integer graph cannot express is reported with the operator, the module's
path and the source line. :mod:`nestnet.operators` translates single operators.
"""

from __future__ import annotations

import copy
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from torch import fx, nn

from codegen.errors import UserError
from nestnet.fuse import fuse
from nestnet.operators import HANDLERS, IDENTITIES
from nestnet.stages import Conv, Linear, Network, Norm, Softmax, Stage
from nestnet.walk import Unsupported, Walk, is_view

_EXAMPLE_BATCH = 5
_CUMULATIVE_MOMENTUM = 0.1
"""Stands in for momentum=None, which cannot be captured; training ends with statistics measured as
plain means anyway."""
_TORCH_DIR = str(Path(torch.__file__).parent)


def trace_network(module: nn.Module, input_shape: tuple[int, int, int]) -> Network:
    """Return the fused stages of ``module`` for inputs of ``input_shape`` (h, w, c).

    The module is exported in training mode with a dynamic batch; it is not changed.

    Raises:
        UserError: torch.export cannot capture the module, or it uses an operator, an option of an
            operator or a way of sharing weights that the integer graph cannot express.
    """
    program = _export(module, input_shape)
    return fuse(_walk(program, module))


def _export(module: nn.Module, input_shape: tuple[int, int, int]) -> torch.export.ExportedProgram:
    height, width, channels = input_shape
    example = torch.zeros(_EXAMPLE_BATCH, channels, height, width)
    batch = torch.export.Dim("batch", min=2)
    where = f"model {type(module).__name__}"
    try:
        clone = copy.deepcopy(module).cpu().float().train()
        for part in clone.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.momentum is None:
                part.momentum = _CUMULATIVE_MOMENTUM
        with _silence():
            return torch.export.export(
                clone, (example,), dynamic_shapes=({0: batch},), strict=False
            )
    except Exception as error:  # torch.export raises many types for a user's mistake
        raise UserError(
            where,
            "torch.export cannot capture the model",
            got=f"{type(error).__name__}: {_one_line(error)}",
            expected=f"a module whose forward takes one batch x {channels} x {height} x {width} "
            "float tensor and works for any batch size",
            action="Remove data-dependent control flow and constants equal to the batch size, "
            "and check the input shape",
        ) from error


@contextmanager
def _silence() -> Iterator[None]:
    """Keep PyTorch from logging and printing about errors that are reported in one line."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        quiet = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else "no message"
    return re.sub(r"\x1b\[[0-9;]*m", "", text)[:240]


def _walk(program: torch.export.ExportedProgram, module: nn.Module) -> Network:
    """Translate every node the output depends on into a stage."""
    signature = program.graph_signature
    targets = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    targets.update(signature.inputs_to_lifted_tensor_constants)
    nodes = list(program.graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder" and node.name not in targets]
    if len(inputs) != 1:
        raise _form_error(module, "inputs", len(inputs))
    output_node = nodes[-1]
    results = output_node.args[0]
    mutations = len(signature.buffers_to_mutate)
    returned = results[mutations:]
    tensors = [result for result in returned if isinstance(result, fx.Node)]
    if len(returned) != 1 or len(tensors) != 1:
        raise _form_error(module, "outputs", len(tensors))
    walk = Walk(targets={node.name: targets[node.name] for node in nodes if node.name in targets})
    walk.enter(inputs[0], "input")
    live = _live_nodes(nodes, returned[0], walk)
    for node in nodes:
        if node.op == "call_function" and node in live:
            _translate(walk, node)
    output = walk.read(returned[0])
    if output is None:
        raise _form_error(module, "outputs", 0)
    network = Network("input", output.name, tuple(walk.tensors.values()), tuple(walk.stages))
    _check_sharing(network, module)
    return _check_end(network)


def _form_error(module: nn.Module, what: str, got: int) -> UserError:
    return UserError(
        f"model {type(module).__name__}",
        f"wrong number of tensor {what}",
        got=got,
        expected="1",
        action="Wrap the model so that it maps one image tensor to one tensor of logits",
    )


def _is_in_place(node: fx.Node) -> bool:
    name = _operator_name(node)
    return name.endswith("_") and not name.endswith("__")


def _live_nodes(nodes: list[fx.Node], output: fx.Node, walk: Walk) -> set[fx.Node]:
    """Return what the output depends on, including in-place changes of such tensors."""
    live: set[fx.Node] = set()
    work = [output]
    while work:
        node = work.pop()
        if node in live:
            continue
        live.add(node)
        work.extend(node.all_input_nodes)
        if node.op == "placeholder" and node.name in walk.targets:
            continue  # in-place updates of buffers (step counters) carry no activations
        work.extend(_in_place_changes(node))
    return live


def _in_place_changes(node: fx.Node) -> list[fx.Node]:
    """Return the in-place operators on ``node`` or on views of it."""
    found: list[fx.Node] = []
    for user in node.users:
        if user.args[:1] == (node,):
            if _is_in_place(user):
                found.append(user)
            elif is_view(user):
                found.extend(_in_place_changes(user))
    return found


def _operator_name(node: fx.Node) -> str:
    """Return the operator without overload: 'conv2d', 'relu_'."""
    target = node.target
    packet = getattr(target, "overloadpacket", None)
    if packet is not None:
        return str(packet.__name__)
    return str(getattr(target, "__name__", target))


def _translate(walk: Walk, node: fx.Node) -> None:
    """Append the stages of one node to ``walk``."""
    if not any(walk.is_activation(argument) for argument in node.all_input_nodes):
        return  # sizes, counters, constants
    name = _operator_name(node)
    in_place = _is_in_place(node)
    base = name[:-1] if in_place else name
    if base in IDENTITIES:
        walk.alias(node, node.args[0])
        return
    handler: Callable[[Walk, fx.Node], None] | None = HANDLERS.get(base)
    if isinstance(node.meta.get("val"), int | torch.SymInt):
        return  # a size of an activation, used as a shape
    try:
        if handler is None:
            raise Unsupported("operator is not supported", node.target)
        handler(walk, node)
    except Unsupported as problem:
        raise _located(node, problem) from None
    if in_place:
        walk.replace_in_place(node)


def _located(node: fx.Node, problem: Unsupported) -> UserError:
    """Return the error for ``node`` with its operator, module path and source line."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next((entry[0] for entry in reversed(list(stack.values())) if entry[0]), "")
    operator = str(node.target).removeprefix("aten.")
    where = f"{_source_line(node)}, module '{path or '(the model itself)'}', operator {operator}"
    return UserError(
        where,
        problem.what,
        got=problem.got,
        expected=problem.expected,
        action=problem.action,
    )


def _source_line(node: fx.Node) -> str:
    """Return 'file.py:12' of the innermost frame outside PyTorch."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    outside = [frame for frame in frames if not frame[0].startswith(_TORCH_DIR)]
    chosen = outside or frames
    return f"{chosen[-1][0]}:{chosen[-1][1]}" if chosen else "unknown source line"


def _check_sharing(network: Network, module: nn.Module) -> None:
    """Refuse a parameter that two stages use: each stage prunes and scales its own."""
    state = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers()),
    }
    owner: dict[int, str] = {}
    for stage in network.stages:
        for name in _parameters_of(stage):
            identity = id(state[name])
            if identity in owner:
                raise UserError(
                    f"parameter '{name}'",
                    "weights are shared by two operations",
                    got=f"uses in '{owner[identity]}' and '{stage.name}'",
                    expected="one use of every weight, bias and batch norm",
                    action="Give each use its own layer",
                )
            owner[identity] = stage.name


def _parameters_of(stage: Stage) -> list[str]:
    if isinstance(stage, Norm):
        names = [stage.params.weight, stage.params.bias, stage.params.running_mean]
    elif isinstance(stage, Conv | Linear):
        names = [stage.weight, stage.bias]
    else:
        names = []
    return [name for name in names if name is not None]


def _check_end(network: Network) -> Network:
    """Check that a softmax is last and that the output is one unpermuted vector."""
    for index, stage in enumerate(network.stages):
        if isinstance(stage, Softmax) and index != len(network.stages) - 1:
            raise UserError(
                f"stage '{stage.name}'",
                "softmax is followed by another operation",
                got="a softmax inside the network",
                expected="a softmax at the very end, or none",
                action="Remove it or move it to the end",
            )
    output = network.tensor(network.output)
    if output.flat_from is not None:
        raise UserError(
            "model output",
            "the output is a flattened map",
            got=f"{output.flat_from} in h, w, c",
            expected="logits of a linear layer or of a map of 1x1 positions",
            action="Pool to 1x1 before flattening, or end with a linear layer",
        )
    if output.shape[:2] != (1, 1):
        raise UserError(
            "model output",
            "the output is a map, not a vector of logits",
            got=f"{output.torch_shape} for each image",
            expected="one number for each class",
            action="Pool to 1x1, or end with a linear layer",
        )
    return network
