"""Make a user's module a nested network, and prove that it computes the same."""

from __future__ import annotations

import copy
from functools import partial

from torch import nn

from nestnet.frontend.capture import capture
from nestnet.frontend.problems import source_line
from nestnet.net.network import NestedNet
from nestnet.net.proof import prove_equal
from nestnet.notices import notice
from nestnet.pixels import DEFAULT, Pixels

LOG_SOFTMAX = (
    "the log_softmax at the model's end is not exported: a device's outputs are the logits it is "
    "computed from, whose order is the same"
)


def trace(
    module: nn.Module, input_shape: tuple[int, int, int], pixels: Pixels = DEFAULT
) -> NestedNet:
    """Return the nested network of ``module`` for (h, w, c) inputs, with one level.

    It starts from the module's current weights and batch-norm statistics and computes in
    evaluation mode what the module computes; this is checked on random images. ``pixels`` says
    what module and nested network are fed.

    Raises:
        UserError: the module cannot be traced (see :func:`nestnet.frontend.capture.capture`).
    """
    traced = capture(module, input_shape)
    net = NestedNet(module, traced.network, pixels)
    net.ends[True] = traced.training_end
    net.places = {name: source_line(node) for name, node in traced.reading.nodes.items()}
    exact = copy.deepcopy(net).double().eval()
    module_steps = [step for step in exact.steps if step.stage.output != traced.network.input]
    prove_equal(
        traced, [(step.stage, partial(exact.run_step, step, level=0)) for step in module_steps]
    )
    end = net.network.softmax
    if end is not None and end.log:
        notice(LOG_SOFTMAX)
    return net
