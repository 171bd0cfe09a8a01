"""Make a user's module a nested network, and prove that it computes the same."""

from __future__ import annotations

import copy
from collections.abc import Collection
from functools import partial

from torch import nn

from nestnet.frontend.branches import find, merge
from nestnet.frontend.capture import Trace, capture, constants
from nestnet.frontend.gradients import detached, unreached
from nestnet.frontend.lively import made_lively, with_values
from nestnet.frontend.problems import source_line
from nestnet.frontend.proof import prove_equal
from nestnet.frontend.wrappers import plain
from nestnet.net.network import NestedNet
from nestnet.net.tensors import Given
from nestnet.notices import notice
from nestnet.pixels import DEFAULT
from nestnet.samples import Seen


def trace(
    module: nn.Module,
    input_shape: Given | tuple[Given, ...],
    pixels: Seen = DEFAULT,
    reparameterize: bool | None = None,
) -> NestedNet:
    """Return the nested network of ``module`` for inputs (h, w, c), with one level; of samples in
    a row, (n, c, w) for PyTorch, (samples, channels).

    It starts from the module's current weights and batch-norm statistics and computes in
    evaluation mode what the module computes; this is checked on random images. ``pixels`` says
    what module and nested network are fed; a module of several inputs has a shape for each.

    Parallel convolutions of one tensor that are added become one with ``reparameterize``; None
    leaves them, with a notice of what they cost.

    Wrappers such as torch.compile's are taken off, see :mod:`nestnet.frontend.wrappers`.
    Parameters that the module detaches from its outputs are frozen, with a notice.

    Raises:
        UserError: the module cannot be traced (see :func:`nestnet.frontend.capture.capture`).
    """
    module = plain(module)
    traced = capture(module, input_shape)
    frozen = _frozen(traced, module)
    network = traced.network
    computed = constants(traced)
    if reparameterize:
        network, merged = merge(traced.network, module, frozen)
        computed |= merged
    net = NestedNet(module, network, pixels, frozen, computed)
    net.ends[True] = traced.training_ends
    net.places = {name: source_line(node) for name, node in traced.reading.nodes.items()}
    _prove(traced, copy.deepcopy(net))
    lively, values = made_lively(module)
    if values:
        livelier = with_values(traced, values)
        computed = constants(livelier)
        if reparameterize:
            computed |= merge(traced.network, lively)[1]
        _prove(livelier, NestedNet(lively, network, pixels, (), computed))
    for stage in net.network.stages:
        if stage.notice:
            notice(stage.notice)
    if reparameterize is None:
        _note_branches(net)
    return net


def _note_branches(net: NestedNet) -> None:
    """Say which convolutions could be one, and what that saves."""
    found = find(net.network)
    if not found:
        return
    units = [step.stage for step in net.steps if step.layer is None]  # batch norms that stand alone
    macs = sum(layer.weight.numel() * layer.positions for layer in net.weighted().values())
    macs += sum(unit.weight_count(net.network) * unit.positions(net.network) for unit in units)
    saved = sum(branches.saved_macs for branches in found)
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    notice(
        f"{len(found)} sums of convolutions of one tensor could each be one convolution: "
        f"{found[0]}{more}. That computes the same with {saved} multiply-accumulates of {macs} "
        "less, and is trained without branches from then on: reparameterize=True, "
        "--reparameterize on the command line; False says to leave them"
    )


def _prove(traced: Trace, net: NestedNet) -> None:
    exact = net.double().eval()
    steps = [step for step in exact.steps if step.stage.output not in traced.network.inputs]
    prove_equal(traced, [(step.stage, partial(exact.run_step, step, level=0)) for step in steps])


def _frozen(traced: Trace, module: nn.Module) -> frozenset[str]:
    """Return the parameters that ``module`` keeps from training by detaching; say which."""
    found = detached(traced.reading.program)
    used = {name for stage in traced.network.stages for name in stage.tensors}
    hidden = used & unreached(module, traced.images) - found.frozen
    trainable = {name for name, value in module.named_parameters() if value.requires_grad}
    at = "; ".join(found.places)
    if found.frozen & trainable:
        notice(
            f"detach at {at}: no gradient reaches {_some(found.frozen & trainable)}; they stay "
            "frozen in the nested network, too"
        )
    if found.partly & trainable:
        notice(
            f"detach at {at} is left out: {_some(found.partly & trainable)} are trained on another "
            "path too, and get in the nested network the gradient of both"
        )
    if hidden:
        notice(
            f"no gradient reaches {_some(hidden)} in the module (torch.inference_mode?); they stay "
            "frozen in the nested network, too"
        )
    return found.frozen | hidden


def _some(names: Collection[str]) -> str:
    """Return how many ``names`` there are, and the first."""
    first = min(names)
    return f"{len(names)} parameters ('{first}' and others)" if len(names) > 1 else f"'{first}'"
