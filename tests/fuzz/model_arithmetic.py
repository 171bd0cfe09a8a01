"""Random steps that compute with activations: gates, numbers, differences, sums that repeat."""

from __future__ import annotations

from tests.fuzz.model_lines import Value
from tests.fuzz.model_moves import Moves

FEWEST_IN_A_NORM = 16
"""Values that a norm of an image is made of; of a few, rounding alone changes it much."""


MOST_TOKENS = 150
"""Pixels that attend to each other."""


class Arithmetic(Moves):
    """Products, sums and differences."""

    def gated(self, value: Value) -> Value | None:
        """Multiply by what is computed from the map: of each channel, each pixel, or both; or let
        pixels attend to each other."""
        c = value.shape[0]
        x = value.name
        kind = self.random.choice(("channels", "vector", "pixels", "both", "tokens"))
        if kind == "tokens":
            return self.attended(value)
        call = self.random.choice(("torch.sigmoid", "torch.sigmoid", "F.hardsigmoid", "torch.tanh"))
        if kind == "vector":
            inner = f"{self.layer('fc', f'nn.Linear({c}, {c})')}({x}.mean((2, 3)))"
            end = self.random.choice(("[:, :, None, None]", f".view(-1, {c}, 1, 1)"))
            inner = f"{inner}{end}"
        else:
            conv = self.layer("conv", f"nn.Conv2d({c}, {1 if kind == 'pixels' else c}, 1)")
            read = f"F.adaptive_avg_pool2d({x}, 1)" if kind == "channels" else x
            inner = f"{conv}({read})"
        weight = self.assign(f"{call}({inner})", value.shape).name
        forms = (f"{x} * {weight}", f"{weight} * {x}", f"torch.mul({x}, {weight})",
                 f"{x}.mul({weight})", f"torch.multiply({x}, {weight})")  # fmt: skip
        return self.assign(self.random.choice(forms), value.shape)

    def attended(self, value: Value) -> Value | None:
        """Add attention between positions; None where there are too few, or too many."""
        c, h, w = value.shape
        if not 2 <= h * w <= MOST_TOKENS:
            return None
        layer = self.layer("fc", f"nn.Linear({c}, {3 * c})")
        three = self.assign(f"{layer}({value.name}.flatten(2).transpose(1, 2))", value.shape).name
        q, k, v = (f"{three}[..., {i * c}:{(i + 1) * c}]" for i in range(3))
        made = self.random.choice((
            f"F.scaled_dot_product_attention({q}, {k}, {v})",
            f"torch.softmax({q} @ {k}.transpose(1, 2) * 0.4, -1) @ {v}",
            f"torch.bmm(torch.matmul({q}, {k}.mT).softmax(2), {v})",
        ))  # fmt: skip
        own = self.layer("g", f"nn.Parameter(torch.randn({h * w}, {c}) * 0.3)")
        back = f"({made} + {own}).transpose(1, 2).reshape(-1, {c}, {h}, {w})"
        return self.assign(f"{value.name} + {back}", value.shape)

    def scaled(self, value: Value) -> Value:
        """Compute with a number, or with a parameter of channels."""
        x = value.name
        number = self.random.choice((0.3, 0.7, 1.6, 2.0, 3.0))
        if self.chance(0.5):
            forms = (f"{x} * {number}", f"{number} * {x}", f"{x} / {number}", f"{x} + {number}",
                     f"{x} - {number}", f"{number} - {x}", f"-{x}")  # fmt: skip
            return self.assign(self.random.choice(forms), value.shape)
        shape = self.random.choice((f"{value.shape[0]}, 1, 1", f"1, {value.shape[0]}, 1, 1"))
        own = self.layer("g", f"nn.Parameter(torch.rand({shape}) + 0.5)")
        forms = (f"{x} * {own}", f"{own} * {x}", f"{x} + {own}", f"{x} - {own}", f"{x} / {own}")
        return self.assign(self.random.choice(forms), value.shape)

    def difference(self, value: Value) -> Value:
        """Subtract a branch, or add one that is broadcast."""
        c = value.shape[0]
        x = value.name
        conv = self.layer("conv", f"nn.Conv2d({c}, {c}, 1)")
        kind = self.random.choice(("minus", "minus", "mean", "pixel"))
        if kind == "minus":
            forms = (f"{x} - {conv}({x})", f"{conv}({x}) - {x}", f"torch.sub({x}, {conv}({x}))")
            return self.assign(self.random.choice(forms), value.shape)
        if kind == "pixel":
            one = self.layer("conv", f"nn.Conv2d({c}, 1, 1)")
            return self.assign(f"{x} + {one}({x})", value.shape)
        return self.assign(f"{x} + {conv}({x}.mean((2, 3), keepdim=True))", value.shape)

    def slope(self, value: Value) -> Value:
        """Add a leaky ReLU with learned slopes."""
        act = self.layer("act", f"nn.PReLU({self.random.choice((1, value.shape[0]))})")
        return self.assign(f"{act}({value.name})", value.shape)

    def image_norm(self, value: Value) -> Value | None:
        """Add a norm whose statistics are those of each image."""
        c, h, w = value.shape
        groups = self.random.choice([g for g in range(1, c + 1) if c % g == 0])
        size, spelled = self.random.choice((
            (c // groups * h * w, f"nn.GroupNorm({groups}, {c})"),
            (h * w, f"nn.InstanceNorm2d({c}, affine=True)"),
            (c * h * w, f"nn.GroupNorm(1, {c})"),
        ))  # fmt: skip
        if size < FEWEST_IN_A_NORM:
            return None
        return self.assign(f"{self.layer('norm', spelled)}({value.name})", value.shape)
