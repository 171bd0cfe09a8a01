"""The integer graph while a network is exported: what stages add themselves to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codegen.errors import UserError
from codegen.graph import ir
from nestnet.net.stages import Stage

if TYPE_CHECKING:
    from nestnet.net.network import NestedNet


class GraphBuilder:
    """The values and operators made so far."""

    def __init__(self, net: NestedNet) -> None:
        """Start with the values of the network's inputs."""
        self.net = net
        self.values: dict[str, ir.Value] = {}
        """Tensor name of the network -> value; several may share one."""
        self.ops: list[ir.Op] = []
        for source in net.network.inputs:
            grid = net.grid(source)
            self.add_value(source, source, grid.scale, grid.zero_point)

    def add_value(
        self, tensor: str, name: str, scale: tuple[float, ...], zero_point: int
    ) -> ir.Value:
        """Add a value called ``name`` for ``tensor``."""
        value = ir.Value(name, self.net.network.tensor(tensor).shape, scale, zero_point)
        self.values[tensor] = value
        return value

    def add_inner(self, name: str, shape: ir.Shape, like: ir.Value) -> ir.Value:
        """Add a value that is no tensor of the network, on the grid of ``like``."""
        value = ir.Value(name, shape, like.scale, like.zero_point)
        self.values[name] = value
        return value

    def like_input(self, stage: Stage) -> ir.Value:
        """Add the value of a stage whose output lies on the grid of its first input."""
        x = self.values[stage.inputs[0]]
        return self.add_value(stage.output, stage.name, x.scale, x.zero_point)

    def share_input(self, stage: Stage) -> None:
        """Let the output of a stage that does nothing on the device be its input's value."""
        self.values[stage.output] = self.values[stage.inputs[0]]

    def observed(self, stage: Stage) -> ir.Value:
        """Add the value of a stage whose output has its own grid.

        Raises:
            UserError: its range is not known.
        """
        observer = self.net.observer(stage.output)
        assert observer is not None
        if not bool((observer.range > 0).all()):
            missing = [str(k) for k, span in enumerate(observer.range.tolist()) if not span > 0]
            raise UserError(
                self.net.where(stage),
                "the range of its output is not known",
                got=f"no data seen at level {', '.join(missing)}",
                expected="ranges of all levels",
                action="Quantize the network first: nestnet.quantize",
            )
        grid = self.net.grid(stage.output)
        return self.add_value(stage.output, stage.name, grid.scale, grid.zero_point)
