"""The passes a graph goes through before it is packed, in order."""

from __future__ import annotations

from collections.abc import Callable

from codegen.graph.ir import Graph
from codegen.graph.verify import verify
from codegen.passes.flatten_pointwise import flatten_pointwise
from codegen.passes.fold_reshape import fold_reshape
from codegen.passes.skip_dead_channels import skip_dead_channels
from codegen.passes.use_cmsis_nn import use_cmsis_nn
from codegen.target.target import Kernels

Pass = Callable[[Graph], Graph]

NESTNET: tuple[Pass, ...] = (
    skip_dead_channels,
    fold_reshape,
    flatten_pointwise,
    fold_reshape,
)
"""Our own kernels."""

CMSIS_NN: tuple[Pass, ...] = (
    skip_dead_channels,
    use_cmsis_nn,
    fold_reshape,
    flatten_pointwise,
    fold_reshape,
)
"""Dense operators through CMSIS-NN; what it has no form for stays with our kernels."""

PIPELINES: dict[Kernels, tuple[Pass, ...]] = {"nestnet": NESTNET, "cmsis-nn": CMSIS_NN}


def run_passes(graph: Graph, kernels: Kernels) -> Graph:
    """Return ``graph`` after every pass for ``kernels``, verified before the first and after each.

    Raises:
        VerifyError: a rule is broken; names the pass.
    """
    verify(graph, "export")
    for step in PIPELINES[kernels]:
        graph = verify(step(graph), step.__name__)
    return graph
