"""Attribute what the functions of CMSIS-NN execute to the layers that called them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codegen.graph.ir import Int8Array
from codegen.measure.pipelines.estimate import Estimate
from codegen.target import runners
from codegen.target.manifest import LayerFacts
from codegen.target.memory_system import Span
from codegen.target.toolchain import Built

MODEL_FUNCTIONS = ("run", "decode", "finished")
"""A model's own beside its layers; their names end in the network's."""


@dataclass(frozen=True)
class Library:
    """Where the functions of CMSIS-NN were called from."""

    executed: Mapping[str, tuple[int, ...]]
    """Instructions by function and slot (:func:`codegen.target.runners.count_layers`)."""
    slots: int
    """Of one level."""

    @classmethod
    def of(cls, built: Built, inputs: Sequence[Int8Array], levels: Sequence[int]) -> Library | None:
        """Run once more, layer by layer, if any layer calls a library."""
        if not any(calls_library(layer) for layer in built.info.layers):
            return None
        network = built.info.network
        ours = {f"{function}_{network}" for function in MODEL_FUNCTIONS}
        ours |= {"mark_layer", *(layer.c_name for layer in built.info.layers)}
        found = {
            name: executed
            for name, executed in runners.count_layers(built, inputs, levels).items()
            if name.removesuffix("_decode") not in ours and not name.startswith("nn_")
        }
        return cls(found, len(built.info.layers) + 1)

    def instructions(self, facts: LayerFacts, position: int) -> int:
        """Return what the library executed in a layer, summed over the images."""
        slot = position * self.slots + facts.index
        return sum(executed[slot] for executed in self.executed.values())

    def cycles(self, facts: LayerFacts, position: int, estimated: Estimate) -> Span:
        """Return the library's cycles in a layer: each function's, by its instructions there."""
        first, slot = position * self.slots, position * self.slots + facts.index
        low = high = 0.0
        for name, executed in self.executed.items():
            whole = sum(executed[first : first + self.slots])
            if whole and name in estimated.by_function:
                share = executed[slot] / whole
                low += share * estimated.by_function[name].cycles.low
                high += share * estimated.by_function[name].cycles.high
        return Span(round(low), round(high))


def calls_library(facts: LayerFacts) -> bool:
    """Return whether a layer is CMSIS-NN's."""
    return facts.kernel.startswith("cmsis_")
