"""Random steps with zeros around a map, beside it or behind its channels, and crops."""

from __future__ import annotations

from tests.fuzz.model_lines import Shape, Value
from tests.fuzz.model_moves import MAX_CHANNELS, MAX_PIXELS
from tests.fuzz.model_windows import Windows, pooled

Sides = tuple[int, int, int, int]
"""Left, right, top, bottom, as F.pad has them; negative ones cut."""


class Padding(Windows):
    """Padding that is no part of a layer."""

    def padded(self, value: Value) -> Value | None:
        """Pad, mostly in front of what may take the padding in."""
        kinds = (self._around, self._before_conv, self._before_conv, self._before_pool,
                 self._below_all, self._twice, self._causal, self._channels)  # fmt: skip
        return self.random.choice(kinds)(value)

    def _sides(self, value: Value, least: int = 0) -> tuple[Sides, Shape] | None:
        """Draw sides; return them and the padded shape."""
        c, h, w = value.shape
        left, right, top, bottom = (
            max(least, self.random.choice((-1, 0, 0, 1, 1, 2, 3))) for _ in range(4)
        )
        height, width = h + top + bottom, w + left + right
        if min(height, width, h + min(top, bottom, 0), w + min(left, right, 0)) < 1:
            return None
        if (left, right, top, bottom) == (0,) * 4 or height * width > MAX_PIXELS:
            return None
        return (left, right, top, bottom), (c, height, width)

    def _around(self, value: Value, least: int = -1) -> Value | None:
        """Pad or crop a map, and leave it to the next steps what reads it."""
        drawn = self._sides(value, least)
        if drawn is None:
            return None
        sides, shape = drawn
        x = value.name
        forms = [f"F.pad({x}, {sides})", f"F.pad({x}, {sides}, 'constant', 0.0)"]
        forms += [f"{self.layer('zeros', f'nn.ZeroPad2d({sides})')}({x})"] * 2
        forms += [f"{self.layer('zeros', f'nn.ConstantPad2d({sides}, 0.0)')}({x})"]
        if sides[2:] == (0, 0):
            forms += [f"F.pad({x}, {sides[:2]})"] * 3
        return self.assign(self.random.choice(forms), shape)

    def _before_conv(self, value: Value) -> Value | None:
        """Pad one side more than the other, as other frameworks do, and convolve."""
        padded = self._around(value, 0)
        return None if padded is None else self._windowed(padded)

    def _windowed(self, value: Value) -> Value | None:
        """Add a convolution or a depthwise one, with a padding of its own or without."""
        c, h, w = value.shape
        kernel, stride = self.random.choice((1, 2, 3, 3)), self.random.choice((1, 1, 2))
        own = self.random.choice((0, 0, kernel // 2))
        out_h, out_w = (pooled(size, kernel, stride, own, False) for size in (h, w))
        if min(out_h, out_w) < 1:
            return None
        groups = c if self.chance(0.3) else 1
        out_c = c if groups > 1 else self.random.choice((3, 5, 8))
        given = f"{c}, {out_c}, {kernel}, {stride}, {own}, groups={groups}"
        conv = self.layer("conv", f"nn.Conv2d({given})")
        return self.assign(f"{conv}({value.name})", (out_c, out_h, out_w))

    def _before_pool(self, value: Value) -> Value | None:
        """Pad with zeros in front of a pool, for which they are values like others."""
        padded = self._around(value, 0)
        if padded is None:
            return None
        c, h, w = padded.shape
        kernel, stride = self.random.choice((2, 3)), self.random.choice((1, 2))
        kind, own = self.random.choice(("Max", "Max", "Avg")), self.random.choice((0, 0, 1))
        out_h, out_w = (pooled(size, kernel, stride, own, False) for size in (h, w))
        if min(out_h, out_w) < 1:
            return None
        counted = self.random.choice(("", ", count_include_pad=False")) if kind == "Avg" else ""
        pool = self.layer("pool", f"nn.{kind}Pool2d({kernel}, {stride}, {own}{counted})")
        return self.assign(f"{pool}({padded.name})", (c, out_h, out_w))

    def _below_all(self, value: Value) -> Value | None:
        """Pad a max pool with what never wins."""
        c, h, w = value.shape
        kernel = self.random.choice((2, 3))
        sides = tuple(self.random.randrange(kernel) for _ in range(4))
        out_h = pooled(h + sides[2] + sides[3], kernel, 2, 0, False)
        out_w = pooled(w + sides[0] + sides[1], kernel, 2, 0, False)
        if min(out_h, out_w) < 1 or not any(sides):
            return None
        padded = f"F.pad({value.name}, {sides}, value=float('-inf'))"
        return self.assign(f"F.max_pool2d({padded}, {kernel}, 2)", (c, out_h, out_w))

    def _twice(self, value: Value) -> Value | None:
        """Let two layers read one padding, which only one of them can take in."""
        c, _, _ = value.shape
        padded = self._around(value, 0)
        if padded is None or min(padded.shape[1:]) < 2:
            return None
        height, width = (size - 1 for size in padded.shape[1:])
        conv = self.layer("conv", f"nn.Conv2d({c}, 3, 2)")
        other = self.random.choice((
            f"F.max_pool2d({padded.name}, 2, 1)", f"F.avg_pool2d({padded.name}, 2, 1)",
            f"{padded.name}[:, :, 1:, 1:]", f"{padded.name}[:, :, :-1, :-1]",
        ))  # fmt: skip
        both = f"torch.cat([{conv}({padded.name}), {other}], 1)"
        return self.assign(both, (3 + c, height, width))

    def _causal(self, value: Value) -> Value:
        """Convolve a line of samples with those before each, as networks of time series do."""
        c, h, w = value.shape
        line = self.assign(f"{value.name}.flatten(2)", value.shape).name
        kernel, dilation = self.random.choice((2, 3)), self.random.choice((1, 2, 4))
        out_c = self.random.choice((c, 3, 5, 8))
        past = (kernel - 1) * dilation
        pad = f"F.pad({line}, ({past}, 0))"
        if self.chance(0.3):
            pad = f"{self.layer('past', f'nn.ConstantPad1d(({past}, 0), 0.0)')}({line})"
        conv = self.layer("line", f"nn.Conv1d({c}, {out_c}, {kernel}, dilation={dilation})")
        made = self.assign(f"{conv}({pad})", (out_c, 1, h * w)).name
        if out_c == c and self.chance(0.6):
            made = self.assign(f"{made} + {line}", (c, 1, h * w)).name
        return self.assign(f"{made}.unflatten(2, ({h}, {w}))", (out_c, h, w))

    def _channels(self, value: Value) -> Value | None:
        """Add channels of zeros, as residual networks without projections do."""
        c, h, w = value.shape
        front, back = self.random.choice((0, 0, 1, 2)), self.random.choice((1, 2, 3))
        if c + front + back > MAX_CHANNELS:
            return None
        x, shape = value.name, (front + c + back, h, w)
        if self.chance(0.5):
            return self.assign(f"F.pad({x}, (0, 0, 0, 0, {front}, {back}))", shape)
        shape = (front + c + back, -(-h // 2), -(-w // 2))
        conv = self.layer("conv", f"nn.Conv2d({c}, {shape[0]}, 3, 2, 1)")
        shortcut = f"F.pad({x}[:, :, ::2, ::2], (0, 0, 0, 0, {front}, {back}))"
        return self.assign(f"{conv}({x}) + {shortcut}", shape)
