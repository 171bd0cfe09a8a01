"""Random cases for tests/support/firmware/harness.c: numbers for the C side, expected outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import lcm
from pathlib import Path

import numpy as np

from codegen.graph.ir import Shape as Extents
from codegen.kernels.common.repeat import repeat
from codegen.program.draft import Overlap
from tests.support.firmware.contracts import Contract, contract
from tests.support.firmware.oracle import (
    NEVER,
    Array,
    Requant,
    Shape,
    accumulate,
    add,
    level_weights,
    lookup,
    matmul,
    mul,
    normalize,
    pack_dense,
    pack_stream,
    pad,
    rearrange,
    requantize,
    softmax,
)

MAX_LEVELS = 16


@dataclass(frozen=True)
class Run:
    """One call of a case's kernel: what it reads and what it must write."""

    expected: Array
    level: int = 0
    residual_multiplier: int = 0
    scratch_bytes: int = 0
    misalign_bytes: int = 0
    over: int = 0
    """What the output lies over: 0 nothing, 1 the input, 2 the second operand."""
    distance_bytes: int = 0
    """From the output's start up to that of what it lies over."""
    multiplier: bytes = b""
    bias: bytes = b""
    bias_delta: bytes = b""
    weights: bytes = b""
    inputs: bytes = b""
    second: bytes = b""
    table: bytes = b""
    channel_level: bytes = b""
    streams: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def place(self) -> str:
        """Return where the output lies, for messages; empty if it lies apart."""
        operand = ("", "input", "second operand")[self.over]
        return f", {self.distance_bytes} bytes below the {operand}" if operand else ""

    def record(self, case_index: int) -> bytes:
        """Return the run as harness.c reads it."""
        parts = [self.multiplier, self.bias, self.bias_delta, self.weights]
        parts += [self.inputs, self.second, self.table, self.channel_level]
        header = [case_index, self.level, self.residual_multiplier, len(self.streams)]
        header += [self.misalign_bytes, self.over, self.distance_bytes]
        header += [self.expected.size, self.scratch_bytes]
        header += [len(part) for part in parts]
        flat = [part for stream in self.streams for part in stream]
        header += [len(part) for part in flat] + [0] * (2 * MAX_LEVELS - len(flat))
        return np.array(header, np.int32).tobytes() + b"".join(parts) + b"".join(flat)


@dataclass(frozen=True)
class Case:
    """One literal call in the C harness with its runs."""

    name: str
    macro: str
    arguments: tuple[str, ...]
    runs: tuple[Run, ...] = field(repr=False)
    values: Mapping[str, int] = field(default_factory=dict)
    """Of the names that the kernel's contract uses."""

    @property
    def contract(self) -> Contract:
        """Return the contract of the kernel."""
        return contract(self.macro.lower())

    @property
    def rules(self) -> tuple[Overlap, ...]:
        """Return how the output may lie over the input and the second operand."""
        run = self.runs[0]
        operands = zip(self.contract.aliasing, (run.inputs, run.second), strict=False)
        known = self.contract.known(self.values)
        return tuple(
            order.overlap(known, run.expected.size, len(operand)) for order, operand in operands
        )

    def line(self, index: int) -> str:
        """Return the case's line of cases.inc."""
        return f"{self.macro}({', '.join((str(index), *self.arguments))})\n"


def write(cases: list[Case], folder: Path) -> None:
    """Write cases.inc and cases.bin."""
    lines = [case.line(index) for index, case in enumerate(cases)]
    (folder / "cases.inc").write_text("".join(lines), encoding="ascii")
    records = [run.record(index) for index, case in enumerate(cases) for run in case.runs]
    (folder / "cases.bin").write_bytes(b"".join(records))


def compare(cases: list[Case], outputs: bytes) -> list[str]:
    """Return one line per wrong run: case, level, index, got, expected."""
    wrong = []
    got = np.frombuffer(outputs, np.int8)
    for case in cases:
        for run in case.runs:
            size = run.expected.size
            mine, got = got[:size].reshape(run.expected.shape), got[size:]
            bad = np.argwhere(mine != run.expected)
            if len(bad):
                at = tuple(int(i) for i in bad[0])
                wrong.append(
                    f"{case.name} level {run.level}{run.place}: "
                    f"{len(bad)} of {size} differ, first at {at}: "
                    f"got {mine[at]}, expected {run.expected[at]}"
                )
    return wrong if not len(got) else [*wrong, f"{len(got)} bytes too many"]


def with_shared_memory(case: Case, rng: np.random.Generator) -> Case:
    """Add runs whose output lies over an operand, as closely as the contract allows.

    A kernel that reads later or writes earlier than it promises fails here, on every machine.
    """
    first, added = case.runs[0], []
    for over, rule in enumerate(case.rules[: 2 if first.second else 1], start=1):
        operand = first.inputs if over == 1 else first.second
        lowest = max(rule.lead_bytes, -len(operand))
        step = lcm(rule.step_bytes, case.values.get("align", 1))
        least = -(-lowest // step) * step
        more = least + step * int(rng.integers(1, 9))
        distances = {least, more, 0} if rule.allows(0) else {least, more}
        added += [
            dataclasses.replace(first, over=over, distance_bytes=distance)
            for distance in sorted(distances)
        ]
    return dataclasses.replace(case, runs=(*case.runs, *added))


def c_struct(macro: str, value: Shape | Requant) -> str:
    """Return SHAPE(...) or REQUANT(...)."""
    return f"{macro}({', '.join(str(v) for v in dataclasses.astuple(value))})"


def int8(rng: np.random.Generator, *shape: int) -> Array:
    """Return int8 values, extremes included, as int64."""
    values = rng.integers(-128, 128, shape)
    values[rng.random(shape) < 0.1] = -128
    values[rng.random(shape) < 0.1] = 127
    return values


def as_bytes(values: Array, dtype: type = np.int8) -> bytes:
    """Return values in memory order."""
    return values.astype(dtype).tobytes()


@dataclass(frozen=True)
class Tables:
    """A layer's requantization with tables for each level."""

    r: Requant
    multiplier: Array
    bias: Array
    delta: Array
    residual_multiplier: Array


def make_tables(
    rng: np.random.Generator, accs: list[Array], zero_point: int, plain: bool = False
) -> Tables:
    """Choose a requantization that spreads the accumulators over the int8 range.

    ``plain``: the whole int8 range and no pre-shift, as most layers have.
    """
    levels, out_c = len(accs), accs[0].shape[-1]
    spread = max(1.0, max(float(np.abs(acc).max()) for acc in accs))
    fraction = 4 if plain else int(rng.integers(0, 9))
    pre_shift = 0 if plain else int(rng.integers(0, min(9, int(31 - np.log2(spread + 1)))))
    wanted = 200 * 2.0**fraction / (spread * 2.0**pre_shift) * 2**32
    shift = int(np.clip(np.floor(np.log2(wanted / 2**14)), 0, 16))
    largest = float(np.clip(wanted / 2**shift, 1, 32767))
    multiplier = (largest * rng.uniform(0.2, 1.0, (levels, out_c))).astype(np.int64)
    multiplier *= np.where(rng.random((levels, out_c)) < 0.2, -1, 1)
    low, high = (
        (-128, 127) if plain else ((-128, 127), (-128, 61), (-37, 127), (-5, 40))[rng.integers(4)]
    )
    r = Requant(
        in_zero_point=zero_point,
        multiplier_shift=shift,
        bias_delta_shift=int(rng.integers(0, 9)),
        fraction_bits=fraction,
        pre_shift=pre_shift,
        act_min=low,
        act_max=high,
        residual_zero_point=int(rng.integers(-128, 128)),
    )
    bias = np.clip(rng.normal(0, 40 * 2.0**fraction, out_c), -32768, 32767).astype(np.int64)
    delta = rng.integers(-128, 128, (levels, out_c)) >> int(rng.integers(0, 8))
    delta[-1] = 0
    residual_multiplier = rng.integers(-(2**22) + 1, 2**22, levels) >> int(rng.integers(0, 8))
    return Tables(r, multiplier, bias, delta, residual_multiplier)


def level_run(tables: Tables, level: int, acc: Array, residual: Array | None) -> Run:
    """Return a run with the requantization part of ``level`` filled in."""
    densest = level == len(tables.multiplier) - 1
    delta = None if densest else tables.delta[level]
    factor = int(tables.residual_multiplier[level])
    return Run(
        expected=requantize(
            acc, tables.r, tables.multiplier[level], tables.bias, delta, residual, factor
        ),
        level=level,
        residual_multiplier=factor,
        multiplier=as_bytes(tables.multiplier[level], np.int16),
        bias=as_bytes(tables.bias, np.int16),
        bias_delta=b"" if delta is None else as_bytes(delta),
        second=b"" if residual is None else as_bytes(residual),
    )


def random_level_map(
    rng: np.random.Generator, shape: tuple[int, ...], densities: tuple[float, ...]
) -> Array:
    """Return first levels of groups so that level k keeps ``densities[k]`` of them."""
    count = int(np.prod(shape))
    rank = rng.permutation(count).reshape(shape)
    level_map = np.full(shape, NEVER, np.int64)
    for level in reversed(range(len(densities))):
        level_map[rank < round(densities[level] * count)] = level
    return level_map


def nested(
    rng: np.random.Generator,
    s: Shape,
    group: int,
    tile: int,
    densities: tuple[float, ...],
    *,
    residual: bool = False,
    linear: bool = False,
    plain: bool = False,
    level_map: Array | None = None,
) -> Case:
    """Return a nested convolution or linear layer, run at every level."""
    x, zero_point = int8(rng, s.in_h, s.in_w, s.in_c), int(rng.integers(-128, 128))
    weight = np.maximum(int8(rng, s.out_c, s.kernel_h, s.kernel_w, s.in_c), -127)
    map_shape = (s.out_c, s.kernel_h, s.kernel_w, -(-s.in_c // group))
    if level_map is None:
        level_map = random_level_map(rng, map_shape, densities)
    levels = range(len(densities))
    accs = [
        accumulate(x, level_weights(weight, level_map, group, k), s, zero_point) for k in levels
    ]
    tables = make_tables(rng, accs, zero_point, plain)
    second = int8(rng, s.out_h, s.out_w, s.out_c) if residual else None
    kernel = "nested_linear" if linear else "nested_conv"
    values = {**dataclasses.asdict(s), "group": group, "tile": tile, "level": len(densities) - 1}
    common = {
        "inputs": as_bytes(x),
        "misalign_bytes": int(rng.integers(4)),
        "streams": tuple(pack_stream(weight, level_map, group, k) for k in levels),
        "scratch_bytes": contract(kernel).scratch_bytes(values),
    }
    runs = tuple(
        dataclasses.replace(level_run(tables, k, accs[k], second), **common) for k in levels
    )
    structs = (c_struct("SHAPE", s), c_struct("REQUANT", tables.r))
    name = f"nested G={group} P={tile} densities {densities} {s}"
    if linear:
        return Case(f"linear {name}", "NESTED_LINEAR", (str(group), *structs), runs, values)
    flag = "RESIDUAL" if residual else "NO_RESIDUAL"
    return Case(name, "NESTED_CONV", (str(group), str(tile), flag, *structs), runs, values)


def weighted(
    rng: np.random.Generator,
    kind: str,
    s: Shape,
    *,
    tile: int = 1,
    groups: int = 1,
    residual: bool = False,
    levels: int = 1,
    plain: bool = False,
) -> Case:
    """Return a dense layer; ``kind`` names its macro in harness.c."""
    x, zero_point = int8(rng, s.in_h, s.in_w, s.in_c), int(rng.integers(-128, 128))
    weight = np.maximum(int8(rng, s.out_c, s.kernel_h, s.kernel_w, s.in_c // groups), -127)
    acc = accumulate(x, weight, s, zero_point, groups)
    tables = make_tables(rng, [acc] * levels, zero_point, plain)
    second = int8(rng, s.out_h, s.out_w, s.out_c) if residual else None
    flag = "RESIDUAL" if residual else "NO_RESIDUAL"
    band = min(tile, s.out_h)
    values = {**dataclasses.asdict(s), "tile": tile, "groups": groups, "band": band, "level": 0}
    known = contract(kind.lower()).known(values)
    if kind == "DENSE_CONV":
        packed, head = pack_dense(weight, known["c"]), (str(tile), flag)
    elif kind == "DENSE_LINEAR":
        packed, head = pack_dense(weight, s.in_c), ()
    elif kind == "DEPTHWISE_CONV":
        packed, head = as_bytes(weight), (str(band), "ALL_CHANNELS")
    else:
        packed, head = as_bytes(weight), (str(groups), flag)
    common = {
        "inputs": as_bytes(x),
        "misalign_bytes": int(rng.integers(4)),
        "weights": packed,
        "scratch_bytes": known.get("scratch_bytes", 0),
    }
    runs = tuple(
        dataclasses.replace(level_run(tables, k, acc, second), **common) for k in range(levels)
    )
    structs = (c_struct("SHAPE", s), c_struct("REQUANT", tables.r))
    return Case(f"{kind} groups {groups} tile {tile} {s}", kind, (*head, *structs), runs, values)


def depthwise(
    rng: np.random.Generator,
    s: Shape,
    band: int,
    channel_level: Array,
    *,
    levels: int = 2,
    plain: bool = False,
) -> Case:
    """Return a depthwise layer that has channel c from level ``channel_level[c]`` on, at each."""
    x, zero_point = int8(rng, s.in_h, s.in_w, s.in_c), int(rng.integers(-128, 128))
    weight = np.maximum(int8(rng, s.out_c, s.kernel_h, s.kernel_w, 1), -127)
    level_map = channel_level[:, None, None, None]
    accs = [
        accumulate(x, level_weights(weight, level_map, 1, k), s, zero_point, s.in_c)
        for k in range(levels)
    ]
    tables = make_tables(rng, accs, zero_point, plain)
    values = {**dataclasses.asdict(s), "band": band, "level": levels - 1}
    common = {
        "inputs": as_bytes(x),
        "misalign_bytes": int(rng.integers(4)),
        "weights": as_bytes(weight),
        "scratch_bytes": contract("depthwise_conv").scratch_bytes(values),
        "channel_level": as_bytes(channel_level, np.uint8),
    }
    runs = tuple(
        dataclasses.replace(level_run(tables, k, acc, None), **common) for k, acc in enumerate(accs)
    )
    arguments = (str(band), "BY_LEVEL", c_struct("SHAPE", s), c_struct("REQUANT", tables.r))
    name = f"depthwise band {band} channel levels {channel_level.tolist()} {s}"
    return Case(name, "DEPTHWISE_CONV", arguments, runs, values)


PAIRED = {
    "add": (add, ("m0", "m1", "offset", "shift", "act_min", "act_max")),
    "mul": (mul, ("a_zero", "b_zero", "m", "offset", "shift", "act_min", "act_max")),
}
"""What kernels of two operands compute, and their numbers behind the loops."""


def paired(
    rng: np.random.Generator, kernel: str, whole: Extents, part: Extents, plain: bool = False
) -> Case:
    """Return an elementwise sum or product; ``plain``: of a value and a gate, with all of int8."""
    a, b = int8(rng, *whole), int8(rng, *part)
    values = dataclasses.asdict(repeat(whole, part))
    loops, promised = tuple(values.values()), contract(kernel)
    result, names = PAIRED[kernel]
    for name in names:
        values[name] = promised.draw(name, rng, values)
    if plain:
        values |= {
            "a_zero": 0,
            "b_zero": -128,
            "m": 11003,
            "offset": 2**19,
            "shift": 20,
            "act_min": -128,
            "act_max": 127,
        }
    numbers = tuple(values[name] for name in names)
    run = Run(
        expected=result(a, b, *numbers),
        inputs=as_bytes(a),
        second=as_bytes(b),
        misalign_bytes=int(rng.integers(4)),
    )
    arguments = tuple(str(v) for v in (*loops, *numbers))
    return Case(f"{kernel} {arguments}", kernel.upper(), arguments, (run,), values)


def multiplication(
    rng: np.random.Generator,
    sizes: tuple[int, int, int, int],
    by_columns: int,
    *,
    points: tuple[int, int] | None = None,
    plain: bool = False,
) -> Case:
    """Return products of matrices; ``sizes``: batches, rows, columns, depth. ``plain``: all of
    int8, and no pre-shift."""
    batches, rows, columns, depth = sizes
    a, b = int8(rng, batches, rows, depth), int8(rng, batches, columns, depth)
    points = points or tuple(int(n) for n in rng.choice([-128, 0, 3, 127], 2))
    values = dict(zip(("batches", "rows", "columns", "depth"), sizes, strict=True))
    values |= {"by_columns": by_columns, "a_zero": points[0], "b_zero": points[1]}
    most = depth * max(abs(p) + 128 for p in points) ** 2
    pre_shift = 0 if plain else int(rng.integers(0, min(9, int(32 - np.log2(most)))))
    promised = contract("matmul")
    for name in ("fraction_bits", "act_min", "act_max"):
        values[name] = promised.draw(name, rng, values)
    if plain:
        values |= {"fraction_bits": 8, "act_min": -128, "act_max": 127}
    wanted = 2.0 ** (values["fraction_bits"] + 39 - pre_shift) / most * rng.choice([-4, 2, 8])
    values |= {"pre_shift": pre_shift, "m": int(np.clip(wanted, -(2.0**31) + 1, 2.0**31 - 1))}
    half = 1 << values["fraction_bits"] >> 1
    values["bias"] = (int(rng.integers(-128, 128)) << values["fraction_bits"]) + half
    names = ("m", "bias", "fraction_bits", "pre_shift", "act_min", "act_max")
    run = Run(
        expected=matmul(a, b, values),
        inputs=as_bytes(a),
        second=as_bytes(b.swapaxes(1, 2) if by_columns else b),
        scratch_bytes=promised.scratch_bytes(values),
        misalign_bytes=int(rng.integers(4)),
    )
    numbers = (*sizes, by_columns, *points, *(values[name] for name in names))
    arguments = tuple(str(n) for n in numbers)
    return Case(f"matmul {arguments}", "MATMUL", arguments, (run,), values)


def normalization(
    rng: np.random.Generator, blocks: int, positions: int, groups: int, channels: int
) -> Case:
    """Return a normalization; a set of equal values now and then."""
    x = int8(rng, blocks, positions, groups, channels)
    if rng.random() < 0.3:
        x[0, :, 0] = x[0, 0, 0, 0]
    center = int(rng.integers(2))
    values = {"blocks": blocks, "positions": positions, "groups": groups, "channels": channels}
    points = tuple(int(rng.choice([-128, 0, int(rng.integers(-128, 128))])) for _ in range(2))
    epsilon = (int(rng.integers(0, 1000)), int(rng.integers(0, 9)))
    numbers = (int(rng.integers(2**30, 2**31)), int(rng.integers(20, 32)), *epsilon)
    run = Run(
        expected=normalize(x, center, *points, numbers),
        inputs=as_bytes(x),
        table=as_bytes(np.array(numbers), np.int32),
        misalign_bytes=int(rng.integers(4)),
    )
    arguments = tuple(str(n) for n in (*values.values(), center, *points))
    return Case(f"normalize {arguments}", "NORMALIZE", arguments, (run,), values)


def soft(rng: np.random.Generator, positions: int, channels: int, gain: int = 256) -> Case:
    """Return a softmax; ``gain``: steps for 1."""
    x = int8(rng, positions, channels)
    table = np.round(2**15 * np.exp(-rng.uniform(0.01, 0.3) * np.arange(256))).astype(np.int64)
    run = Run(
        expected=softmax(x, table, gain), inputs=as_bytes(x), table=as_bytes(table, np.uint16)
    )
    name, arguments = f"softmax {positions}x{channels}", (str(positions), str(channels), f"{gain}u")
    values = {"positions": positions, "channels": channels, "gain": gain}
    return Case(name, "SOFTMAX", arguments, (run,), values)


def table(rng: np.random.Generator, count: int) -> Case:
    """Return a table lookup."""
    x, entries = int8(rng, count), int8(rng, 256)
    run = Run(
        expected=lookup(x, entries),
        inputs=as_bytes(x),
        table=as_bytes(entries),
        misalign_bytes=int(rng.integers(4)),
    )
    return Case(f"lookup {count}", "LOOKUP", (str(count),), (run,), {"count": count})


def concatenation(
    rng: np.random.Generator, runs: int, first: int, second: int, *, words: bool = False
) -> Case:
    """Return two inputs side by side; ``words``: what the contract says of 4."""
    a, b = int8(rng, runs, first), int8(rng, runs, second)
    run = Run(
        expected=np.concatenate([a, b], axis=1),
        inputs=as_bytes(a),
        second=as_bytes(b),
        misalign_bytes=0 if words else int(rng.integers(4)),
    )
    align = 4 if words else 1
    arguments = (str(runs), str(first), str(second), str(align))
    values = {"runs": runs, "size": first, "offset": 0, "step": first + second, "align": align}
    return Case(f"concat {arguments}", "CONCAT", arguments, (run,), values)


def rearrangement(rng: np.random.Generator, *loops: tuple[int, int], words: bool = False) -> Case:
    """Return nested loops over no more than they reach; ``words``: what the contract says of 4."""
    loops = ((1, 0),) * (6 - len(loops)) + loops
    extents, strides = (tuple(part) for part in zip(*loops, strict=True))
    reach = [(extent - 1) * stride for extent, stride in loops]
    offset = -sum(min(0, way) for way in reach)
    count = offset + sum(max(0, way) for way in reach) + 1
    x = int8(rng, count)
    run = Run(
        expected=rearrange(x, offset, extents, strides),
        inputs=as_bytes(x),
        misalign_bytes=0 if words else int(rng.integers(4)),
    )
    align = 4 if words else 1
    arguments = tuple(str(v) for v in (count, offset, align, *extents, *strides))
    values = {"count": count, "offset": offset, "align": align}
    values |= {f"n{depth}": extent for depth, extent in enumerate(extents)}
    return Case(f"rearrange {loops}", "REARRANGE", arguments, (run,), values)


def padding(
    rng: np.random.Generator, rows: int, runs: int, size: int, *gaps: int, words: bool = False
) -> Case:
    """Return runs with top, left, front, back, right and bottom around them."""
    x = int8(rng, rows, runs, size)
    fill, align = int(rng.integers(-128, 128)), 4 if words else 1
    top, left, front, back, right, bottom = gaps
    run = Run(
        expected=pad(x, (top, left, front, back, right, bottom), fill),
        inputs=as_bytes(x),
        misalign_bytes=0 if words else int(rng.integers(4)),
    )
    names = ("rows", "runs", "size", "top", "left", "front", "back", "right", "bottom")
    values = dict(zip(names, (rows, runs, size, *gaps), strict=True))
    arguments = tuple(str(v) for v in (fill, align, *values.values()))
    known = {**values, "fill": fill, "align": align}
    return Case(f"pad {arguments}", "PAD", arguments, (run,), known)
