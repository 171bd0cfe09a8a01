"""Read an exported graph node by node into a typed op list, noting all that cannot be expressed.

:mod:`nestnet.net.ops` reads single operators.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import fx, nn

from codegen.errors import UserError
from nestnet.frontend.problems import Problem, module_path, source_lines, unsupported
from nestnet.frontend.replay import Program, operator_name
from nestnet.net.ops import ATEN
from nestnet.net.stages import Network
from nestnet.net.walk import Aten, Unsupported, Walk, argument


def _shared(walk: Walk, node: fx.Node) -> None:
    walk.alias(node, node.args[0])


def _copied(walk: Walk, node: fx.Node) -> None:
    walk.copy(node, node.args[0])


def _contiguous(walk: Walk, node: fx.Node) -> None:
    """Read what copies a tensor only where its elements lie in another order."""
    before = node.all_input_nodes[0].meta["val"]
    order = argument(node, 1, "memory_format", torch.contiguous_format)
    bind = walk.alias if before.is_contiguous(memory_format=order) else walk.copy
    bind(node, node.args[0])


def _converted(walk: Walk, node: fx.Node) -> None:
    """Let a conversion to float32, which activations already are, change nothing."""
    dtype = node.meta["val"].dtype
    if dtype != torch.float32:
        raise Unsupported("another number format", dtype, "float32 activations")
    copies = operator_name(node) == "_to_copy" or node.kwargs.get("copy") or True in node.args
    bind = walk.copy if copies else walk.alias
    bind(node, node.args[0])


_ROWS = {
    **ATEN,
    **dict.fromkeys(("clone", "lift_fresh_copy"), Aten(_copied)),
    **dict.fromkeys(("alias", "detach"), Aten(_shared, is_view=True)),
    "contiguous": Aten(_contiguous, is_view=True),
    "to": Aten(_converted, is_view=True),
    "_to_copy": Aten(_converted),
}
"""The operators, and what computes nothing."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What a graph was read as, and where it stands in the graph."""

    network: Network
    program: Program
    nodes: dict[str, fx.Node]
    """Tensor name of the network -> the node that computes it."""


def read(
    exported: torch.export.ExportedProgram,
    module: nn.Module,
    *,
    evaluation: bool,
    training_dropouts: Collection[str] = (),
) -> Reading:
    """Translate every node that the output of ``exported`` depends on into a stage.

    Args:
        exported: the graph.
        module: what it was captured from, for messages.
        evaluation: whether it was captured in evaluation mode.
        training_dropouts: of a graph in evaluation mode, the places (:func:`call_site`) of dropouts
            that are on in training mode.

    Raises:
        UserError: not one image input and one tensor output, or operators, or options of
            operators, that the integer graph cannot express: the message lists them all.
    """
    signature = exported.graph_signature
    targets = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    targets.update(signature.inputs_to_lifted_tensor_constants)
    nodes = list(exported.graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder" and node.name not in targets]
    if len(inputs) != 1:
        raise _form_error(module, "inputs", len(inputs))
    returned = nodes[-1].args[0][len(signature.buffers_to_mutate) :]
    tensors = [result for result in returned if isinstance(result, fx.Node)]
    if len(returned) != 1 or len(tensors) != 1:
        raise _form_error(module, "outputs", len(tensors))
    walk = Walk(
        targets={node.name: targets[node.name] for node in nodes if node.name in targets},
        evaluation=evaluation,
        training_dropouts={node for node in nodes if call_site(node) in training_dropouts},
    )
    walk.enter(inputs[0], "input")
    live = _live_nodes(nodes, tensors[0], walk)
    problems = [
        problem
        for node in nodes
        if node.op == "call_function" and node in live
        for problem in _translate(walk, node)
    ]
    if problems:
        raise unsupported(module, problems)
    output = walk.read(tensors[0])
    if output is None:
        raise _form_error(module, "outputs", 0)
    state = {**exported.state_dict, **exported.constants}
    values = {name: state[target] for name, target in targets.items() if target in state}
    return Reading(
        Network("input", output.name, tuple(walk.tensors.values()), tuple(walk.stages)),
        Program(
            tuple(node for node in nodes if node in live), inputs[0], tensors[0], values, targets
        ),
        walk.nodes,
    )


def call_site(node: fx.Node) -> str:
    """Return what names an operator's place in the user's code, the same in both modes."""
    return f"{operator_name(node)} {module_path(node)} {'|'.join(source_lines(node))}"


def dropouts(exported: torch.export.ExportedProgram) -> set[str]:
    """Return the places of the dropouts that are on in a captured graph."""
    return {
        call_site(node)
        for node in exported.graph.nodes
        if node.op == "call_function" and _is_dropout_on(node)
    }


def _is_dropout_on(node: fx.Node) -> bool:
    row = _row(node)
    if row is None or row.mode_argument is None:
        return False
    return row.is_dropout and bool(node.args[row.mode_argument])


def _row(node: fx.Node) -> Aten | None:
    """Return how ``node`` is read, in place or not; None if it is not."""
    name = operator_name(node)
    return _ROWS.get(name[:-1] if _is_in_place(node) else name)


def _form_error(module: nn.Module, what: str, got: int) -> UserError:
    return UserError(
        f"model {type(module).__name__}",
        f"wrong number of tensor {what}",
        got=got,
        expected="1",
        action="Wrap the model so that it maps one image tensor to one tensor of logits",
    )


def _is_in_place(node: fx.Node) -> bool:
    name = operator_name(node)
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
            elif (row := _ROWS.get(operator_name(user))) is not None and row.is_view:
                found.extend(_in_place_changes(user))
    return found


def _translate(walk: Walk, node: fx.Node) -> list[Problem]:
    """Append the stages of one node to ``walk``; return what it cannot express, if anything.

    After a problem reading goes on with a tensor of the shape the node makes.
    """
    if any(walk.is_lost(argument) for argument in node.all_input_nodes):
        walk.suppose(node)
        return []
    if not any(walk.is_activation(argument) for argument in node.all_input_nodes):
        return []  # sizes, counters, constants
    if isinstance(node.meta.get("val"), int | torch.SymInt):
        return []  # a size of an activation, used as a shape
    row = _row(node)
    try:
        if row is None:
            raise Unsupported("operator is not supported", node.target)
        row.read(walk, node)
        if _is_in_place(node):
            walk.replace_in_place(node)
    except Unsupported as problem:
        walk.suppose(node)
        return [Problem(node, problem)]
    return []
