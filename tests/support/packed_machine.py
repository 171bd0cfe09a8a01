"""Run a packed network from its image bytes and a simulated arena, as the device does.

Weights and tables come from ``image_bytes`` at the members' offsets; activations live in one byte
array at the planned offsets, scratch areas are overwritten with noise. A layer whose output lies
over an input sees what is left of it in the order in which its kernel reads and writes
(:mod:`tests.support.kernel_order`). What the layers compute is taken from codegen/graph/ops, so
this proves the packing, not the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from codegen.formats import dense, nested
from codegen.formats.codecs import deltas, lz4
from codegen.graph.ir import NEVER, Op, Requant, TfliteRequant
from codegen.graph.joined import JoinedConv
from codegen.graph.ops.add import Add
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.ops.lookup import Lookup
from codegen.graph.ops.matmul import Matmul
from codegen.graph.ops.mul import Mul
from codegen.graph.ops.normalize import Normalize
from codegen.graph.ops.softmax import Softmax
from codegen.program.call import Buffer, Call, Member
from codegen.program.program import Program
from tests.support import kernel_order
from tests.support.kernel_order import Order


class PackedMachine:
    """The memory of one inference."""

    def __init__(self, packed: Program, seed: int) -> None:
        self.packed = packed
        self.rng = np.random.default_rng(seed)
        self.arena = self.rng.integers(-128, 128, packed.arena_bytes, dtype=np.int8)
        self.decoded_level = -1
        self.orders = [order_of(layer) for layer in packed.layers]

    def run(self, image: np.ndarray, level: int) -> np.ndarray:
        """Return the flat output of one (h, w, c) image by a network with one input and output."""
        (output,) = self.run_all([image], level)
        return output

    def run_all(self, inputs: Sequence[np.ndarray], level: int) -> list[np.ndarray]:
        """Return the flat outputs of one sample, an (h, w, c) array per input."""
        graph, packed = self.packed.graph, self.packed
        output = np.zeros(int(np.prod(graph.value(graph.outputs[0]).shape)), np.int8)
        image = inputs[0]
        places = {"input": image.reshape(-1).copy(), "output": output, "arena": self.arena}

        def view(buffer: Buffer) -> np.ndarray:
            return places[buffer.place][buffer.offset_bytes :][: buffer.size_bytes]

        for buffer, given in zip(packed.inputs, inputs, strict=True):
            view(buffer)[:] = given.reshape(-1)
        if self.packed.target.decode == "level" and level != self.decoded_level:
            for layer in self.packed.layers:
                self.decode(layer, level)
            self.decoded_level = level
        for layer in self.packed.layers:
            if self.packed.target.decode == "inference":
                self.decode(layer, level)
            op = self.op_from_image(layer, level)
            names = op.inputs
            inputs = tuple(
                view(buffer).copy().reshape(1, *graph.value(name).shape)
                for buffer, name in zip(layer.inputs, names, strict=True)
            )
            if layer.scratch is not None:
                scratch = view(layer.scratch)
                assert len(scratch) == layer.scratch.size_bytes
                scratch[:] = self.rng.integers(-128, 128, len(scratch), dtype=np.int8)
            for buffer, given in zip(layer.inputs, inputs, strict=True):
                assert np.array_equal(view(buffer), given.reshape(-1)), "scratch hit an input"
            target = view(layer.output)
            target[:] = op.run(graph, inputs, level).reshape(-1)
            for position, (buffer, given) in enumerate(zip(layer.inputs, inputs, strict=True)):
                if buffer.place == layer.output.place == "arena":
                    distance = buffer.offset_bytes - layer.output.offset_bytes
                    changed = self.orders[layer.index].clobbered(position, distance)
                    given.reshape(-1)[changed] = view(buffer)[changed]
            target[:] = op.run(graph, inputs, level).reshape(-1)
        if packed.inputs[0].place == "input":
            assert np.array_equal(places["input"], image.reshape(-1))
        return [view(buffer).copy() for buffer in packed.outputs]

    def load(self, field: Member | None) -> np.ndarray:
        """Return a member's content from the image bytes."""
        assert field is not None
        dtype = field.array.dtype.newbyteorder("<")
        count = int(np.prod(field.dims))
        raw = np.frombuffer(self.packed.image_bytes, dtype, count, field.offset_bytes)
        return raw.reshape(field.dims).astype(field.array.dtype)

    def decode(self, layer: Call, level: int) -> None:
        """Decode what the layer reads at ``level`` into its area of the arena."""
        op = weighted(layer.op)
        stored_members = [(member, 0) for member in layer.members.values()]
        for stream in layer.streams[: level + 1]:
            stored_members += [(stream.weights, 0), (stream.positions, 1)]
        for member, unit in stored_members:
            how = member.coded
            if how is None:
                continue
            stored = self.load(member).tobytes()
            assert layer.decoded is not None and member.align_bytes == 1
            assert isinstance(op, Conv2D | Linear) and member.c_type == "uint8_t"
            if how.codec == "deltas":
                rows = op.weight.shape[0]
                channels = nested.padded_channels(op.weight.shape[-1], layer.args.group)
                count = int(np.prod(op.weight.shape[1:-1])) * channels // layer.args.group
                data = deltas.decode(stored, rows, count, layer.args.group).tobytes()
            else:
                data = lz4.decode(stored, how.decoded_bytes)
            assert len(data) == how.decoded_bytes and (unit or how.offset_bytes % 4 == 0)
            begin = layer.decoded.offset_bytes + how.offset_bytes
            assert how.offset_bytes + len(data) <= layer.decoded.size_bytes
            self.arena[begin : begin + len(data)] = np.frombuffer(data, np.int8)

    def stream(self, layer: Call, member: Member) -> bytes:
        """Return a stream as the kernel reads it, from flash or from the arena."""
        coded = member.coded
        if coded is None:
            return self.load(member).tobytes()
        assert layer.decoded is not None
        begin = layer.decoded.offset_bytes + coded.offset_bytes
        return self.arena[begin : begin + coded.decoded_bytes].tobytes()

    def op_from_image(self, layer: Call, level: int) -> Op:
        """Return the layer's op with everything that lies in flash read back from there."""
        op, members = layer.op, layer.members
        if isinstance(op, Softmax):
            gain = self.load(members["softmax_gain"]) if "softmax_gain" in members else op.gain
            gain = tuple(int(each) for each in gain)
            return replace(op, table=self.load(members["table"]), gain=gain)
        if isinstance(op, Add | Mul) and op.constant is not None:
            stored = self.load(members["constant"])
            op = replace(op, constant=stored.reshape(op.constant.shape))
        if isinstance(op, Lookup):
            (table,) = (self.load(member) for member in members.values())
            return replace(op, table=table.reshape(-1, 256))
        if isinstance(op, Add):
            multiplier = self.load(members["add_multiplier"])
            return replace(op, multiplier=multiplier, offset=self.load(members["add_offset"]))
        if isinstance(op, Normalize):
            return replace(op, table=self.load(members["normalize"]))
        if isinstance(op, Matmul):
            return replace(op, multiplier=self.load(members["matmul_multiplier"]))
        if isinstance(op, Mul):
            multiplier = self.load(members["mul_multiplier"])
            return replace(op, multiplier=multiplier, offset=self.load(members["mul_offset"]))
        if isinstance(op, JoinedConv):
            return replace(op, body=self.weighted_from_image(op.body, layer, level))
        if isinstance(op, Conv2D | Linear):
            return self.weighted_from_image(op, layer, level)
        return op

    def weighted_from_image(self, op: Conv2D | Linear, layer: Call, level: int) -> Conv2D | Linear:
        """Return ``op``, what the layer computes, with what lies in flash read back from there."""
        members = layer.members
        op = replace(op, requant=self.requant(layer, op.requant), weight=self.weight(layer, level))
        if op.group_level is not None:
            everything = np.where(op.group_level == NEVER, NEVER, 0).astype(np.uint8)
            op = replace(op, group_level=everything)
        if isinstance(op, Conv2D) and op.residual is not None:
            multiplier = self.load(members["residual_multiplier"])
            op = replace(op, residual=replace(op.residual, multiplier=multiplier))
        return op

    def requant(self, layer: Call, rule: Requant | TfliteRequant) -> Requant | TfliteRequant:
        """Return the layer's tables and constants as stored."""
        members = layer.members
        multiplier, bias = self.load(members["multiplier"]), self.load(members["bias"])
        if isinstance(rule, TfliteRequant):
            return TfliteRequant(multiplier, self.load(members["shift"]).astype(np.int8), bias)
        constants = layer.args.requant
        delta = np.zeros_like(rule.bias_delta)
        if len(delta) > 1:
            delta[:-1] = self.load(members["bias_delta"])
        return Requant(
            multiplier=multiplier,
            multiplier_shift=constants.multiplier_shift,
            bias=bias,
            bias_delta=delta,
            bias_delta_shift=constants.bias_delta_shift,
            fraction_bits=constants.fraction_bits,
            pre_shift=constants.pre_shift,
        )

    def weight(self, layer: Call, level: int) -> np.ndarray:
        """Return the weights ``level`` runs with, decoded from flash."""
        op = weighted(layer.op)
        assert isinstance(op, Conv2D | Linear)
        shape = (
            op.weight.shape
            if op.weight.ndim == 4
            else (*op.weight.shape[:1], 1, 1, op.weight.shape[1])
        )
        if layer.kernel in ("nested_conv", "nested_linear"):
            total = np.zeros(shape, np.int8)
            for stream in layer.streams[: level + 1]:
                positions = self.stream(layer, stream.positions)
                weights = self.stream(layer, stream.weights)
                stored = nested.NestedStream(
                    np.frombuffer(positions, np.uint8), np.frombuffer(weights, np.int8)
                )
                total += nested.decode(stored, shape, layer.args.group)[0]
            return total.reshape(op.weight.shape)
        if layer.kernel in ("dense_conv", "dense_linear"):
            channels = shape[3]
            if isinstance(op, Conv2D):
                channels = dense.padded_channels(channels, shape[1], op.stride)
            plain = self.stream(layer, layer.members["weights"])
            rows = np.frombuffer(plain, np.int8).reshape(shape[0], -1)
            return dense.decode(rows, shape, channels).reshape(op.weight.shape)
        stored_weights = self.load(layer.members["weights"])
        if layer.kernel == "depthwise_conv":
            if "channel_level" in layer.members:
                absent = self.load(layer.members["channel_level"]) > level
                stored_weights = np.where(absent[:, None, None], np.int8(0), stored_weights)
            return stored_weights[..., None]
        if layer.kernel == "cmsis_depthwise_conv":
            return stored_weights.transpose(2, 0, 1)[..., None]
        return stored_weights


def weighted(op: Op) -> Op:
    """Return the convolution of a joined one, and any other operator."""
    return op.body if isinstance(op, JoinedConv) else op


def order_of(layer: Call) -> Order:
    """Return when the layer's kernel reads and writes."""
    counts = [buffer.size_bytes for buffer in (*layer.inputs, layer.output)]
    shape = getattr(layer.args, "shape", None)
    residual = "residual_multiplier" in layer.members
    if layer.kernel in ("add", "mul") and len(layer.inputs) == 2:
        return kernel_order.repeated(layer.args.repeat, counts[1])
    if layer.kernel in ("add", "lookup", "mul", "normalize", "softmax"):
        return kernel_order.elementwise(len(layer.inputs), counts[-1])
    if layer.kernel == "matmul":
        return kernel_order.apart(counts[0], counts[1], counts[-1])
    if layer.kernel in ("nested_linear", "dense_linear"):
        return kernel_order.at_once(counts[0], counts[-1])
    if layer.kernel == "concat":
        return kernel_order.concat(
            layer.args.runs, [count // layer.args.runs for count in counts[:-1]]
        )
    if shape is None or layer.kernel.startswith("cmsis"):
        return kernel_order.unknown(counts[0], counts[-1])
    if layer.kernel in ("nested_conv", "dense_conv"):
        nested = layer.kernel == "nested_conv"
        if layer.args.parts:
            return kernel_order.joined(
                shape, layer.args.parts, layer.args.tile, nested=nested, residual=residual
            )
        return kernel_order.patches(shape, layer.args.tile, nested=nested, residual=residual)
    if layer.kernel == "depthwise_conv":
        return kernel_order.depthwise(shape, layer.args.band)
    groups = layer.args.groups if layer.kernel == "grouped_conv" else shape.in_c
    return kernel_order.windows(shape, groups, residual=residual)
