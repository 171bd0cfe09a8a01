"""Read an exported graph node by node into a typed op list, noting all that cannot be expressed.

:mod:`nestnet.frontend.aten` translates single operators.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import fx, nn

from codegen.errors import UserError
from nestnet.frontend.aten import HANDLERS, IDENTITIES
from nestnet.frontend.problems import Problem, module_path, source_lines, unsupported
from nestnet.frontend.replay import Program, operator_name
from nestnet.frontend.stages import Network
from nestnet.frontend.walk import Unsupported, Walk, is_view


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
    names = ("dropout", "dropout_", "feature_dropout", "feature_dropout_")
    return {
        call_site(node)
        for node in exported.graph.nodes
        if node.op == "call_function" and operator_name(node) in names and node.args[2]
    }


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
            elif is_view(user):
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
    name = operator_name(node)
    in_place = _is_in_place(node)
    base = name[:-1] if in_place else name
    if base in IDENTITIES:
        walk.alias(node, node.args[0])
        return []
    handler = HANDLERS.get(base)
    try:
        if handler is None:
            raise Unsupported("operator is not supported", node.target)
        handler(walk, node)
        if in_place:
            walk.replace_in_place(node)
    except Unsupported as problem:
        walk.suppose(node)
        return [Problem(node, problem)]
    return []
