"""The trainable nested network: executes a traced op list at any level.

net = trace(module, (32, 32, 3))     # nestnet.frontend.tracing
net.set_levels(4)                    # per-level batch norm and observers
outputs = net(images, level=2)       # images: n, c, h, w float32; what the module returns
logits = net.logits(images, level=2) # without a softmax at its end

Of a module with several inputs the images are a tuple, of one with several outputs the results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codegen.errors import UserError
from codegen.graph.ir import MAX_LEVELS, input_span
from nestnet.net.epilogue import Grid
from nestnet.net.first_stage import normalized
from nestnet.net.grids import Grids
from nestnet.net.images import Images, check_batches, checked_images
from nestnet.net.nested import GradRouting, LevelNorm, NestedWeight
from nestnet.net.placement import place
from nestnet.net.quantizer import Observer, evaluation, round_input
from nestnet.net.stages import GridRule, Network, Run, Stage, Step
from nestnet.net.tensors import Shape, Shapes, as_map
from nestnet.pixels import DEFAULT, Pixels
from nestnet.samples import Seen

_ROOT = "body"

Inputs = Tensor | Sequence[Tensor]
"""What a network is fed: a batch, or one for each of several inputs."""


@dataclass(frozen=True, eq=False)
class PrunableLayer:
    """A convolution or linear layer whose weights may be nested."""

    name: str
    """The user's qualified module name."""
    module: NestedWeight
    weight: nn.Parameter
    """(O, I, kh, kw) or (O, I)."""
    positions: int
    """Multiply-accumulates per kept weight and image: of a convolution, its output's positions."""


class NestedNet(nn.Module):
    """``n_levels`` sparse networks inside each other; level 0 is the sparsest."""

    def __init__(
        self,
        module: nn.Module,
        network: Network,
        pixels: Seen = DEFAULT,
        frozen: Collection[str] = (),
        computed: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """Build the layers of ``network`` from the values in ``module``, parameters named in
        ``frozen`` not to be trained, and from what was ``computed`` of them under names of its own.

        Where ``pixels`` do not lie on one int8 grid, a first stage normalizes them: in the integer
        graph and under fake quantization the network then starts from pixel / 255.
        """
        super().__init__()
        tensors: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
        tensors.update(module.named_buffers(remove_duplicate=False))
        constants: dict[str, Tensor] = {}
        if not pixels.is_grid and isinstance(pixels, Pixels):
            network, constants = normalized(network, pixels, tensors)
        self.network = network
        self.pixels = pixels
        self.n_levels = 1
        self.quantize = False
        self.ends = {False: network.ends, True: network.ends}
        """What the module computes of each output's logits, in evaluation and in training mode."""
        self.places: dict[str, str] = {}
        """Stage -> where it stands in the user's source."""
        tensors = {
            name: _on_cpu(tensor, tensor.requires_grad and name not in frozen)
            for name, tensor in (tensors | dict(computed)).items()
        } | constants
        self.add_module(_ROOT, nn.Module())
        self.observers = nn.ModuleDict()
        self.grids = Grids(network)
        self._steps = [self._make_step(stage, tensors) for stage in network.stages]
        self._join_observers()

    def _make_step(self, stage: Stage, tensors: dict[str, Tensor]) -> Step:
        parts = stage.build(tensors, self.network.tensor(stage.inputs[0]))
        if parts.layer is not None:
            parts.layer.input_span = input_span(self.grid(stage.inputs[0]).zero_point)
            place(self.get_submodule(_ROOT), stage.name, parts.layer)
        if parts.norm is not None:
            place(self.get_submodule(_ROOT), parts.norm.name, parts.norm)
        if parts.constant is not None:
            place(self.get_submodule(_ROOT), stage.name, parts.constant)
        observer: Observer | None = None
        if stage.grid is GridRule.OWN:
            grids, name = self.grids, stage.output
            observer = Observer(grids.zero_point(name), grids.one_scale(name), stage.fixed_range)
            self.observers[_key(name)] = observer
            observer.residual = tuple(
                self.observer(source) or self.pixels.scale for source in stage.residuals
            )
        return Step(stage, parts.layer, parts.norm, parts.constant, observer)

    def _join_observers(self) -> None:
        """Let the observers of tensors on one grid know each other."""
        for step in self._steps:
            if step.observer is not None:
                others = self.grids.observed(step.stage.output)
                found = (self.observers[_key(name)] for name in others)
                step.observer.joined = tuple(
                    observer
                    for observer in found
                    if isinstance(observer, Observer) and observer is not step.observer
                )

    @property
    def input_shape(self) -> Shape:
        """Height, width, channels of the input, the first where there are several."""
        return self.input_shapes[0]

    @property
    def input_shapes(self) -> Shapes:
        """Height, width, channels of each input."""
        return tuple(self.network.tensor(name).shape for name in self.network.inputs)

    @property
    def output_shapes(self) -> Shapes:
        """Height, width, channels of each output."""
        return tuple(self.network.tensor(name).shape for name in self.network.logits)

    @property
    def classes(self) -> int:
        """Number of logits: channels of the output, the first where there are several."""
        return self.output_shapes[0][2]

    def forward(self, x: Inputs, level: int | None = None) -> Any:
        """Return what the user's module returns of ``level`` (default: the densest): a tensor
        (n, classes) or (n, c, h, w), or a tuple of them where it has several outputs.

        A softmax or log-softmax at the module's end is computed in float, also under fake
        quantization; where the module has one in evaluation mode only, so has this network.

        Args:
            x: a batch (n, c, h, w) as the user's module is fed it: :attr:`pixels` says how it comes
                from pixels. Where that takes (n, c, w), h is 1 or left out. A sequence of batches
                where there are several inputs.
            level: 0 is the sparsest.

        Raises:
            UserError: no such level, or the images' shape is not the network's.
        """
        ends = self.ends[self.training]
        results = tuple(
            self._shaped(
                y if end is None else end.run((y,), Run(self, Step(end), level or 0)), name
            )
            for y, end, name in zip(self._logits(x, level), ends, self.network.logits, strict=True)
        )
        return results[0] if len(results) == 1 else results

    def logits(self, x: Inputs, level: int | None = None) -> Any:
        """Return what :meth:`forward` returns, without a softmax at the end, and as (n, c) where it
        has one position: what nestnet trains on by cross-entropy, measures and predicts, and a
        device's arg-max is of.

        Raises:
            UserError: no such level, or the images' shape is not the network's.
        """
        results = self._logits(x, level)
        return results[0] if len(results) == 1 else results

    def _logits(self, x: Inputs, level: int | None) -> tuple[Tensor, ...]:
        level = self.n_levels - 1 if level is None else level
        given = tuple(x) if isinstance(x, tuple | list) else (x,)
        self._check(given, level)
        values = self.entered(given)
        if self.quantize:
            values = {name: self._round_input(real) for name, real in values.items()}
        for step in self._steps:
            if not step.stage.only_last:
                values[step.stage.output] = self.run_step(step, values, level)
        return tuple(self._plain(values[name], name) for name in self.network.logits)

    def entered(self, given: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return by its name the real values of each of the integer graph's inputs for batches
        ``given`` as the module is fed them: pixel / 255 where pixels lie on no grid, else as they
        are."""
        values = {}
        for name, x in zip(self.network.inputs, given, strict=True):
            real = self.pixels.to_input(as_map(x).contiguous(memory_format=torch.channels_last))
            shape = (len(x), *self.network.tensor(name).torch_shape)
            values[name] = real if real.shape == shape else real.reshape(shape)  # keeps its strides
        return values

    def _plain(self, y: Tensor, name: str) -> Tensor:
        """Return ``y``, as a vector (n, c) where it has one position."""
        return y.flatten(1) if self.network.tensor(name).shape[:2] == (1, 1) else y

    def _shaped(self, y: Tensor, name: str) -> Tensor:
        """Return ``y`` as the user's module returns it, (n, c, 1, 1) perhaps."""
        return y.reshape(len(y), *self.network.tensor(name).torch_shape)

    def _check(self, given: tuple[Tensor, ...], level: int) -> None:
        if not (isinstance(level, Integral) and 0 <= level < self.n_levels):
            raise UserError(
                "level",
                "no such level",
                got=level,
                expected=f"0..{self.n_levels - 1}",
                action="Choose one of the network's levels",
            )
        check_batches(given, self.input_shapes)

    def run_step(self, step: Step, values: Mapping[str, Tensor], level: int) -> Tensor:
        """Execute one stage; in quantized mode its result lies on the int8 grid."""
        stage = step.stage
        y = stage.run(tuple(values[name] for name in stage.inputs), Run(self, step, level))
        if not self.quantize:
            return y
        if step.observer is not None:
            rounded: Tensor = step.observer(y, level)
            return rounded
        if stage.grid is GridRule.ROUNDED:
            observer = self.observer(stage.output)
            return self._round_input(y) if observer is None else observer.round(y, level)
        return y

    def where(self, stage: Stage) -> str:
        """Return what errors call ``stage``: the user's source line, where known, and its name."""
        line = self.places.get(stage.name, "")
        return f"{line}, layer '{stage.name}'" if line else f"layer '{stage.name}'"

    def grid(self, name: str) -> Grid:
        """Return the int8 grid that tensor ``name`` lies on."""
        observer = self.observer(name)
        if observer is None:
            return Grid((self.pixels.scale,) * self.n_levels, self.pixels.zero_point)
        scales = tuple(float(observer.scale(level)) for level in range(self.n_levels))
        return Grid(scales, observer.zero_point)

    def _round_input(self, x: Tensor) -> Tensor:
        return round_input(x, self.pixels.scale, self.pixels.zero_point)

    def observer(self, name: str) -> Observer | None:
        """Return the observer whose grid tensor ``name`` lies on; None for the input's grid."""
        grid = self.grids.of(name)
        if grid in self.network.inputs:
            return None
        observer = self.observers[_key(grid)]
        assert isinstance(observer, Observer)
        return observer

    def set_levels(self, n_levels: int) -> None:
        """Give every level its own batch norm and observers, copies of the densest level's.

        Raises:
            UserError: fewer than 1 or more than 16 levels.
        """
        if not 1 <= n_levels <= MAX_LEVELS:
            raise UserError(
                "levels",
                "impossible number of levels",
                got=n_levels,
                expected=f"1..{MAX_LEVELS}",
                action="Ask for fewer levels",
            )
        for module in self.modules():
            if isinstance(module, LevelNorm | Observer):
                module.set_levels(n_levels)
        self.n_levels = n_levels

    def weighted(self) -> dict[str, PrunableLayer]:
        """Return every layer with trainable weights, also grouped ones, in execution order."""
        found: dict[str, PrunableLayer] = {}
        for step in self._steps:
            if step.layer is not None:
                positions = step.stage.positions(self.network)
                found[step.stage.name] = PrunableLayer(
                    step.stage.name, step.layer, step.layer.weight, positions
                )
        return found

    def prunable(self, dense_layers: Iterable[str] | None = None) -> dict[str, PrunableLayer]:
        """Return the layers to nest, in execution order; grouped convolutions never are.

        Args:
            dense_layers: names of layers to keep dense; default: the first convolution and the
                last linear layer.

        Raises:
            UserError: a name in ``dense_layers`` is no layer.
        """
        layers = self.weighted()
        prunable = {step.stage.name: step.stage.prunable for step in self._steps}
        keep = self.default_dense_layers() if dense_layers is None else tuple(dense_layers)
        for name in keep:
            if name not in layers:
                raise UserError(
                    "dense_layers",
                    "no such layer",
                    got=name,
                    expected=", ".join(layers),
                    action="Use the name of a layer",
                )
        return {
            name: layer for name, layer in layers.items() if name not in keep and prunable[name]
        }

    def default_dense_layers(self) -> tuple[str, ...]:
        """Return the names of the first and last layers that lose most: the first convolution, the
        last linear layer, and those that make maps the network returns."""
        of_kind: dict[type[Stage], list[str]] = {}
        for step in self._steps:
            if step.layer is not None:
                of_kind.setdefault(type(step.stage), []).append(step.stage.name)
        ends = {"first": slice(0, 1), "last": slice(-1, None), None: slice(0)}
        found = [name for kind, of in of_kind.items() for name in of[ends[kind.kept_dense]]]
        for step in self._steps:
            is_end = step.stage.output in self.network.logits
            if step.layer is not None and is_end and step.stage.name not in found:
                shape = self.network.tensor(step.stage.output).shape
                found += [step.stage.name] if shape[:2] != (1, 1) else []
        return tuple(found)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the stages and their modules, in execution order."""
        return tuple(self._steps)

    def set_grad_routing(self, routing: GradRouting) -> None:
        """Let a level's loss update all weights it contains ('shared') or only those it adds."""
        for layer in self.weighted().values():
            layer.module.grad_routing = routing

    def set_quantize(self, enabled: bool, bn_frozen: bool = False) -> None:
        """Turn fake quantization on or off; ``bn_frozen``: batch norm uses running statistics."""
        self.quantize = enabled
        for layer in self.weighted().values():
            layer.module.quantize = enabled
        for module in self.modules():
            if isinstance(module, LevelNorm):
                module.frozen = bn_frozen

    def freeze_observers(self, frozen: bool = True) -> None:
        """Stop (or resume) updating activation ranges in training mode."""
        for module in self.modules():
            if isinstance(module, Observer):
                module.frozen = frozen


def _key(name: str) -> str:
    """Return what the module that observes tensor ``name`` is called."""
    return name.replace(".", "/")


def device_of(network: nn.Module) -> torch.device:
    """Return where ``network`` lies: a network of pools alone has no weights, perhaps no buffer."""
    state = (*network.parameters(), *network.buffers())
    return state[0].device if state else torch.device("cpu")


def _on_cpu(tensor: Tensor, trained: bool) -> Tensor:
    """Return ``tensor`` in float32 on the CPU."""
    return tensor.detach().cpu().float().requires_grad_(trained)


def to_float_input(images: NDArray[Any], pixels: Seen = DEFAULT) -> Tensor:
    """Return images (n, h, w, c), or windows of samples, as a network's input (n, c, h, w), by
    default (pixel - 128) / 64."""
    return pixels.to_float(torch.from_numpy(np.ascontiguousarray(images)))


def float_batches(
    net: NestedNet, images: Images, batch_size: int
) -> Iterator[Tensor | tuple[Tensor, ...]]:
    """Yield uint8 ``images`` (n, h, w, c), an array for each input, as what ``net`` is fed.

    Raises:
        UserError: images of another type or shape.
    """
    arrays = checked_images(images, net.input_shapes, net.pixels.dtype)
    device = device_of(net)
    for start in range(0, len(arrays[0]), batch_size):
        batch = tuple(
            to_float_input(array[start : start + batch_size], net.pixels).to(device)
            for array in arrays
        )
        yield batch[0] if len(batch) == 1 else batch


def predict(net: NestedNet, images: Images, level: int, batch_size: int = 256) -> Any:
    """Return the logits of ``level`` for uint8 images (n, h, w, c), float32: (n, classes), or
    (n, c, h, w) of a map; a tuple of them where there are several outputs.

    Raises:
        UserError: the images have another type or shape.
    """
    with evaluation(net):
        parts = [net._logits(x, level) for x in float_batches(net, images, batch_size)]
    found = tuple(torch.cat(part).float().cpu().numpy() for part in zip(*parts, strict=True))
    return found[0] if len(found) == 1 else found
