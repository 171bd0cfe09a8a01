"""Random modules as Python source: everything that the README says a user's module may hold.

A module is text, so that a failure can be read, replayed and cut down by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fuzz.model_formulas import Formulas
from tests.fuzz.model_lines import Shape, Value
from tests.fuzz.model_windows import pooled

MAX_FLAT = 500
"""Longest vector that a map is flattened to."""
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 16)
CHANNEL_WEIGHTS = (1, 1, 2, 3, 2, 3, 4, 2, 2, 1, 2)
LEVELS = {
    1: ((0.5,), (0.25,), (0.9,)),
    2: ((0.8, 0.5), (0.5, 0.0), (0.9, 0.3)),
    3: ((0.9, 0.7, 0.3), (0.7, 0.4, 0.0)),
    4: ((0.9, 0.8, 0.7, 0.5), (0.8, 0.6, 0.3, 0.0)),
    5: ((0.9, 0.75, 0.6, 0.4, 0.2),),
}


@dataclass(frozen=True)
class ModelCase:
    """A module and what to make of it."""

    seed: int
    source: str
    """Defines a class ``Net``."""
    input_shape: tuple[int, int, int]
    """Height, width, channels."""
    sparsity: tuple[float, ...]
    """One per level; empty: dense."""
    group: str


class Writer(Formulas):
    """The lines of one module, drawn at random."""

    # Convolutions.

    def _extent(self, size: int) -> tuple[int, int, int]:
        """Return kernel, stride and padding for an axis of ``size``."""
        kernel = min(self.random.choice((1, 1, 2, 3, 3, 3, 4, 5, 6, 7)), size + 2)
        least = max(0, math.ceil((kernel - size) / 2))
        most = kernel - 1
        padding = self.random.choice((least, min(max(least, kernel // 2), most), most))
        return kernel, self.random.choice((1, 1, 1, 2, 2, 3)), max(least, min(padding, most))

    def conv(self, value: Value, out_c: int | None = None, keep: bool = False) -> Value:
        """Add a convolution; with ``keep`` height and width stay as they are."""
        c, h, w = value.shape
        groups = self._groups(c, out_c)
        if groups == c and out_c is None:
            out_c = c * self.random.choice((1, 1, 2))
        if out_c is None:
            out_c = self.random.choices(CHANNELS, CHANNEL_WEIGHTS)[0]
            out_c = math.ceil(out_c / groups) * groups
        kernel_h, stride_h, pad_h = self._extent(h)
        kernel_w, stride_w, pad_w = self._extent(w)
        same = keep or self.chance(0.2)
        options = {"groups": str(groups)} if groups > 1 else {}
        if not self.chance(0.6):
            options["bias"] = "False"
        if same:
            options["padding"] = "'same'"
            if kernel_h % 2 and kernel_w % 2 and self.chance(0.5):
                options["padding"] = f"({kernel_h // 2}, {kernel_w // 2})"
            out_h, out_w = h, w
            if options["padding"] != "'same'" and not self._fits(h, kernel_h, kernel_h // 2):
                options["padding"] = "'same'"
        else:
            options["stride"] = f"({stride_h}, {stride_w})"
            options["padding"] = f"({pad_h}, {pad_w})"
            if pad_h == pad_w == 0 and self.chance(0.3):
                options["padding"] = "'valid'"
            out_h = (h + 2 * pad_h - kernel_h) // stride_h + 1
            out_w = (w + 2 * pad_w - kernel_w) // stride_w + 1
        kernel = f"({kernel_h}, {kernel_w})"
        shape = (out_c, out_h, out_w)
        if self.chance(0.15):
            return self._functional_conv(value, shape, (kernel_h, kernel_w), groups, options)
        given = "".join(f", {key}={text}" for key, text in options.items())
        conv = self.layer("conv", f"nn.Conv2d({c}, {out_c}, {kernel}{given})")
        return self.assign(f"{conv}({value.name})", shape)

    @staticmethod
    def _fits(size: int, kernel: int, padding: int) -> bool:
        return size + 2 * padding >= kernel

    def _groups(self, in_c: int, out_c: int | None) -> int:
        """Return 1 mostly, else a divisor of the channels, all of them for depthwise."""
        if self.chance(0.65):
            return 1
        fitting = [g for g in range(2, in_c + 1) if not (in_c % g or (out_c or in_c) % g)]
        if not fitting:
            return 1
        return fitting[-1] if self.chance(0.6) else self.random.choice(fitting)

    def _functional_conv(
        self,
        value: Value,
        shape: Shape,
        kernel: tuple[int, int],
        groups: int,
        options: dict[str, str],
    ) -> Value:
        """Add F.conv2d with parameters of the module's own."""
        weight = self.layer(
            "w",
            f"nn.Parameter(torch.randn({shape[0]}, {value.shape[0] // groups}, "
            f"{kernel[0]}, {kernel[1]}) / {kernel[0] * kernel[1] * value.shape[0] // groups}**0.5)",
        )
        bias = "None"
        if options.pop("bias", "True") == "True":
            bias = self.layer("b", f"nn.Parameter(torch.randn({shape[0]}) * 0.2)")
        given = "".join(f", {key}={text}" for key, text in options.items())
        return self.assign(f"F.conv2d({value.name}, {weight}, {bias}{given})", shape)

    # What stands between convolutions.

    def norm(self, value: Value) -> Value:
        """Add a batch norm over a map."""
        options = self.random.choices(("", ", affine=False", ", eps=1e-3"), (8, 1, 1))[0]
        norm = self.layer("bn", f"nn.BatchNorm2d({value.shape[0]}{options})")
        return self.assign(f"{norm}({value.name})", value.shape)

    def activation(self, value: Value) -> Value:
        """Add an activation, as a module, a function or a method."""
        kinds: list[Callable[[], str]] = [
            lambda: f"F.relu({value.name})",
            lambda: f"torch.relu({value.name})",
            lambda: f"{value.name}.clamp(min=0)",
            lambda: f"{self.layer('act', 'nn.ReLU()')}({value.name})",
            lambda: f"{self.layer('act', 'nn.ReLU6()')}({value.name})",
            lambda: f"F.relu6({value.name})",
            lambda: f"{self.layer('act', 'nn.Hardtanh()')}({value.name})",
            lambda: f"{self.layer('act', 'nn.Hardtanh(-0.7, 1.3)')}({value.name})",
            lambda: f"F.hardtanh({value.name}, -2.0, 2.0)",
            lambda: f"{value.name}.clamp(-1.5, 2.5)",
            lambda: f"torch.clamp({value.name}, 0.0, 3.0)",
            lambda: f"{value.name}.{self.random.choice(('clamp', 'clip'))}(max=1.7)",
            lambda: self.table_activation(value.name),
            lambda: f"F.relu_({value.name}.clone())",
            lambda: f"F.silu({value.name}.clone(), inplace=True)",
        ]
        weights = (6, 2, 2, 8, 3, 1, 1, 1, 1, 1, 1, 1, 9, 1, 1)
        if value.fresh and value.name != "x":
            kinds += [lambda: f"F.relu_({value.name})"]
            weights += (2,)
            kinds += [lambda: f"{self.layer('act', 'nn.ReLU(inplace=True)')}({value.name})"]
            weights += (3,)
        return self.assign(self.random.choices(kinds, weights)[0](), value.shape)

    def table_activation(self, x: str) -> str:
        """Return an activation that is a table on a device, as a module or a function."""
        spelled = self.random.choice((
            "nn.LeakyReLU(0.1)", "nn.ELU()", "nn.SELU()", "nn.CELU(0.7)", "nn.GELU()",
            "nn.GELU('tanh')", "nn.SiLU()", "nn.Hardswish()", "nn.Hardsigmoid()", "nn.Sigmoid()",
            "nn.Tanh()", "nn.Softplus()", "nn.Mish()", "F.leaky_relu({}, 0.2)", "F.elu({})",
            "F.gelu({})", "F.silu({})", "F.hardswish({})", "torch.sigmoid({})", "{}.tanh()",
        ))  # fmt: skip
        if spelled.startswith("nn."):
            return f"{self.layer('act', spelled)}({x})"
        return spelled.format(x)

    def pool(self, value: Value) -> Value | None:
        """Add a pool; None where the map is too small for the drawn one."""
        c, h, w = value.shape
        kind = self.random.choice(("max", "max", "avg", "adaptive max", "adaptive avg"))
        if kind.startswith("adaptive"):
            out_h, out_w = (self._divisor(size) for size in (h, w))
            title = "Max" if kind.endswith("max") else "Avg"
            pool = self.layer("pool", f"nn.Adaptive{title}Pool2d(({out_h}, {out_w}))")
            return self.assign(f"{pool}({value.name})", (c, out_h, out_w))
        kernel = tuple(self.random.choice((1, 2, 2, 3, 4)) for _ in (h, w))
        stride = tuple(self.random.choice((1, 2, 2, 3)) for _ in (h, w))
        padding = tuple(self.random.choice((0, 0, k // 2)) for k in kernel)
        ceil = kind == "max" and self.chance(0.2)
        out = tuple(
            pooled(size, k, s, p, ceil)
            for size, k, s, p in zip((h, w), kernel, stride, padding, strict=True)
        )
        if min(out) < 1:
            return None
        title = "Max" if kind == "max" else "Avg"
        options = f"{kernel}, {stride}, {padding}" + (", ceil_mode=True" if ceil else "")
        if self.chance(0.3):
            call = f"F.{title.lower()}_pool2d({value.name}, {kernel}, {stride}, {padding}"
            call += ", ceil_mode=True)" if ceil else ")"
            return self.assign(call, (c, out[0], out[1]))
        pool = self.layer("pool", f"nn.{title}Pool2d({options})")
        return self.assign(f"{pool}({value.name})", (c, out[0], out[1]))

    def _divisor(self, size: int) -> int:
        return self.random.choice([d for d in range(1, size + 1) if size % d == 0])

    def reshaped(self, value: Value) -> Value:
        """Add changes of shape that come back to the same map."""
        c, h, w = value.shape
        x = value.name
        spelled = self.random.choice((
            f"{x}.flatten(2).unflatten(2, ({h}, {w}))",
            f"{x}.view({x}.size(0), {c}, -1).view({x}.size(0), {c}, {h}, {w})",
            f"torch.flatten({x}, 1).view(-1, {c}, {h}, {w})",
            f"{x}.reshape({x}.shape[0], -1).reshape(-1, {c}, {h}, {w})",
        ))  # fmt: skip
        return self.assign(spelled, value.shape)

    def dropout(self, value: Value) -> Value:
        """Add a dropout, which evaluation mode leaves out."""
        kind = self.random.choice(("nn.Dropout(0.3)", "nn.Dropout2d(0.2)"))
        return self.assign(f"{self.layer('drop', kind)}({value.name})", value.shape)

    def nested(self, value: Value) -> Value:
        """Add a Sequential in a Sequential."""
        c = value.shape[0]
        out_c = self.random.choices(CHANNELS, CHANNEL_WEIGHTS)[0]
        inner = f"nn.Sequential(nn.Conv2d({c}, {out_c}, 1, bias=False), nn.BatchNorm2d({out_c}))"
        act = self.random.choice(("nn.ReLU()", "nn.ReLU6()", "nn.Identity()"))
        block = self.layer("block", f"nn.Sequential({inner}, nn.Sequential({act}))")
        return self.assign(f"{block}({value.name})", (out_c, *value.shape[1:]))

    def residual(self, value: Value) -> Value:
        """Add branches from ``value`` that meet again in one or several sums."""
        c = value.shape[0]
        shared = Value(value.name, value.shape)
        branches = [self._branch(shared, c) for _ in range(self.random.choice((1, 1, 1, 2)))]
        if self.chance(0.7):
            branches.append(shared)
        while len(branches) > 1:
            right, left = branches.pop(), branches.pop(0)
            a, b = left.name, right.name
            forms = [f"{a} + {b}", f"{b} + {a}", f"torch.add({a}, {b})", f"sum([{a}, {b}])"]
            if left.fresh and self.chance(0.3):
                self.forward.append(f"{a} += {b}")
                total = Value(a, value.shape)
            else:
                total = self.assign(self.random.choice(forms), value.shape)
            branches.insert(0, self.activation(total) if self.chance(0.4) else total)
        return branches[0]

    def concat(self, value: Value) -> Value:
        """Add branches from ``value`` side by side, by channels mostly."""
        c, h, w = value.shape
        shared = Value(value.name, value.shape)
        dim = self.random.choice((1, 1, 1, -3, 2, 3))
        by_channel = dim in (1, -3)
        parts = [shared] if self.chance(0.5) else []
        for _ in range(self.random.choice((1, 2, 2))):
            out_c = self.random.choice((1, 3, 5, 8)) if by_channel else c
            part = self._branch(shared, out_c)
            parts.insert(0, self.activation(part) if self.chance(0.4) else part)
        if by_channel:
            shape = (sum(part.shape[0] for part in parts), h, w)
        else:
            n = len(parts)
            shape = (c, h * n, w) if dim == 2 else (c, h, w * n)
        listed = ", ".join(part.name for part in parts)
        name = self.random.choice(("cat", "cat", "concat"))
        return self.assign(f"torch.{name}([{listed}], {dim})", shape)

    def _branch(self, value: Value, out_c: int) -> Value:
        if self.chance(0.4):
            value = self.activation(self.conv(value, keep=True))
        value = self.conv(value, out_c, keep=True)
        return self.norm(value) if self.chance(0.6) else value

    # The whole.

    def body(self, value: Value, steps: int) -> Value:
        """Add ``steps`` random steps on maps."""
        kinds: list[Callable[[Value], Value | None]] = [
            self.conv, self.norm, self.activation, self.pool, self.residual, self.dropout,
            self.nested, self.reshaped, self.concat, self.lined, self.odd_pool,
            self.gated, self.scaled, self.difference, self.slope, self.image_norm,
            self.dilated, self.reduced, self.widened,
            self.sliced, self.parted, self.turned, self.shuffled, self.repeated,
            self.padded, self.formula, self.position_norm,
        ]  # fmt: skip
        weights = (8, 4, 4, 2, 4, 1, 2, 1, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 1, 2, 2, 2, 2, 2, 5, 3, 3)
        for _ in range(steps):
            kind = self.random.choices(kinds, weights)[0]
            made = kind(value) or value
            if kind == self.conv and self.chance(0.5):
                made = self.norm(made)
                made = self.activation(made) if self.chance(0.6) else made
            value = made
        return value

    def head(self, value: Value, classes: int) -> str:
        """Add what turns a map into scores; return the variable's name."""
        c, h, w = value.shape
        kind = self.random.choice(("pool", "mean", "flatten", "flatten", "conv"))
        if kind == "conv" or (kind == "flatten" and c * h * w > MAX_FLAT):
            value = self.assign(
                f"{self.layer('conv', f'nn.Conv2d({c}, {classes}, 1)')}({value.name})",
                (classes, h, w),
            )
            return self._pooled_vector(value)
        if kind == "flatten":
            return self._linears(self._flat(value), c * h * w, classes)
        return self._linears(self._pooled_vector(value), c, classes)

    def _pooled_vector(self, value: Value) -> str:
        c, h, w = value.shape
        x = value.name
        if self.chance(0.4):
            spelled = self.random.choice((
                f"{x}.mean((2, 3))", f"{x}.mean([-1, -2])", f"torch.mean({x}, (2, 3))",
                f"{x}.mean((2, 3), keepdim=True).flatten(1)", f"{x}.flatten(2).mean(-1)",
                f"{x}.view({x}.size(0), {x}.size(1), -1).mean(2)",
            ))  # fmt: skip
            return self.assign(spelled, (c, 1, 1)).name
        pool = self.random.choice((
            f"{self.layer('pool', 'nn.AdaptiveAvgPool2d(1)')}({x})",
            f"F.adaptive_avg_pool2d({x}, (1, 1))", f"F.avg_pool2d({x}, ({h}, {w}))",
            f"F.adaptive_max_pool2d({x}, 1)",
        ))  # fmt: skip
        return self._flat(self.assign(pool, (c, 1, 1)))

    def _flat(self, value: Value) -> str:
        c, h, w = value.shape
        x = value.name
        spellings = [
            f"{self.layer('flat', 'nn.Flatten()')}({x})", f"torch.flatten({x}, 1)",
            f"{x}.flatten(1)", f"{x}.flatten(start_dim=1)", f"{x}.view({x}.size(0), -1)",
            f"{x}.reshape({x}.shape[0], -1)", f"{x}.view(-1, {c * h * w})",
            f"{x}.reshape(-1, {c * h * w})", f"{x}.flatten(2).flatten(1)",
        ]  # fmt: skip
        if h == w == 1:
            spellings += [f"{x}.squeeze(3).squeeze(2)", f"{x}.squeeze(-1).squeeze(-1)"]
        return self.assign(self.random.choice(spellings), (c * h * w, 1, 1)).name

    def _linears(self, x: str, features: int, classes: int) -> str:
        if self.chance(0.15):
            x = self.assign(
                f"{self.layer('bn', f'nn.BatchNorm1d({features})')}({x})", (1, 1, 1)
            ).name
        for _ in range(self.random.choice((0, 0, 1, 1, 2))):
            square = self.chance(0.4) and features <= 200
            hidden = features if square else self.random.choice((5, 8, 11, 16, 24))
            bias = self.random.choice(("", "", ", bias=False"))
            fc = self.layer("fc", f"nn.Linear({features}, {hidden}{bias})")
            x = self.assign(f"{fc}({x})", (hidden, 1, 1)).name
            if self.chance(0.3):
                norm = self.layer("bn", f"nn.BatchNorm1d({hidden})")
                x = self.assign(f"{norm}({x})", (hidden, 1, 1)).name
            if self.chance(0.7):
                x = self.activation(Value(x, (hidden, 1, 1), fresh=True)).name
            features = hidden
        if self.chance(0.2):
            x = self.assign(f"F.dropout({x}, 0.2, self.training)", (1, 1, 1)).name
        bias = self.random.choice(("", "", ", bias=False"))
        if self.chance(0.15):
            weight = self.layer(
                "v", f"nn.Parameter(torch.randn({classes}, {features}) / {features}**0.5)"
            )
            return self.assign(f"F.linear({x}, {weight})", (1, 1, 1)).name
        fc = self.layer("fc", f"nn.Linear({features}, {classes}{bias})")
        return self.assign(f"{fc}({x})", (1, 1, 1)).name

    def softmax(self, x: str) -> str:
        """Perhaps add a softmax at the end."""
        if not self.chance(0.2):
            return x
        kinds = (
            f"{self.layer('softmax', 'nn.Softmax(dim=1)')}({x})",
            f"F.softmax({x}, dim=-1)", f"F.log_softmax({x}, dim=1)", f"{x}.softmax(1)",
        )  # fmt: skip
        return self.assign(self.random.choice(kinds), (1, 1, 1)).name


def module_text(init: Sequence[str], forward: Sequence[str], result: str) -> str:
    """Return the source of class ``Net``."""
    lines = ["class Net(nn.Module):", "    def __init__(self):", "        super().__init__()"]
    lines += [f"        {line}" for line in init]
    lines += ["", "    def forward(self, x):"]
    lines += [f"        {line}" for line in (*forward, f"return {result}")]
    return "\n".join(lines) + "\n"


def make_case(seed: int) -> ModelCase:
    """Return the module of ``seed``: maps 1 to 33 high and wide, 1 to 5 channels, 1 to 5 levels."""
    writer = Writer(seed)
    sizes = (1, 2, 3, 5, 7, 8, 11, 13, 16, 17, 24, 33)
    height, width = writer.random.choice(sizes), writer.random.choice(sizes)
    channels = writer.random.choice((1, 2, 3, 3, 4, 5))
    value = Value("x", (channels, height, width))
    if writer.chance(0.2):
        value = writer.norm(value)
    if writer.chance(0.8):
        value = writer.conv(value)
    value = writer.body(value, writer.random.randrange(1, 8))
    kind = writer.random.choices(("vector", "map", "both"), (8, 1, 1))[0]
    if kind != "vector":
        value = writer.conv(value)
    result = value.name
    if kind != "map":
        scores = writer.head(value, writer.random.choice((2, 3, 5, 7, 10)))
        result = writer.softmax(scores) if kind == "vector" else f"{scores}, {value.name}"
    levels = writer.random.choice((0, 1, 2, 2, 3, 4, 5))
    sparsity = writer.random.choice(LEVELS[levels]) if levels else (0.0,)
    group = writer.random.choice(("1x1", "1x2", "1x4"))
    source = module_text(writer.init, writer.forward, result)
    return ModelCase(seed, source, (height, width, channels), sparsity, group)
