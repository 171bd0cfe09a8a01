"""Fuse a raw list of stages into those of the integer graph.

conv/linear + batch norm + (conv only) addition of another tensor + activation become one stage, so
that fake quantization during training happens exactly where the firmware rounds. What fuses with
what, each stage says itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from nestnet.net.stages import Network, Stage


class Fused:
    """The stages made so far, in execution order."""

    def __init__(self, network: Network) -> None:
        """Start with none of the stages of ``network``."""
        self.network = network
        self.stages: list[Stage] = []
        self._uses = Counter(name for stage in network.stages for name in stage.inputs)
        self._uses.update(network.outputs)  # by the caller of the network

    def append(self, stage: Stage) -> None:
        """Add ``stage`` as the last."""
        self.stages.append(stage)

    def maker(self, name: str) -> Stage | None:
        """Return the stage that makes tensor ``name`` if nothing else will read that tensor."""
        if self._uses[name] != 1:
            return None
        return next((stage for stage in self.stages if stage.output == name), None)

    def unpadded(self, stage: Stage) -> Stage:
        """Return ``stage`` with the padding of its input as its own, where it can have it; a
        padding that nothing reads any more is gone."""
        name = stage.inputs[0]
        maker = next((other for other in self.stages if other.output == name), None)
        around = None if maker is None else maker.around(self._non_negative(maker.inputs[0]))
        padded = None if around is None else stage.with_padding(around)
        if maker is None or around is None or padded is None:
            return stage
        self._uses[around.source] += 1
        self._uses[name] -= 1
        if not self._uses[name]:
            self.remove(maker)
            self._uses[around.source] -= 1
        return padded

    def _non_negative(self, name: str) -> bool:
        """Return whether tensor ``name`` cannot be negative."""
        known = dict.fromkeys(self.network.inputs, False)
        for stage in self.stages:
            known[stage.output] = stage.non_negative(tuple(known[one] for one in stage.inputs))
        return known[name]

    def read_once(self, name: str) -> None:
        """Note that two readers of tensor ``name`` have become one."""
        self._uses[name] -= 1

    def replace(self, stage: Stage, by: Stage) -> None:
        """Put ``by`` where ``stage`` is."""
        self.stages[self.position(stage)] = by

    def remove(self, stage: Stage) -> None:
        """Take ``stage`` out."""
        del self.stages[self.position(stage)]

    def position(self, stage: Stage) -> int:
        """Return where ``stage`` is."""
        return next(index for index, other in enumerate(self.stages) if other is stage)


def fuse(network: Network) -> Network:
    """Return ``network`` with its stages fused as they ask for (:meth:`Stage.fuse`)."""
    done = Fused(network)
    for stage in network.stages:
        done.unpadded(stage).fuse(done)
    names = {*network.inputs, *(stage.output for stage in done.stages)}
    tensors = tuple(tensor for tensor in network.tensors if tensor.name in names)
    return replace(network, stages=tuple(done.stages), tensors=tensors)


def moved_activations(network: Network) -> set[str]:
    """Return the tensors of a fused network that hold what an unfused one computes nowhere: the
    inputs of stages to which an activation has moved from behind them."""
    return {
        stage.inputs[0]
        for stage in network.stages
        if stage.is_monotone and stage.output != stage.name
    }
