"""Exact bytes that a network's weights and tables take in flash, at any moment of training.

The codecs are those of code generation (:mod:`codegen.formats.storage`), so that what is counted
here is what ``nestnet codegen --optimize size`` writes, but for dead channels, which it removes,
and lookup tables that come out equal, of which it keeps one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from codegen.formats import storage
from codegen.graph.ir import NEVER
from nestnet.net.epilogue import integer_steps
from nestnet.net.network import NestedNet
from nestnet.net.ops.common.weighted import laid_out
from nestnet.sparsity.levels import LevelMap


class Storage:
    """Counts the stored bytes of a network, its prunable layers by given level maps."""

    def __init__(self, network: NestedNet, codecs: str) -> None:
        """Remember what to count.

        Args:
            network: its weights are read anew at every count.
            codecs: all, lz4 or raw.
        """
        self.levels = network.n_levels
        self.codecs = codecs
        self._layers = {name: layer.module for name, layer in network.weighted().items()}
        self.table_bytes = sum(
            step.stage.table_bytes(network.network, self.levels) for step in network.steps
        )

    def layer(self, name: str, level_map: LevelMap | None) -> storage.LayerBytes:
        """Return the smallest storage of the weights of ``name``; dense without a level map."""
        layer = self._layers[name]
        weight = layer.weight.detach().cpu()
        kept = None if level_map is None else kept_weights(weight, level_map)
        steps = integer_steps(weight, kept, layer.input_span)
        groups = (1, None) if level_map is None else (level_map.group_size, level_map.levels)
        as_stored, group_size, levels = laid_out(layer, steps, *groups)
        if as_stored.ndim == 2:
            as_stored = as_stored[:, None, None]
            levels = None if levels is None else levels[:, None, None]
        return storage.layer_bytes(
            as_stored,
            group_size,
            levels,
            self.levels,
            self.codecs,
            stride=layer.stride,
            groups=layer.groups,
        )

    def layers(self, maps: Mapping[str, LevelMap]) -> dict[str, storage.LayerBytes]:
        """Return the storage of every layer with weights, in execution order."""
        return {name: self.layer(name, maps.get(name)) for name in self._layers}

    def total(self, maps: Mapping[str, LevelMap]) -> int:
        """Return the bytes of the weight image: all weights and tables."""
        return whole_words(self.beside(maps) + self.of(maps))

    def of(self, maps: Mapping[str, LevelMap]) -> int:
        """Return the bytes of the weights of the layers in ``maps``."""
        return sum(self.layer(name, level_map).stored_bytes for name, level_map in maps.items())

    def beside(self, layers: Collection[str]) -> int:
        """Return the bytes of all but the weights of ``layers``."""
        rest = {name for name in self._layers if name not in layers}
        dense = sum(self.layer(name, None).stored_bytes for name in sorted(rest))
        return self.table_bytes + dense


def whole_words(content_bytes: int) -> int:
    """Return the bytes of an image with ``content_bytes`` of members."""
    return content_bytes + -content_bytes % storage.IMAGE_ALIGN_BYTES


def kept_weights(weight: Tensor, level_map: LevelMap) -> Tensor:
    """Return the 0/1 mask of the weights that some level of ``level_map`` contains."""
    kept = (level_map.levels.cpu() != NEVER).repeat_interleave(level_map.group_size, dim=1)
    return kept[:, : weight.shape[1]].to(weight.dtype)
