"""Random steps that are written as formulas: activations, and norms of each position."""

from __future__ import annotations

from tests.fuzz.model_lines import Value
from tests.fuzz.model_padding import Padding

FORMULAS = (
    "{x} * torch.sigmoid({x})",
    "{x} * torch.sigmoid(1.702 * {x})",
    "{x} * F.relu6({x} + 3) / 6",
    "{x} * torch.tanh(F.softplus({x}))",
    "0.5 * {x} * (1 + torch.tanh(0.7979 * ({x} + 0.0447 * {x} ** 3)))",
    "F.relu({x}) ** 2",
    "F.relu({x}).square()",
    "torch.exp(-{x}.square())",
    "torch.sqrt({x}.abs() + 0.25)",
    "{x}.clamp(-2, 2).exp()",
    "{x}.abs().pow(0.5)",
    "F.softplus({x}, 2.0)",
    "F.celu({x}, 0.7)",
)
"""Functions of one number, spelled with several operators."""
FEWEST_CHANNELS = 7
"""That are normalized together: of fewer, rounding alone changes the result much."""


class Formulas(Padding):
    """What is recognized only as a whole."""

    def formula(self, value: Value) -> Value:
        """Add a function of one number, written out."""
        form = self.random.choice(FORMULAS)
        return self.assign(form.format(x=value.name), value.shape)

    def position_norm(self, value: Value) -> Value | None:
        """Normalize the channels of each position."""
        c, x = value.shape[0], value.name
        if c < FEWEST_CHANNELS:
            return None
        last = f"{x}.permute(0, 2, 3, 1)"
        kind = self.random.choice(("layer", "layer", "rms", "length", "map"))
        if kind == "length":
            forms = (f"F.normalize({x}, dim=1)", f"F.normalize({x})",
                     f"{x} / {x}.norm(dim=1, keepdim=True).clamp(min=1e-6)")  # fmt: skip
            return self.assign(self.random.choice(forms), value.shape)
        if kind == "map":
            return self.assign(f"F.layer_norm({x}, {value.shape})", value.shape)
        name = {"layer": "LayerNorm", "rms": "RMSNorm"}[kind]
        norm = self.layer("norm", f"nn.{name}({c})")
        return self.assign(f"{norm}({last}).permute(0, 3, 1, 2)", value.shape)
