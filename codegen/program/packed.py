"""What :func:`codegen.lower.pack.lower` returns: a network with every number the generated C needs.

Everything is frozen data. Members of :class:`WindowShape` and :class:`RequantConstants` carry the
names of ``nn_window_shape`` and ``nn_requant`` in ``firmware/kernels/nn_layer.h``, so a template
can print them one for one. Axes are h, w, c; sizes are bytes unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codegen.formats.storage import Allowed
from codegen.graph.ir import Graph, Op

Kernel = Literal[
    "nested_conv",
    "nested_linear",
    "dense_conv",
    "dense_linear",
    "depthwise_conv",
    "grouped_conv",
    "add",
    "max_pool",
    "avg_pool",
    "softmax",
    "cmsis_conv",
    "cmsis_depthwise_conv",
    "cmsis_linear",
    "cmsis_max_pool",
]
"""The C function a layer calls: ``nn_<kernel>`` in ``firmware/kernels/<kernel>.h``, or for
``cmsis_*`` the function of the CMSIS-NN s8 API of the same purpose."""

Optimize = Literal["balanced", "size", "speed"]
"""What a layer's storage is chosen by; :mod:`codegen.lower.storage_choice`."""

Place = Literal["input", "output", "arena"]
"""Where a tensor lives: in the caller's input or output buffer, or in the arena."""


@dataclass(frozen=True)
class Buffer:
    """One activation tensor or scratch area and where it lies."""

    value: str
    """Name of the graph value, ``<layer>.scratch`` or ``<layer>.decoded``."""
    place: Place
    offset_bytes: int
    """From the start of ``place``; a multiple of 8 in the arena, 0 in "input" and "output"."""
    size_bytes: int


@dataclass(frozen=True)
class WindowShape:
    """The members of ``nn_window_shape``; linear layers are 1x1 on a 1x1 map."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int


@dataclass(frozen=True)
class RequantConstants:
    """The members of ``nn_requant``: what does not depend on the level."""

    in_zero_point: int
    multiplier_shift: int
    bias_delta_shift: int
    fraction_bits: int
    pre_shift: int
    act_min: int
    act_max: int
    residual_zero_point: int
    """0 without a residual."""


@dataclass(frozen=True)
class AddConstants:
    """Literal arguments of ``nn_add``."""

    count: int
    """Elements."""
    shift: int
    act_min: int
    act_max: int


@dataclass(frozen=True)
class CmsisConstants:
    """Literal arguments of a CMSIS-NN call."""

    in_zero_point: int
    out_zero_point: int
    act_min: int
    act_max: int


@dataclass(frozen=True, eq=False)
class ImageField:
    """One member of the weight image, a C struct without padding."""

    name: str
    """The member's name, ``<layer.c_name>_<role>[_<level>]``; unique in the image."""
    role: str
    """What it holds: "weights", "positions", "multiplier", "bias", "bias_delta", ..."""
    c_type: str
    """int32_t, int16_t, uint16_t, int8_t or uint8_t."""
    array: NDArray[np.generic]
    """The content; its shape gives the member's dimensions, e.g. ``name[levels][out_c]``."""
    offset_bytes: int
    align_bytes: int
    """Alignment kernels rely on: 4, 2 or 1; ``offset_bytes`` is a multiple of it."""
    layer: str
    """Name of the op it belongs to."""

    @property
    def size_bytes(self) -> int:
        """Return the bytes the member takes in flash."""
        return int(self.array.nbytes)

    @property
    def dims(self) -> tuple[int, ...]:
        """Return the C array dimensions."""
        return tuple(int(extent) for extent in self.array.shape)


Decode = Literal["inference", "level"]
"""When coded streams are decoded: before their layer runs, or once after a change of level."""


@dataclass(frozen=True)
class Coded:
    """What a stream is that does not lie in flash as kernels read it; docs/format.md.

    The stream's image member then holds the stored bytes: uint8_t, aligned to 1.
    """

    codec: Literal["lz4", "deltas"]
    decoded_bytes: int
    """Bytes of the execution form, at least 1."""
    offset_bytes: int
    """Of the execution form in the layer's decoded area; a multiple of 4 for weights."""


@dataclass(frozen=True, eq=False)
class Stream:
    """One level's increment of a nested layer (``nn_stream``); docs/format.md."""

    level: int
    positions: ImageField
    weights: ImageField
    coded_positions: Coded | None = None
    """None: ``positions`` lies in flash as kernels read it."""
    coded_weights: Coded | None = None


@dataclass(frozen=True, eq=False)
class LayerFields:
    """The image members of one layer; None where the kernel takes none."""

    multiplier: ImageField | None = None
    """(levels, out_c): int16_t, or int32_t under the TFLite rule."""
    bias: ImageField | None = None
    """(out_c,) int16_t; under the TFLite rule (levels, out_c) int32_t."""
    bias_delta: ImageField | None = None
    """(levels - 1, out_c) int8_t; None with one level. The densest level passes NULL."""
    residual_multiplier: ImageField | None = None
    """(levels,) int32_t."""
    channel_level: ImageField | None = None
    """(out_c,) uint8_t of a depthwise layer: first level with the channel; None: all have it."""
    weights: ImageField | None = None
    """int8_t of a layer that is not nested, the layout is the kernel's; the stored uint8_t of dense
    rows that are coded."""
    coded_weights: Coded | None = None
    """Of a dense layer whose rows are coded."""
    shift: ImageField | None = None
    """(levels, out_c) int32_t, TFLite rule only; positive is left."""
    add_multiplier: ImageField | None = None
    """(levels, 2) int32_t."""
    add_offset: ImageField | None = None
    """(levels,) int32_t."""
    table: ImageField | None = None
    """(256,) uint16_t of a softmax."""
    streams: tuple[Stream, ...] = ()
    """One per level of a nested layer."""

    def all(self) -> tuple[ImageField, ...]:
        """Return every member that is present."""
        single = (
            self.multiplier,
            self.bias,
            self.bias_delta,
            self.channel_level,
            self.residual_multiplier,
            self.weights,
            self.shift,
            self.add_multiplier,
            self.add_offset,
            self.table,
        )
        flat = [field for field in single if field is not None]
        for stream in self.streams:
            flat += [stream.positions, stream.weights]
        return tuple(flat)


@dataclass(frozen=True)
class LevelCost:
    """What one layer, or a whole network, costs at one level."""

    macs: int
    """Multiply-accumulates on kept weights; padding counted, format dummies not."""
    cycles: int
    """Modelled by codegen/kernels/cost.py, not measured."""
    weight_bytes: int
    """Flash read: weights, positions and this level's tables."""


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """One call of a kernel, in execution order."""

    index: int
    name: str
    """Name of the op in the graph."""
    c_name: str
    """``layer_<index>_<name>``, a C identifier, unique."""
    op: Op
    kernel: Kernel
    reason: str
    """Why this kernel, one sentence, for the report."""
    storage: str
    """How the weights are stored, as in "nested, positions deltas"; empty without weights."""
    inputs: tuple[Buffer, ...]
    """The op's inputs; the fused residual or an addition's second operand comes second."""
    output: Buffer
    scratch: Buffer | None
    """int16 work area in the arena."""
    decoded: Buffer | None
    """Where the layer's coded streams are decoded; None if all of them are raw. Under "inference"
    other buffers use the bytes before and after the layer, under "level" nothing else ever does."""
    shape: WindowShape | None
    """Weighted layers and pools."""
    requant: RequantConstants | None
    """Weighted layers under the nestnet rule."""
    add: AddConstants | None
    """Additions only."""
    cmsis: CmsisConstants | None
    """Layers handed to CMSIS-NN only."""
    group: int
    """G of a nested layer, else 1."""
    groups: int
    """Convolution groups; 1 for everything else."""
    tile: int
    """P, output columns computed at once, at most out_w; for depthwise convolutions the output rows
    whose input is expanded at once; 1 where the kernel has neither."""
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    out_zero_point: int
    fields: LayerFields
    levels: tuple[LevelCost, ...]

    @property
    def has_residual(self) -> bool:
        """Return whether the epilogue adds a second input."""
        return self.fields.residual_multiplier is not None

    @property
    def flash_bytes(self) -> int:
        """Return the bytes of all the layer's image members."""
        return sum(field.size_bytes for field in self.fields.all())

    @property
    def stored_bytes(self) -> int:
        """Return the bytes of the layer's weights and positions in flash."""
        return sum(size for size, _ in self._stream_bytes())

    @property
    def execution_bytes(self) -> int:
        """Return the bytes of the layer's weights and positions as kernels read them."""
        return sum(size for _, size in self._stream_bytes())

    def _stream_bytes(self) -> Iterator[tuple[int, int]]:
        """Yield the stored and the execution form's bytes of every stream."""
        fields = self.fields
        streams = [(fields.weights, fields.coded_weights), (fields.channel_level, None)]
        for stream in fields.streams:
            streams.append((stream.weights, stream.coded_weights))
            streams.append((stream.positions, stream.coded_positions))
        for field, coded in streams:
            if field is not None:
                stored = field.size_bytes
                yield stored, stored if coded is None else coded.decoded_bytes


@dataclass(frozen=True)
class PackedLevel:
    """One nested sub-network as the firmware reports it (``nn_level_info``)."""

    name: str
    sparsity: float
    accuracy: float | None
    """Top-1 of the quantized network, 0..1."""
    cost: LevelCost


@dataclass(frozen=True, eq=False)
class Packed:
    """A lowered network."""

    graph: Graph
    """After the passes: what the C does, op for op."""
    source: Graph
    """Before the passes: what the user exported."""
    kernels: Literal["nestnet", "cmsis-nn"]
    optimize: Optimize
    codecs: Allowed
    decode: Decode
    layers: tuple[PackedLayer, ...]
    """One per op except Reshape, which moves no data."""
    image: tuple[ImageField, ...]
    """In struct order: members aligned to 4, then 2, then 1 byte; no padding between them."""
    image_bytes: bytes
    """The struct as it lies in flash, little endian, zero-padded to a multiple of 4."""
    crc32: int
    """IEEE 802.3 CRC-32 of ``image_bytes``."""
    arena_bytes: int
    """A multiple of 8."""
    peak_bytes: tuple[int, ...]
    """Per layer, the fewest arena bytes it can run in: what is alive, less what its output may
    share with inputs that die. Their maximum bounds any plan from below."""
    levels: tuple[PackedLevel, ...]

    @property
    def execution_bytes(self) -> int:
        """Return the bytes the image would take if no stream were coded."""
        gained = sum(layer.execution_bytes - layer.stored_bytes for layer in self.layers)
        return len(self.image_bytes) - self.pad_bytes + gained

    @property
    def has_coded_streams(self) -> bool:
        """Return whether anything has to be decoded."""
        return any(layer.decoded is not None for layer in self.layers)

    @property
    def pad_bytes(self) -> int:
        """Return the zero bytes after the last member (a last member ``uint8_t pad[n]``)."""
        used = sum(field.size_bytes for field in self.image)
        return len(self.image_bytes) - used
