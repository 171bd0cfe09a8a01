"""Run one dense int8 layer in the TFLite interpreter, with its reference kernels.

The model is built here, table by table, from the TensorFlow Lite schema; per-channel weight scales,
int32 bias, VALID padding.
"""

from __future__ import annotations

from typing import Literal

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

Kind = Literal["conv", "depthwise", "linear"]
FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3


def run(
    kind: Kind,
    images: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    scales: tuple[float, np.ndarray, float],
    zero_points: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    relu: bool = False,
) -> np.ndarray:
    """Return int8 outputs for int8 images (n, h, w, c), or (n, c) for a linear layer.

    Args:
        kind: of layer.
        images: batch; the model is built for its shape.
        weight: (out_c, kh, kw, in_c), (1, kh, kw, out_c) for depthwise, (out_c, in_c) for linear.
        bias: int32 (out_c,), scale ``scales[0] * scales[1]``.
        scales: input, weight per output channel, output.
        zero_points: input and output.
        stride: vertical and horizontal.
        relu: fuse a ReLU.
    """
    options, code = _operator(kind, stride, relu, weight.shape)
    depth_axis = 3 if kind == "depthwise" else 0
    out_shape = _out_shape(kind, images.shape, weight.shape, stride)
    in_scale, weight_scale, out_scale = scales
    zeros = np.zeros(len(weight_scale), np.int64)
    tensors = [
        _tensor(images.shape, schema.TensorType.INT8, 0, [in_scale], [zero_points[0]]),
        _tensor(weight.shape, schema.TensorType.INT8, 1, weight_scale, zeros, depth_axis),
        _tensor(bias.shape, schema.TensorType.INT32, 2, in_scale * weight_scale, zeros),
        _tensor(out_shape, schema.TensorType.INT8, 0, [out_scale], [zero_points[1]]),
    ]
    data = _model(options, code, tensors, [b"", weight.tobytes(), bias.astype("<i4").tobytes()])
    interpreter = Interpreter(
        model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    result: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result


def _operator(
    kind: Kind, stride: tuple[int, int], relu: bool, weight_shape: tuple[int, ...]
) -> tuple[object, int]:
    activation = schema.ActivationFunctionType.RELU if relu else 0
    if kind == "linear":
        linear = schema.FullyConnectedOptionsT()
        linear.fusedActivationFunction = activation
        return linear, schema.BuiltinOperator.FULLY_CONNECTED
    options = schema.Conv2DOptionsT() if kind == "conv" else schema.DepthwiseConv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH, options.strideW = stride
    options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = activation
    if kind == "conv":
        return options, schema.BuiltinOperator.CONV_2D
    options.depthMultiplier = 1
    return options, schema.BuiltinOperator.DEPTHWISE_CONV_2D


def _out_shape(
    kind: Kind, images: tuple[int, ...], weight: tuple[int, ...], stride: tuple[int, int]
) -> tuple[int, ...]:
    if kind == "linear":
        return (images[0], weight[0])
    height = (images[1] - weight[1]) // stride[0] + 1
    width = (images[2] - weight[2]) // stride[1] + 1
    return (images[0], height, width, weight[3] if kind == "depthwise" else weight[0])


def _tensor(shape, kind, buffer, scale, zero_point, axis=0):  # type: ignore[no-untyped-def]
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.asarray(scale, np.float32)
    quantization.zeroPoint = np.asarray(zero_point, np.int64)
    quantization.quantizedDimension = axis
    tensor = schema.TensorT()
    tensor.shape = np.asarray(shape, np.int32)
    tensor.type = kind
    tensor.buffer = buffer
    tensor.quantization = quantization
    return tensor


def _model(options, code, tensors, buffers):  # type: ignore[no-untyped-def]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = np.array([0, 1, 2], np.int32), np.array([3], np.int32)
    operator.builtinOptions = options
    operator.builtinOptionsType = getattr(
        schema.BuiltinOptions, type(options).__name__.removesuffix("T")
    )
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = tensors, [operator]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([3], np.int32)
    opcode = schema.OperatorCodeT()
    opcode.builtinCode = opcode.deprecatedBuiltinCode = code
    opcode.version = 3
    model = schema.ModelT()
    model.version = SCHEMA_VERSION
    model.subgraphs, model.operatorCodes, model.buffers = [graph], [opcode], []
    for content in buffers:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8) if content else None
        model.buffers.append(buffer)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())
