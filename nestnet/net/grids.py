"""Which tensors lie on one int8 grid, and what each grid is like.

Every stage says how its output's grid comes about (:class:`nestnet.net.stages.GridRule`); here the
tensors that have one grid are put together.
"""

from __future__ import annotations

from codegen.errors import UserError
from nestnet.net.stages import GridRule, Network


class Grids:
    """The grids of a network, each called by the first tensor on it."""

    def __init__(self, network: Network) -> None:
        """Put together the tensors of ``network`` that have one grid.

        Raises:
            UserError: an input of the network, whose grid is given, would have to share it.
        """
        self._network = network
        self._before = {name: name for name in network.inputs}
        for stage in network.stages:
            self._before[stage.output] = stage.output
            if stage.grid in (GridRule.INPUT, GridRule.ROUNDED):
                self._before[stage.output] = self.of(stage.inputs[0])
        for stage in network.stages:
            if stage.grid is GridRule.JOINT:
                for name in stage.inputs:
                    self._join(stage.output, name)
        self._check_inputs()

    def of(self, name: str) -> str:
        """Return the first tensor on the grid of tensor ``name``."""
        while self._before[name] != name:
            name = self._before[name]
        return name

    def observed(self, name: str) -> tuple[str, ...]:
        """Return the tensors whose ranges decide about the grid of tensor ``name``."""
        grid = self.of(name)
        return tuple(
            stage.output
            for stage in self._network.stages
            if stage.grid is GridRule.OWN and self.of(stage.output) == grid
        )

    def zero_point(self, name: str) -> int:
        """Return the zero point of tensor ``name``: -128 where nothing on its grid can be negative,
        else 0."""
        positive = dict.fromkeys(self._network.inputs, False)
        for stage in self._network.stages:
            known = tuple(positive[source] for source in stage.inputs)
            positive[stage.output] = stage.non_negative(known)
        return -128 if all(positive[one] for one in self.observed(name)) else 0

    def one_scale(self, name: str) -> bool:
        """Return whether all levels have one scale on the grid of tensor ``name``."""
        grid = self.of(name)
        if grid in map(self.of, self._network.logits):
            return True
        return any(
            (stage.one_scale and self.of(stage.output) == grid)
            or (stage.reads_one_scale and self.of(stage.inputs[0]) == grid)
            for stage in self._network.stages
        )

    def _join(self, one: str, other: str) -> None:
        order = list(self._before)
        first, later = sorted((self.of(one), self.of(other)), key=order.index)
        self._before[later] = first

    def _check_inputs(self) -> None:
        given = self._network.inputs
        for stage in self._network.stages:
            if stage.grid is GridRule.JOINT and self.of(stage.output) in given:
                raise UserError(
                    f"layer '{stage.name}'",
                    "the network's input itself is among what shares one int8 grid",
                    got=", ".join(stage.inputs),
                    expected="results of layers",
                    action="Put a convolution or an activation between",
                )
