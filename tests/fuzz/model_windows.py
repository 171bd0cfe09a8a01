"""Random steps with windows of another kind than a convolution of a map."""

from __future__ import annotations

from tests.fuzz.model_lines import Lines, Value


class Windows(Lines):
    """Convolutions and pools beside the usual ones."""

    def lined(self, value: Value) -> Value | None:
        """Read a map as one line, convolve or pool it, and make it a map again."""
        c, h, w = value.shape
        length = h * w
        line = self.assign(f"{value.name}.flatten(2)", value.shape).name
        kind = self.random.choice(("conv", "conv", "max", "avg", "adaptive"))
        out_c = c
        if kind == "conv":
            out_c = self.random.choice((3, 5, 8))
            kernel = min(self.random.choice((1, 3, 5)), length)
            stride = self.random.choice((1, 2))
            layer = f"nn.Conv1d({c}, {out_c}, {kernel}, {stride}, {kernel // 2})"
            length = (length + 2 * (kernel // 2) - kernel) // stride + 1
        elif kind == "adaptive":
            length = self.random.choice([n for n in (1, 2, 3) if length % n == 0])
            layer = f"nn.AdaptiveAvgPool1d({length})"
        else:
            kernel = min(2, length)
            layer = f"nn.{kind.title()}Pool1d({kernel})"
            length = (length - kernel) // kernel + 1
        made = self.assign(f"{self.layer('line', layer)}({line})", (out_c, 1, length)).name
        return self.assign(f"{made}.unsqueeze({self.random.choice((2, -2))})", (out_c, 1, length))
