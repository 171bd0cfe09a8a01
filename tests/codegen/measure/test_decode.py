"""The facts taken from disassembly, instruction by instruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from codegen.measure.pipelines.decode import FLAGS, SP, Instruction, Kind, decode

Assemble = Callable[[str], tuple[Instruction, ...]]

FACTS: list[tuple[str, dict[str, Any]]] = [
    ("adds r0, r1, r2", {"kind": Kind.ALU, "reads": {1, 2}, "writes": {0, FLAGS}, "size": 2}),
    ("add r0, r1, r2, lsl #3", {"reads": {1, 2}, "shifted": {2}, "forwards": False}),
    ("adds r0, #1", {"reads": {0}, "writes": {0, FLAGS}, "forwards": True}),
    ("cmp r3, r4", {"kind": Kind.ALU, "reads": {3, 4}, "writes": {FLAGS}}),
    ("movt r0, #3", {"reads": {0}, "writes": {0}}),
    ("lsls r0, r1, #2", {"kind": Kind.SHIFT, "reads": {1}}),
    ("sxtb16 r0, r1, ror #8", {"kind": Kind.DSP, "reads": {1}, "writes": {0}}),
    ("sxtab16 r0, r1, r2", {"kind": Kind.BITFIELD, "reads": {1, 2}, "writes": {0}}),
    ("pkhbt r0, r1, r2, lsl #16", {"kind": Kind.BITFIELD, "reads": {1, 2}, "writes": {0}}),
    ("ssat r0, #8, r1, asr #2", {"kind": Kind.DSP, "reads": {1}, "writes": {0}}),
    ("bfi r0, r1, #2, #3", {"kind": Kind.BITFIELD, "reads": {0, 1}, "writes": {0}}),
    (
        "smlad r0, r1, r2, r3",
        {"kind": Kind.MULTIPLY, "reads": {1, 2, 3}, "writes": {0}, "accumulators": {3}},
    ),
    (
        "smlald r0, r1, r2, r3",
        {"reads": {0, 1, 2, 3}, "writes": {0, 1}, "accumulators": {0, 1}},
    ),
    ("smull r0, r1, r2, r3", {"reads": {2, 3}, "writes": {0, 1}, "accumulators": set()}),
    (
        "ldr r0, [r1], #4",
        {"kind": Kind.LOAD, "base": 1, "offset": 0, "writeback": True, "writes": {0, 1}},
    ),
    ("ldr r0, [r1, #4]!", {"base": 1, "offset": 4, "writeback": True, "writes": {0, 1}}),
    ("ldrh r0, [r1, r2]", {"indexed": True, "address_reads": {1, 2}, "access_bytes": 2}),
    (
        "strb r0, [r1, #3]",
        {"kind": Kind.STORE, "data_reads": {0}, "address_reads": {1}, "access_bytes": 1},
    ),
    (
        "ldrd r2, r3, [r4], #8",
        {"kind": Kind.LOAD_MULTIPLE, "words": 2, "writes": {2, 3, 4}, "reads": {4}},
    ),
    (
        "push {r4, r5, lr}",
        {"kind": Kind.STORE_MULTIPLE, "words": 3, "base": SP, "data_reads": {4, 5, 14}},
    ),
    ("pop {r4, pc}", {"kind": Kind.LOAD_MULTIPLE, "words": 2, "writes_pc": True}),
    ("vldmia r0!, {s1-s4}", {"words": 4, "writes": {0, 33, 34, 35, 36}, "is_float": True}),
    ("vpush {d8-d9}", {"words": 4, "writes": {SP}}),
    (
        "vfma.f32 s0, s1, s2",
        {"kind": Kind.FP_MAC, "reads": {32, 33, 34}, "accumulators": {32}},
    ),
    ("vldr d0, [r1]", {"kind": Kind.LOAD, "access_bytes": 8, "writes": {32, 33}}),
    ("vmrs apsr_nzcv, fpscr", {"kind": Kind.FP_MOVE, "writes": {FLAGS}}),
    ("udiv r0, r1, r2", {"kind": Kind.DIVIDE}),
    ("tbb [pc, r0]", {"kind": Kind.TABLE_BRANCH, "writes_pc": True}),
    ("ldr pc, [r0]", {"kind": Kind.LOAD, "writes_pc": True, "writes": set()}),
    ("mov pc, r0", {"kind": Kind.BRANCH, "writes_pc": True}),
    ("bx lr", {"kind": Kind.BRANCH, "conditional": False, "target": None}),
    ("cbz r0, .+8", {"kind": Kind.BRANCH, "conditional": True, "reads": {0}, "target": 8}),
    ("bls .+8", {"kind": Kind.BRANCH, "conditional": True, "target": 8, "writes": set()}),
    ("bl .+8", {"kind": Kind.BRANCH, "conditional": False, "target": 8, "writes": {14}}),
    ("blt .+8", {"kind": Kind.BRANCH, "conditional": True, "writes": set()}),
    ("bics r0, r1", {"kind": Kind.ALU, "writes_pc": False, "conditional": False}),
    ("nop", {"kind": Kind.ALU, "reads": set(), "writes": set()}),
    ("dmb", {"kind": Kind.SYSTEM}),
]


@pytest.mark.parametrize(("text", "facts"), FACTS, ids=[text for text, _ in FACTS])
def test_facts(assemble: Assemble, text: str, facts: dict[str, Any]) -> None:
    (instruction,) = assemble(text)
    for name, expected in facts.items():
        assert getattr(instruction, name) == expected, name


def test_it_block(assemble: Assemble) -> None:
    it, add, load, after = assemble("itt ne; addne r0, r1, r2; ldrne r3, [r4]; adds r0, #1")
    assert it.kind is Kind.IT
    assert add.conditional and FLAGS in add.reads
    assert load.conditional
    assert not after.conditional


def test_unknown_encodings_keep_their_size() -> None:
    # 0xde00 is a permanently undefined 16-bit encoding, 0xf7f0a000 a 32-bit one.
    code = bytes.fromhex("0020") + bytes.fromhex("f0f700a0") + bytes.fromhex("0120")
    decoded = decode(code, 0x100)
    assert [i.address for i in decoded] == [0x100, 0x102, 0x106]
    assert sum(i.size for i in decoded) == len(code)


def test_truncated_code_is_an_error() -> None:
    with pytest.raises(ValueError, match="ends inside an instruction"):
        decode(bytes.fromhex("00eb"), 0)
