"""What kernels promise: prototype, compiler and every random case keep to it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

from codegen import kernels
from codegen.graph.builder import GraphBuilder
from codegen.graph.ir import Graph
from codegen.graph.ops.avg_pool import AvgPool
from codegen.graph.ops.max_pool import MaxPool
from codegen.kernels.cmsis_nn import KERNELS as CMSIS_NN
from codegen.program.call import Args
from codegen.program.draft import Draft
from codegen.target.target import resolve
from tests.support.firmware import contracts
from tests.support.firmware.cases import Case, with_shared_memory
from tests.support.firmware.contracts import SHAPE, block, contract, evaluate
from tests.support.firmware.families import FAMILIES, SEED
from tests.support.firmware.rig import LIBRARY, M4_FLAGS, M7_FLAGS, need

KERNELS = contracts.names()
ASSEMBLY = [path for path in LIBRARY if path.stem.endswith("_asm")]
HEADERS = [path for path in LIBRARY if any(key == "check" for key, _ in block(path))]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_contract_names_the_arguments_of_the_prototype(kernel: str) -> None:
    promised = contract(kernel)
    assert [(one.c_type, one.name) for one in promised.arguments] == list(promised.prototype)
    for argument in promised.arguments:
        is_buffer = argument.count is not None
        assert is_buffer == (argument.access is not None), argument
        is_number = not is_buffer and argument.type in ("int32", "uint32")
        assert argument.values is None or is_number, argument
    operands = {one.name for one in promised.arguments if one.access == "read"}
    assert {order.operand for order in promised.aliasing} <= operands


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_line_says_something_that_is_read(kernel: str) -> None:
    """A misspelt key would be a name that no expression uses."""
    promised = contract(kernel)
    expressions = [one.count or "" for one in promised.arguments]
    expressions += [one.values or "" for one in promised.arguments]
    expressions += [order.start + order.unit for order in promised.aliasing]
    expressions += promised.where.values()
    used = {word for text in expressions for word in re.findall(r"\w+", text)}
    assert set(promised.where) - {"scratch_bytes"} <= used
    has_scratch = any(one.name == "scratch" for one in promised.arguments)
    assert has_scratch == ("scratch_bytes" in promised.where)


# The compiler keeps to the contracts.


def random_graph(seed: int) -> Graph:
    """Return a network of two levels that calls every kernel, its extents drawn by ``seed``."""
    rng = np.random.default_rng(seed)
    height, width, c, out_c = (int(n) for n in (*rng.integers(9, 15, 2), *rng.integers(2, 9, 2)))
    kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    padding = tuple(int(rng.integers(0, extent)) for extent in (*kernel, *kernel))
    padding = (padding[0], padding[1], padding[2], padding[3])
    net = GraphBuilder((height, width, c), 2, seed)
    group = int(rng.choice([1, 2, 4]))
    first = net.conv("input", out_c, kernel, stride=stride, padding=padding)
    same = net.conv(first, out_c, (1, 1), residual=first)
    sparse = net.conv(same, 3 * out_c, (3, 3), padding=(1, 1, 1, 1), group=group,
                      densities=(0.2, 0.6))  # fmt: skip
    grouped = net.conv(sparse, 6, (2, 2), padding=(1, 0, 0, 1), groups=3)
    depthwise = net.conv(grouped, 6, (3, 3), padding=(1, 1, 1, 1), groups=6)
    table = net.lookup(net.concat([depthwise, grouped]), np.tanh)
    total = net.add(table, table)
    _, width, c = net.shape(total)
    total = net.rearrange(total, net.shape(total), (width - 1) * c,
                          [(net.shape(total)[0], width * c), (width, -c), (c, 1)])  # fmt: skip
    total = net.normalize(total, (1, 6 if net.shape(total)[2] % 4 else 4), center=True)
    total = net.mul(total, net.pool(total, AvgPool, net.shape(total)[:2], net.shape(total)[:2]))
    total = net.matmul(net.matmul(total, total), total, by_columns=True)
    total = net.bilinear(total, net.shape(total)[:2][::-1], seed % 2)
    total = net.pad(total, (1, 0, 0), (0, 2, group - 1))
    most = net.pool(total, MaxPool, (2, 2), stride, (1, 0, 0, 1))
    mean = net.pool(most, AvgPool, (2, 3), (1, 1), (0, 1, 1, 1))
    sparse = net.linear(mean, 13, group=group, densities=(0.3, 0.8))
    net.softmax(net.linear(sparse, 7))
    return net.graph()


def drafts() -> Iterator[tuple[str, Draft]]:
    """Yield the name of a kernel of ours and a call it was lowered to, for random networks."""
    theirs = {kernel.name for kernel in CMSIS_NN}
    target = resolve("host")
    for seed in range(24):
        graph = random_graph(seed)
        for op in graph.ops:
            for candidate in kernels.candidates(op, graph, target):
                if candidate.kernel not in theirs:
                    yield candidate.kernel, candidate.draft()


@pytest.fixture(scope="module")
def lowered() -> dict[str, list[Draft]]:
    """Return calls of every kernel."""
    found: dict[str, list[Draft]] = {kernel: [] for kernel in KERNELS}
    for kernel, draft in drafts():
        found[kernel].append(draft)
    return found


def numbers(args: Args) -> dict[str, int]:
    """Return the arguments of a call by the names that contracts use."""
    values: dict[str, int] = {}
    for field in fields(args):
        value = getattr(args, field.name)
        if isinstance(value, tuple):  # of several calls, the first
            value = value[0] if value else None
        if is_dataclass(value):
            values |= vars(value)
        elif value is not None:
            values[field.name] = int(value)
    return values


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_compiler_keeps_to_the_contract(kernel: str, lowered: dict[str, list[Draft]]) -> None:
    promised = contract(kernel)
    assert lowered[kernel], "random_graph calls it"
    for draft in lowered[kernel]:
        values = {"level": 1, **numbers(draft.args)}
        assert draft.scratch_bytes == promised.scratch_bytes(values), draft.args
        for argument in promised.arguments:
            legal = argument.legal(promised.known(values))
            assert legal is None or argument.name not in values or values[argument.name] in legal
        known = promised.known(values)
        out_bytes = promised.elements("out", values)
        for order, planned in zip(promised.aliasing, draft.overlaps, strict=False):
            if planned is not None:
                operand_bytes = promised.elements(order.operand, values)
                right = order.overlap(known, out_bytes, operand_bytes)
                lead = max(planned.lead_bytes, -operand_bytes)
                assert planned.step_bytes == right.step_bytes, draft.args
                # With one element there is no order to keep, and the compiler keeps one.
                assert lead == right.lead_bytes or (out_bytes == 1 and lead == 0), draft.args


# So does every random case, and what sanitizers then see is the contract's.


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_cases_are_what_contracts_say(family: str) -> None:
    rng = np.random.default_rng(SEED)
    for case in (with_shared_memory(case, rng) for case in FAMILIES[family](rng)):
        check_case(case)


def test_every_kernel_has_sizes_of_its_own() -> None:
    """Beside those drawn from its contract."""
    rng = np.random.default_rng(SEED)
    chosen = [make(rng) for family, make in FAMILIES.items() if family != "contract"]
    assert {case.macro.lower() for cases in chosen for case in cases} == set(KERNELS)


def check_case(case: Case) -> None:
    """Compare every number and buffer of a case with the kernel's contract."""
    promised = case.contract
    known = promised.known(case.values)
    for argument in promised.arguments:
        legal = argument.legal(known)
        if legal is not None and argument.name in known:
            assert known[argument.name] in legal, f"{case.name}: {argument.name}"
    held = {"in": "inputs", "a": "inputs", "b": "second", "residual": "second"}
    for run in case.runs:
        for argument in promised.arguments:
            if argument.count is None or argument.type == "nn_stream":
                continue
            if argument.name == "out":
                have = run.expected.size
            elif argument.name == "scratch":
                have = run.scratch_bytes
            else:
                have = len(getattr(run, held.get(argument.name, argument.name)))
            want = promised.elements(argument.name, case.values)
            want *= {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4}[argument.type]
            may_lack = argument.may_be_null and have == 0
            assert have == want or may_lack, f"{case.name}: {argument.name}"


# Numbers in comments.


def instructions(path: Path, macro: str, core: str) -> int:
    """Return the instructions of an assembly macro of ``path``, as the preprocessor expands it."""
    flags = {"m4": M4_FLAGS, "m7": (*M7_FLAGS, "-DNN_BOARD_KERNELS=m7")}[core]
    parent = re.sub(r"_asm_.*", "_asm.h", path.name)
    source = f'#include "{path.parent / parent}"\nnestnet_begins {macro}\n'
    done = subprocess.run(
        [need("arm-none-eabi-gcc"), *flags, "-E", "-P", "-x", "c", "-"],
        input=source, capture_output=True, text=True, check=True,
    )  # fmt: skip
    text = "".join(re.findall(r'"([^"]*)"', done.stdout.split("nestnet_begins")[1]))
    lines = [line.replace("\\t", "").strip() for line in text.split("\\n")]
    return sum(bool(line) and not line.startswith(".") and line[-1] != ":" for line in lines)


COUNTED = re.compile(r"([\w(), ]+) has (.+) instructions(?:, (\w) = (\d) \.\. (\d))?")


@pytest.mark.parametrize("path", HEADERS, ids=lambda path: path.name)
def test_numbers_in_comments_are_true(path: Path) -> None:
    core = "m7" if path.stem.endswith("_m7") else "m4"
    for key, text in block(path):
        counted = COUNTED.fullmatch(text)
        if key != "check":
            continue
        if counted is None:
            assert evaluate(text, {}) == 1, f"{path.name}: {text}"
            continue
        macro, promised, name, low, high = counted.groups()
        for number in range(int(low or 0), int(high or 0) + 1):
            wanted = evaluate(promised, {name: number} if name else {})
            one = macro if name is None else re.sub(rf"{name}\b", str(number), macro)
            got = instructions(path, one, core)
            assert got == wanted, f"{path.name}: {text}, {name} = {number}: {got}"


@pytest.mark.parametrize("path", ASSEMBLY, ids=lambda path: path.name)
def test_assembly_has_a_data_sheet_and_a_twin(path: Path) -> None:
    sheet = dict(block(path))
    assert {"twin", "registers", "flags"} <= set(sheet)
    named = re.findall(r"nn_\w+\.h", sheet["twin"])
    assert named and all((path.parent / name).is_file() for name in named)


def test_a_wrong_contract_is_noticed(lowered: dict[str, list[Draft]]) -> None:
    """Of the scratch, the order and the checks: what the tests above compare can differ."""
    draft = lowered["dense_conv"][0]
    values = numbers(draft.args)
    promised = contract("dense_conv")
    wider = {**values, "kernel_w": values["kernel_w"] + 4}
    assert draft.scratch_bytes != promised.scratch_bytes(wider)
    order, known = promised.aliasing[0], promised.known(values)
    out_bytes, in_bytes = (promised.elements(name, values) for name in ("out", "in"))
    later = {**known, "pad_top": known["pad_top"] + 1}
    assert order.overlap(known, out_bytes, in_bytes) != order.overlap(later, out_bytes, in_bytes)
    assert evaluate("2^22 * 128 * 2 < 2^31", {}) == 1 and evaluate("2^31 < 2^31", {}) == 0
    with pytest.raises(ValueError, match="__import__"):
        evaluate("__import__.x", {})
    assert set(SHAPE) <= set(values)
