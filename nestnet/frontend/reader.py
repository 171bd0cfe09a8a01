"""Read an exported graph node by node into a typed op list, noting all that cannot be expressed.

:mod:`nestnet.net.ops` reads single operators.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_flatten_with_path, tree_unflatten

from codegen.errors import UserError
from nestnet.frontend.problems import Problem, module_path, source_lines, unsupported
from nestnet.frontend.replay import Program, operator_name
from nestnet.net.ops import ATEN, rearrange
from nestnet.net.stages import Network
from nestnet.net.tensors import batch_of
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
    computed: dict[str, fx.Node]
    """Name of a constant that the module computes of its parameters -> the node."""


def read(
    exported: torch.export.ExportedProgram,
    module: nn.Module,
    *,
    evaluation: bool,
    training_dropouts: Collection[str] = (),
) -> Reading:
    """Translate every node that the outputs of ``exported`` depend on into a stage.

    Args:
        exported: the graph.
        module: what it was captured from, for messages.
        evaluation: whether it was captured in evaluation mode.
        training_dropouts: of a graph in evaluation mode, the places (:func:`call_site`) of dropouts
            that are on in training mode.

    Raises:
        UserError: an output that is no activation, or operators, or options of operators, that the
            integer graph cannot express: the message lists them all.
    """
    signature = exported.graph_signature
    targets = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    targets.update(signature.inputs_to_lifted_tensor_constants)
    nodes = list(exported.graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder" and node.name not in targets]
    results = nodes[-1].args[0][len(signature.buffers_to_mutate) :]
    returned = list(_named(exported, results))
    walk = Walk(
        rearrange.stage,
        targets={node.name: targets[node.name] for node in nodes if node.name in targets},
        constants={
            name: tuple(exported.constants[target].double().flatten().tolist())
            for name, target in signature.inputs_to_lifted_tensor_constants.items()
        },
        evaluation=evaluation,
        training_dropouts={node for node in nodes if call_site(node) in training_dropouts},
    )
    for node in inputs:
        walk.enter(node, "input" if len(inputs) == 1 else node.name)
    tensors = [result for result, _ in returned if isinstance(result, fx.Node)]
    live = _live_nodes(nodes, tensors, walk)
    problems = [
        problem
        for node in nodes
        if node.op == "call_function" and node in live
        for problem in _translate(walk, node)
    ]
    if problems:
        raise unsupported(module, problems)
    outputs = _outputs(module, walk, returned)
    state = {**exported.state_dict, **exported.constants}
    values = {name: state[target] for name, target in targets.items() if target in state}
    return Reading(
        Network(
            tuple(walk.tensors)[: len(inputs)],
            outputs,
            tuple(walk.tensors.values()),
            tuple(walk.stages),
            tuple(called for _, called in returned),
        ),
        Program(
            tuple(node for node in nodes if node in live),
            tuple(inputs),
            tuple(tensors),
            values,
            targets,
        ),
        walk.nodes,
        walk.computed,
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


def _named(
    exported: torch.export.ExportedProgram, results: Sequence[object]
) -> Iterator[tuple[object, str]]:
    """Yield what the module returns, None left out, with the keys and fields it stands under."""
    places = tree_unflatten(range(len(results)), exported.call_spec.out_spec)
    for path, index in tree_flatten_with_path(places)[0]:
        if results[index] is not None:
            yield results[index], _called(path)


def _called(path: Sequence[Any]) -> str:
    """Return the keys and fields of ``path`` as one name; empty where there are only places."""
    names = [getattr(key, "key", getattr(key, "name", None)) for key in path]
    if not any(names):
        return ""
    return "_".join(str(name or key.idx) for key, name in zip(path, names, strict=True))


def _outputs(
    module: nn.Module, walk: Walk, returned: Sequence[tuple[object, str]]
) -> tuple[str, ...]:
    """Return the names of the tensors that the module returns.

    Raises:
        UserError: none, one that is no activation, an input as it is, or one tensor twice.
    """
    names: list[str] = []
    given = [name for name, node in walk.nodes.items() if node.op == "placeholder"]
    for result, called in returned:
        try:
            tensor = walk.read(result, channel_axis=None, plain=True)
            if isinstance(result, fx.Node) and not batch_of(result).is_plain:
                raise Unsupported(
                    "an output with more than the images in its first dimension",
                    tuple(str(extent) for extent in result.meta["val"].shape),
                    "batch first",
                    "Reshape it to one result for each image",
                )
        except Unsupported as problem:
            assert isinstance(result, fx.Node)
            raise unsupported(module, [Problem(result, problem)]) from None
        where = f"output {called or len(names)} of model {type(module).__name__}"
        if tensor is None or tensor.name in given:
            raise UserError(
                where,
                "nothing computes it from the inputs",
                got="an input as it is" if tensor else "a number, a constant or a parameter",
                expected="tensors that layers make of the inputs",
                action="Return only what a device shall compute",
            )
        if tensor.name in names:
            raise UserError(
                where,
                "it is another output, too",
                got=f"the tensor of output {names.index(tensor.name)}",
                expected="different tensors",
                action="Return it once",
            )
        names.append(tensor.name)
    if not names:
        raise UserError(
            f"model {type(module).__name__}",
            "returns no tensor",
            got="none",
            expected="at least one",
            action="Return what a device shall compute",
        )
    return tuple(names)


def _is_in_place(node: fx.Node) -> bool:
    name = operator_name(node)
    return name.endswith("_") and not name.endswith("__")


def _live_nodes(nodes: Sequence[fx.Node], outputs: Sequence[fx.Node], walk: Walk) -> set[fx.Node]:
    """Return what the outputs depend on, including in-place changes of such tensors."""
    live: set[fx.Node] = set()
    work = list(outputs)
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
    if node in walk.absorbed:
        return []
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
