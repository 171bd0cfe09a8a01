"""Random steps with windows of another kind than a convolution of a map."""

from __future__ import annotations

from tests.fuzz.model_arithmetic import Arithmetic
from tests.fuzz.model_lines import Shape, Value
from tests.fuzz.model_moves import MAX_PIXELS


class Windows(Arithmetic):
    """Convolutions and pools beside the usual ones."""

    def dilated(self, value: Value) -> Value | None:
        """Add a convolution with gaps."""
        c, h, w = value.shape
        out_c = self.random.choice((3, 5, 8))
        kernel, dilation = self.random.choice((2, 3)), self.random.choice((2, 3))
        reach = (kernel - 1) * dilation
        padding = self.random.choice((0, reach // 2, reach))
        out = tuple(size + 2 * padding - reach for size in (h, w))
        if min(out) < 1:
            return None
        groups = c if self.chance(0.3) else 1
        out_c = c if groups > 1 else out_c
        conv = self.layer("conv", f"nn.Conv2d({c}, {out_c}, {kernel}, padding={padding}, "
                          f"dilation={dilation}, groups={groups})")  # fmt: skip
        return self.assign(f"{conv}({value.name})", (out_c, out[0], out[1]))

    def widened(self, value: Value) -> Value | None:
        """Make a map larger by a transposed convolution or by interpolation."""
        c, h, w = value.shape
        if self.chance(0.4):
            if 4 * h * w > MAX_PIXELS:
                return None
            corners = self.random.choice(("", ", align_corners=True"))
            form = f"F.interpolate({value.name}, scale_factor=2, mode='bilinear'{corners})"
            return self.assign(form, (c, 2 * h, 2 * w))
        out_c = self.random.choice((2, 3, 5))
        kernel, stride = self.random.choice((1, 2, 3, 4)), self.random.choice((1, 2, 2, 3))
        padding = self.random.randrange((kernel + 1) // 2)
        extra = self.random.randrange(stride)
        out_h, out_w = ((size - 1) * stride - 2 * padding + kernel + extra for size in (h, w))
        if min(out_h, out_w) < 1 or out_h * out_w > MAX_PIXELS:
            return None
        given = f"{kernel}, {stride}, {padding}, output_padding={extra}"
        layer = f"nn.ConvTranspose2d({c}, {out_c}, {given})"
        return self.assign(f"{self.layer('up', layer)}({value.name})", (out_c, out_h, out_w))

    def lined(self, value: Value) -> Value | None:
        """Read a map as one line, convolve or pool it, and make it a map again."""
        c, h, w = value.shape
        line = self.assign(f"{value.name}.flatten(2)", value.shape).name
        kind = self.random.choice(("conv", "conv", "max", "avg", "adaptive", "wider", "wider"))
        out_c, length = c, h * w
        if kind == "conv":
            out_c = self.random.choice((3, 5, 8))
            kernel = min(self.random.choice((1, 3, 5)), length)
            stride = self.random.choice((1, 2))
            layer = f"nn.Conv1d({c}, {out_c}, {kernel}, {stride}, {kernel // 2})"
            length = (length + 2 * (kernel // 2) - kernel) // stride + 1
        elif kind == "adaptive":
            length = self.random.choice((1, 2, 3, 5))
            layer = f"nn.Adaptive{self.random.choice(('Avg', 'Max'))}Pool1d({length})"
        elif kind == "wider":
            if 2 * length > MAX_PIXELS:
                return None
            length = 2 * length
            mode = self.random.choice(("nearest", "linear"))
            layer = f"nn.Upsample(scale_factor=2, mode='{mode}')"
            if self.chance(0.4):
                out_c = self.random.choice((2, 5))
                layer = f"nn.ConvTranspose1d({c}, {out_c}, 4, 2, 1)"
        else:
            kernel = min(2, length)
            layer = f"nn.{kind.title()}Pool1d({kernel})"
            length = (length - kernel) // kernel + 1
        made = self.assign(f"{self.layer('line', layer)}({line})", (out_c, 1, length)).name
        return self.assign(f"{made}.unsqueeze({self.random.choice((2, -2))})", (out_c, 1, length))

    def odd_pool(self, value: Value) -> Value | None:
        """Add a pool whose windows differ in how many values they hold."""
        c, h, w = value.shape
        x = value.name
        if self.chance(0.5):
            out_h, out_w = (self.random.randrange(1, size + 2) for size in (h, w))
            kind = self.random.choice(("avg", "max"))
            form = f"F.adaptive_{kind}_pool2d({x}, ({out_h}, {out_w}))"
            return self.assign(form, (c, out_h, out_w))
        kernel, stride = self.random.choice((2, 3)), self.random.choice((1, 2, 3))
        padding = self.random.randrange(kernel // 2 + 1)
        ceil = self.chance(0.5)
        out_h, out_w = (pooled(size, kernel, stride, padding, ceil) for size in (h, w))
        if min(out_h, out_w) < 1:
            return None
        counted = self.random.choice((True, False, False))
        layer = f"nn.AvgPool2d({kernel}, {stride}, {padding}, {ceil}, {counted})"
        return self.assign(f"{self.layer('pool', layer)}({x})", (c, out_h, out_w))

    def reduced(self, value: Value) -> Value:
        """Take the mean, the sum or the largest along one axis, of channels too."""
        c, h, w = value.shape
        axis = self.random.choice((1, 2, 3))
        shape: Shape = (1 if axis == 1 else c, 1 if axis == 2 else h, 1 if axis == 3 else w)
        kind = self.random.choice(("mean", "mean", "amax", "sum", "max"))
        if kind == "max":
            return self.assign(f"{value.name}.max({axis}, keepdim=True)[0]", shape)
        return self.assign(f"{value.name}.{kind}({axis}, keepdim=True)", shape)


def pooled(size: int, kernel: int, stride: int, padding: int, ceil: bool) -> int:
    """Return a pool's output size as PyTorch has it."""
    room = size + 2 * padding - kernel
    if room < 0:
        return 0
    out = (-(-room // stride) if ceil else room // stride) + 1
    return out - 1 if ceil and (out - 1) * stride >= size + padding else out
