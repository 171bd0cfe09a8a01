"""Random modules: some of each kind on every run, and that the fuzzer finds what it looks for."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nestnet.net import tensors
from tests.fuzz import model_check, models
from tests.fuzz.model_check import check_bits, check_model
from tests.fuzz.model_source import ModelCase, make_case
from tests.support.projects import need_tools

SEEDS = range(24)
EVERY_BOARD = (0, 13)
"""Seeds of SEEDS that also run on the emulated cores."""

PROMISED = {
    "even kernel": r"Conv2d\(\d+, \d+, \([246]",
    "kernel 7": r"Conv2d\(\d+, \d+, \(7, ",
    "stride 3": r"stride=\(3, ",
    "same": r"padding='same'",
    "valid": r"padding='valid'",
    "dilated": r"dilation=[23], groups=1\)",
    "dilated depthwise": r"dilation=[23], groups=[2-9]",
    "grouped": r"groups=",
    "depthwise with a multiplier": r"Conv2d\((\d+), (?!\1\b)\d+, .*groups=\1\b",
    "norm of the input": r"= self\.bn\d+\(x\)",
    "norm without affine": r"affine=False",
    "norm of a vector": r"BatchNorm1d",
    "sum": r" \+ ",
    "sum in place": r" \+= ",
    "difference": r"x\d* - self\.conv\d+\(x|torch\.sub",
    "product": r"(x\d+ \* x\d|x\d+\.mul\()",
    "product with a number": r"(x\d* \* \d|x\d* / \d)",
    "number less activations": r"\d - x",
    "product with a parameter": r"x\d* \* self\.g",
    "quotient by a parameter": r"x\d* / self\.g",
    "sum with a parameter": r"x\d* [+-] self\.g",
    "negative": r"= -x",
    "attention": r"scaled_dot_product_attention",
    "product of matrices": r"torch\.bmm|\] @ x",
    "sum that repeats": r"\+ self\.conv\d+\(x\d*\.mean",
    "torch.add": r"torch\.add",
    "functional convolution": r"F\.conv2d",
    "functional linear": r"F\.linear",
    "max pool": r"MaxPool2d|max_pool2d",
    "ceil": r"ceil_mode=True",
    "average pool": r"AvgPool2d\(\(|avg_pool2d",
    "convolution in a row": r"nn\.Conv1d",
    "pool in a row": r"(Max|Avg)Pool1d",
    "average of what is counted": r"AvgPool2d\(\d, \d, \d, (True|False), False\)",
    "average that rounds up": r"AvgPool2d\(\d, \d, \d, True",
    "pool to any size": r"F\.adaptive_(avg|max)_pool2d\(x\d*, \([2-9], ",
    "adaptive pool": r"Adaptive(Avg|Max)Pool2d\(\(",
    "nested Sequential": r"Sequential\(nn\.Sequential",
    "relu6": r"ReLU6|relu6",
    "hardtanh": r"Hardtanh|hardtanh",
    "clamp": r"clamp\(",
    **{
        f"table {name}": pattern
        for name, pattern in (
            ("leaky_relu", "LeakyReLU|leaky_relu"),
            ("elu", r"nn\.ELU|F\.elu"),
            ("selu", "SELU"),
            ("celu", "CELU"),
            ("gelu", "GELU|gelu"),
            ("gelu by tanh", "'tanh'"),
            ("silu", "SiLU|silu"),
            ("hardswish", "Hardswish|hardswish"),
            ("hardsigmoid", "Hardsigmoid"),
            ("sigmoid", r"Sigmoid\(|torch\.sigmoid"),
            ("tanh", r"Tanh|\.tanh"),
            ("softplus", "Softplus"),
            ("mish", "Mish"),
        )
    },
    "cat of channels": r"torch\.(cat|concat)\(\[.*\], (1|-3)\)",
    "cat of rows": r"torch\.(cat|concat)\(\[.*\], 2\)",
    "slice of channels": r"x\d*\[:, \d+:\d+\]|narrow\(1",
    "piece of a map": r"x\d*\[:, :, \d+:\d+, \d+:\d+\]",
    "every second": r"x\d*\[:, :, ::[123], ::[23]\]",
    "one row": r"x\d*\[:, :, \d+\]",
    "chunk": r"\.chunk\([23], 1\)",
    "split": r"torch\.split\(",
    "transpose": r"\.transpose\(2, 3\)",
    "permute": r"\.permute\(0, 2, 1, 3\)",
    "tokens": r"\.flatten\(2\)\.transpose\(1, 2\)",
    "another map": r"\.reshape\(x\d*\.shape\[0\], \d+, \d+, \d+\)",
    "channel shuffle": r"channel_shuffle|\.transpose\(1, 2\)\.reshape",
    "pixel shuffle": r"pixel_shuffle",
    "pixel unshuffle": r"pixel_unshuffle",
    "transposed convolution": r"ConvTranspose2d",
    "bilinear": r"mode='bilinear'\)",
    "bilinear from corner to corner": r"mode='bilinear', align_corners",
    "learned slope": r"PReLU\(1\)",
    "learned slopes of channels": r"PReLU\([2-9]",
    "norm of groups": r"GroupNorm",
    "norm of each channel": r"InstanceNorm",
    "nearest": r"F\.interpolate\(x\d*, scale_factor",
    "nearest to a size": r"mode='nearest'",
    "upsampling": r"nn\.Upsample",
    "cat of one tensor": r"torch\.(cat|concat)\(\[x\d*\], ",
    "copy changed in place": r"x\d*\.clone\(\)",
    "in place": r"relu_\(|inplace=True",
    "dropout": r"Dropout|dropout",
    "flatten": r"nn\.Flatten|torch\.flatten|\.flatten\(1\)",
    "view": r"\.view\(x\d*\.size\(0\), -1\)",
    "reshape": r"\.reshape\(",
    "squeeze": r"\.squeeze\(",
    "unflatten": r"\.unflatten\(",
    "mean": r"\.mean\(",
    "mean of one axis": r"\.mean\([23], keepdim",
    "mean of channels": r"\.mean\(1, keepdim",
    "sum of one axis": r"\.sum\([123], keepdim",
    "largest of one axis": r"\.amax\([123], keepdim",
    "softmax": r"softmax",
    "zeros around": r"F\.pad\(x\d*, \(-?\d, -?\d, -?\d, -?\d\)",
    "zeros of one axis": r"F\.pad\(x\d*, \(-?\d, -?\d\)\)",
    "crop by padding": r"\(x\d*, \([^)]*-\d",
    "padding module": r"nn\.ZeroPad2d",
    "padding by a constant": r"nn\.ConstantPad2d",
    "least number around": r"value=float\('-inf'\)",
    "causal": r"F\.pad\(x\d*, \([1-9], 0\)\)|nn\.ConstantPad1d",
    "channels of zeros": r"F\.pad\(x\d*, \(0, 0, 0, 0, \d",
    "shortcut of zeros": r"\+ F\.pad\(x\d*\[:, :, ::2, ::2\]",
    "one padding, two layers": r"cat\(\[self\.conv\d+\((x\d+)\), .*\b\1\b.*\], 1\)",
    "flip": r"\.flip\(",
    "mT": r"\.mT",
    "movedim": r"\.movedim\(",
    "swapaxes": r"\.swapaxes\(",
    "unbind": r"\.unbind\(1\)",
    "tensor_split": r"\.tensor_split\(",
    "repeat": r"\.repeat\(",
    "tile": r"\.tile\(",
    "repeat_interleave": r"\.repeat_interleave\(",
    "expand": r"\.expand\(",
    "expand_as": r"\.expand_as\(",
    "largest with its place": r"\.max\([123], keepdim=True\)\[0\]",
    "transposed convolution in a row": r"nn\.ConvTranspose1d",
    "upsampling in a row": r"nn\.Upsample\(scale_factor=2, mode='nearest'\)",
    "linear in a row": r"mode='linear'",
    "largest in a row": r"AdaptiveMaxPool1d",
    "norm of each position": r"nn\.LayerNorm",
    "root mean square of each position": r"nn\.RMSNorm",
    "length of each position": r"F\.normalize|\.norm\(dim=1",
    "norm of all": r"F\.layer_norm",
    "silu as a formula": r"x\d* \* torch\.sigmoid\(x",
    "hardswish as a formula": r"F\.relu6\(x\d* \+ 3\) / 6",
    "gelu as a formula": r"0\.0447",
    "square": r"\.square\(|\*\* 2",
    "power": r"\.pow\(",
    "exp": r"\.exp\(|torch\.exp",
    "sqrt": r"torch\.sqrt",
    "abs": r"\.abs\(",
    "two outputs": r"return x\d+, x\d+",
    "square linear layer": r"Linear\((\d+), \1[,)]",
}
"""What README.md says a module may use, and how the generator spells it."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_module_stays_the_same_network_down_to_c(seed: int, tmp_path: Path) -> None:
    checked = check_model(make_case(seed), tmp_path)
    boards = ("host", "qemu_m4", "qemu_m7") if seed in EVERY_BOARD else ("host",) * (seed % 3 == 0)
    for board_id in boards:
        need_tools(board_id)
        check_bits(checked, board_id, tmp_path)
    assert len(checked.graph.levels) == (1 if checked.refusal else len(checked.case.sparsity))


def test_the_generator_makes_all_that_is_promised() -> None:
    cases = [make_case(seed) for seed in range(600)]
    for what, pattern in PROMISED.items():
        assert any(re.search(pattern, case.source) for case in cases), what
    assert {case.input_shape[0] for case in cases} >= {1, 2, 3, 33}
    assert {case.input_shape[2] for case in cases} == {1, 2, 3, 4, 5}
    assert {len(case.sparsity) for case in cases} == {1, 2, 3, 4, 5}
    assert {case.group for case in cases} == {"1x1", "1x2", "1x4"}
    assert make_case(7) == make_case(7)


SQUARE = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, (3, 3))
        self.flat3 = nn.Flatten()
        self.fc5 = nn.Linear(18, 5)
        self.drop9 = nn.Dropout(0.5)

    def forward(self, x):
        x2 = self.conv1(x)
        x3 = F.relu(x2)
        x4 = self.flat3(x3)
        x6 = self.fc5(x4)
        x7 = x6.clamp(max=9.0)
        return x7
"""


def test_a_wrong_network_is_found_and_cut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flattening in another order keeps all shapes, so that nothing but numbers tells: those that
    nest() itself computes, before the fuzzer's own."""
    case = ModelCase(5, SQUARE, (5, 4, 2), (0.5,), "1x2")
    assert models.failure(case, (), Counter()) is None

    def unordered(shape: tuple[int, int, int]) -> Tensor:
        return torch.arange(shape[0] * shape[1] * shape[2])

    monkeypatch.setattr("nestnet.net.ops.common.weighted.flat_order", unordered)
    found = models.failure(case, (), Counter())
    assert found is not None and "computes something else" in found[1]

    def same(shorter: ModelCase) -> bool:
        again = models.failure(shorter, (), Counter())
        return again is not None and again[0] == found[0]

    small = models.cut_down(case, same)
    assert "relu" not in small.source and "clamp" not in small.source
    assert "drop9" not in small.source and "self.fc5(" in small.source
    assert models.read_file(models.file_text(small, found[1])) == small
    assert tensors.flat_order is not unordered


def test_another_function_is_found() -> None:
    case = ModelCase(5, SQUARE, (5, 4, 2), (0.5,), "1x2")
    module = model_check.build_module(case)
    images = model_check.network_input(model_check.random_images(case, 7))
    net = model_check.trace(module, case.input_shape).eval()
    wanted = module.double()(images)
    model_check.check_float(wanted, net, images)
    with pytest.raises(model_check.Broken, match=r"differs in float by 0\.000"):
        model_check.check_float(wanted * 1.0003, net, images)


def test_coarse_ranges_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A network whose outputs are cut off at a third of their range is not near enough."""
    case = ModelCase(5, SQUARE, (5, 4, 2), (0.5,), "1x2")
    assert check_model(case, tmp_path).sqnr_db > model_check.SANE_DB
    predict = model_check.predict
    monkeypatch.setattr(
        model_check,
        "predict",
        lambda net, *rest: predict(net, *rest) * (1.0 if net.quantize else 3.0),
    )
    found = models.failure(case, (), Counter())
    assert found is not None and "dB from float" in found[1]
