"""Random steps that move elements and compute none: cut, pad, turn, shuffle, repeat."""

from __future__ import annotations

from tests.fuzz.model_lines import Lines, Shape, Value

MAX_PIXELS = 700
"""Largest map that an upsampling makes."""
MAX_CHANNELS = 24
"""Most channels that a turn or a shuffle leaves."""
MOST_UNBOUND = 5
"""Most channels that are taken apart one by one."""


class Moves(Lines):
    """Steps without arithmetic."""

    def span(self, size: int) -> tuple[int, int]:
        """Return a piece of ``size``, seldom all of it."""
        begin = self.random.randrange(size)
        end = self.random.randrange(begin + 1, size + 1)
        return begin, end

    def sliced(self, value: Value) -> Value | None:
        """Cut a piece out of the channels or of the map."""
        c, h, w = value.shape
        x = value.name
        kind = self.random.choice(("channels", "narrow", "crop", "stride", "last", "one"))
        if kind in ("channels", "narrow"):
            a, b = self.span(c)
            text = f"{x}[:, {a}:{b}]" if kind == "channels" else f"{x}.narrow(1, {a}, {b - a})"
            return self.assign(text, (b - a, h, w))
        if kind == "crop":
            (a, b), (d, e) = self.span(h), self.span(w)
            return self.assign(f"{x}[:, :, {a}:{b}, {d}:{e}]", (c, b - a, e - d))
        if kind == "stride":
            down, right = self.random.choice((1, 2, 3)), self.random.choice((2, 3))
            shape = (c, -(-h // down), -(-w // right))
            return self.assign(f"{x}[:, :, ::{down}, ::{right}]", shape)
        if kind == "last" and w > 1:
            return self.assign(f"{x}[..., :-1]", (c, h, w - 1))
        row = self.random.randrange(h)
        return self.assign(f"{x}[:, :, {row}].unsqueeze(2)", (c, 1, w))

    def parted(self, value: Value) -> Value | None:
        """Part the channels and join them again, in another order or with a change of one part."""
        c, h, w = value.shape
        if c < 2:
            return None
        x = value.name
        kinds = ("chunk", "chunk", "split", "split", "tensor_split", "unbind")
        kind = self.random.choice(kinds[: 6 if c <= MOST_UNBOUND else 5])
        if kind == "chunk":
            count = self.random.choice((2, 3))
            each = -(-c // count)
            sizes = [min(each, c - begin) for begin in range(0, c, each)]
            parts = self.assign(f"{x}.chunk({count}, 1)", value.shape).name
        elif kind == "unbind":
            sizes = [1] * c
            parts = self.assign(f"{x}.unbind(1)", value.shape).name
        elif kind == "tensor_split":
            sizes = [-(-c // 2), c // 2]
            parts = self.assign(f"{x}.tensor_split(2, dim=1)", value.shape).name
        else:
            first = self.random.randrange(1, c)
            sizes = [first, c - first]
            by = f"[{first}, {c - first}]"
            if self.chance(0.3):
                sizes = [min(first, c - begin) for begin in range(0, c, first)]
                by = str(first)
            parts = self.assign(f"torch.split({x}, {by}, dim=1)", value.shape).name
        end = ".unsqueeze(1)" if kind == "unbind" else ""
        pieces = [Value(f"{parts}[{i}]{end}", (size, h, w)) for i, size in enumerate(sizes)]
        changed = self.random.randrange(len(pieces))
        if self.chance(0.6):
            piece = pieces[changed]
            conv = self.layer(
                "conv", f"nn.Conv2d({piece.shape[0]}, {piece.shape[0]}, 3, padding=1)"
            )
            pieces[changed] = self.assign(f"{conv}({piece.name})", piece.shape)
        self.random.shuffle(pieces)
        listed = ", ".join(piece.name for piece in pieces)
        total = sum(piece.shape[0] for piece in pieces)
        return self.assign(f"torch.cat([{listed}], 1)", (total, h, w))

    def turned(self, value: Value) -> Value | None:
        """Swap axes, or read the same numbers as another map."""
        c, h, w = value.shape
        x, n = value.name, f"{value.name}.shape[0]"
        forms: list[tuple[str, Shape]] = [
            (f"{x}.transpose(2, 3)", (c, w, h)),
            (f"{x}.permute(0, 1, 3, 2).contiguous()", (c, w, h)),
            (f"{x}.mT", (c, w, h)),
            (f"{x}.movedim(1, 2)", (h, c, w)),
            (f"{x}.swapaxes(1, 3)", (w, h, c)),
            (f"{x}.flip({self.random.choice((1, 2, 3, '2, 3'))})", (c, h, w)),
            (f"{x}.permute(0, 2, 1, 3)", (h, c, w)),
            (f"{x}.permute(0, 3, 1, 2)", (w, c, h)),
            (f"{x}.permute(0, 2, 3, 1)", (h, w, c)),
            (f"{x}.reshape({n}, {h}, {c}, {w})", (h, c, w)),
            (f"{x}.reshape({n}, 1, {c * h}, {w})", (1, c * h, w)),
            (f"{x}.flatten(2).transpose(1, 2).unflatten(1, ({h}, {w})).permute(0, 3, 1, 2)",
             (c, h, w)),
        ]  # fmt: skip
        fitting = [form for form in forms if form[1][0] <= MAX_CHANNELS]
        return self.assign(*self.random.choice(fitting))

    def shuffled(self, value: Value) -> Value | None:
        """Deal out channels, or turn channels into pixels and back."""
        c, h, w = value.shape
        x, n = value.name, f"{value.name}.size(0)"
        forms: list[tuple[str, Shape]] = []
        for groups in (2, 3, 4):
            if c % groups == 0:
                dealt = f"{x}.view({n}, {groups}, {c // groups}, {h}, {w}).transpose(1, 2)"
                forms.append((f"{dealt}.reshape({n}, {c}, {h}, {w})", value.shape))
                forms.append((f"F.channel_shuffle({x}, {groups})", value.shape))
        for factor in (2, 3):
            square = factor * factor
            if c % square == 0 and h * w * square <= MAX_PIXELS:
                shape = (c // square, h * factor, w * factor)
                forms.append((f"F.pixel_shuffle({x}, {factor})", shape))
            if h % factor == w % factor == 0 and c * square <= MAX_CHANNELS:
                shape = (c * square, h // factor, w // factor)
                forms.append((f"F.pixel_unshuffle({x}, {factor})", shape))
        if not forms:
            return None
        return self.assign(*self.random.choice(forms))

    def repeated(self, value: Value) -> Value | None:
        """Make a map larger by its own elements, neighbours mostly."""
        c, h, w = value.shape
        x = value.name
        down, right = self.random.choice((1, 2, 2, 3)), self.random.choice((1, 2, 2, 3))
        if h * w * down * right > MAX_PIXELS:
            return None
        shape = (c, h * down, w * right)
        forms = [
            (f"F.interpolate({x}, scale_factor=({down}, {right}))", shape),
            (f"F.interpolate({x}, size=({h * down}, {w * right}), mode='nearest')", shape),
            (f"{self.layer('up', f'nn.Upsample(scale_factor=({down}.0, {right}.0))')}({x})", shape),
            (f"{x}.repeat(1, 1, {down}, {right})", shape),
            (f"{x}.tile(1, {down}, {right})", shape),
            (f"{x}.repeat_interleave({right}, 3)", (c, h, w * right)),
            (f"{x} + {x}.amax((2, 3), keepdim=True).expand(-1, -1, {h}, {w})", value.shape),
            (f"{x}.mean(1, keepdim=True).expand_as({x}).contiguous()", value.shape),
        ]
        if c * down <= MAX_CHANNELS:
            forms.append((f"{x}.repeat_interleave({down}, dim=1)", (c * down, h, w)))
        return self.assign(*self.random.choice(forms))
