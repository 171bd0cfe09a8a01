"""Disassemble Thumb code into the few facts a pipeline model needs of each instruction.

Capstone supplies instruction ids, operands and condition codes. Its register lists miss sources of
some DSP instructions (SXTAB16, PKHBT, SSAT) and destinations of VLDM, so sources and destinations
are taken from the operands as well. Classes come from instruction ids, never from mnemonic text:
``BLS`` is a conditional branch and ``BL`` a call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache
from typing import Any

import capstone
from capstone import arm as cs_arm

from codegen.measure.pipelines import instruction_sets as sets

FLAGS = 16
"""Register number of the condition flags; 0..15 are r0..pc, 32..63 are s0..s31."""
FIRST_FLOAT = 32
SP, LR, PC = 13, 14, 15

Registers = frozenset[int]
_NONE: Registers = frozenset()


class Kind(Enum):
    """Which unit executes an instruction, as far as either core's model distinguishes."""

    ALU = auto()
    SHIFT = auto()
    """Shifts and plain extensions (SXTB, UXTH)."""
    DSP = auto()
    """SXTB16, SSAT, QADD, SADD8, SEL, CLZ: non-multiply DSP."""
    BITFIELD = auto()
    """UBFX, BFI, REV, RBIT, PKHBT, SXTAB16: DSP that uses the shifter."""
    MULTIPLY = auto()
    DIVIDE = auto()
    LOAD = auto()
    STORE = auto()
    LOAD_MULTIPLE = auto()
    """LDRD, LDM, POP and their floating-point forms."""
    STORE_MULTIPLE = auto()
    """STRD, STM, PUSH and their floating-point forms."""
    BRANCH = auto()
    TABLE_BRANCH = auto()
    IT = auto()
    FP_ALU = auto()
    """VADD, VMUL, VCVT, VCMP."""
    FP_MAC = auto()
    FP_DIVIDE = auto()
    """VDIV, VSQRT."""
    FP_MOVE = auto()
    """VMOV in all directions, VMRS, VMSR."""
    SYSTEM = auto()
    """Barriers, MRS, MSR, waiting, PLD."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, reduced to what the pricers look at."""

    address: int
    size: int
    """2 or 4 bytes."""
    text: str
    kind: Kind
    reads: Registers
    """Every source register: addresses, data, accumulators, shifted operands."""
    writes: Registers
    address_reads: Registers = _NONE
    data_reads: Registers = _NONE
    """Registers a store writes to memory."""
    accumulators: Registers = _NONE
    """Sources of a multiply-accumulate that the adder takes, after the multiplier."""
    shifted: Registers = _NONE
    """Sources that pass through the barrel shifter first."""
    base: int | None = None
    """Base register of a load or store."""
    offset: int = 0
    """Distance in bytes from the base to the access; 0 when post-indexed."""
    indexed: bool = False
    """The address is the sum of two registers."""
    writeback: bool = False
    access_bytes: int = 0
    """Width of a single load or store: 1, 2, 4 or 8."""
    words: int = 0
    """Words an LDRD, LDM, POP or store of that family moves."""
    is_float: bool = False
    """Moves or computes floating-point registers."""
    forwards: bool = False
    """ADD, SUB or MOV without a shift: on the M7 its result reaches the younger slot at once."""
    conditional: bool = False
    """A conditional branch, or an instruction inside an IT block."""
    writes_pc: bool = False
    target: int | None = None
    """Address a direct branch goes to."""

    @property
    def end(self) -> int:
        """Return the address of the next instruction in memory."""
        return self.address + self.size


@lru_cache(maxsize=1)
def _disassembler() -> Any:
    engine = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    engine.detail = True
    return engine


@lru_cache(maxsize=65536)
def decode(code: bytes, address: int) -> tuple[Instruction, ...]:
    """Disassemble ``code``, which starts at ``address``, to its last byte.

    Halfwords capstone does not know become SYSTEM instructions of the right size, so a block with
    an exotic instruction still has a price. Only an odd last byte or half of an instruction is an
    error.

    Raises:
        ValueError: ``code`` ends inside an instruction.
    """
    result: list[Instruction] = []
    at = 0
    while at < len(code):
        for raw in _disassembler().disasm(code[at:], address + at):
            result.append(_instruction(raw))
            at += raw.size
        if at < len(code):
            size = 4 if code[min(at + 1, len(code) - 1)] >= 0xE8 else 2
            if at + size > len(code):
                raise ValueError(f"code at {address:#x} ends inside an instruction")
            result.append(_unknown(address + at, size))
            at += size
    return tuple(result)


def _unknown(address: int, size: int) -> Instruction:
    return Instruction(address, size, "(unknown)", Kind.SYSTEM, _NONE, _NONE)


def _numbers(register: int) -> tuple[int, ...]:
    """Map a capstone register to this module's numbers; a double register is two singles."""
    if cs_arm.ARM_REG_R0 <= register <= cs_arm.ARM_REG_R12:
        return (register - cs_arm.ARM_REG_R0,)
    if cs_arm.ARM_REG_S0 <= register <= cs_arm.ARM_REG_S31:
        return (FIRST_FLOAT + register - cs_arm.ARM_REG_S0,)
    if cs_arm.ARM_REG_D0 <= register <= cs_arm.ARM_REG_D15:
        single = FIRST_FLOAT + 2 * (register - cs_arm.ARM_REG_D0)
        return (single, single + 1)
    fixed = {
        cs_arm.ARM_REG_SP: SP,
        cs_arm.ARM_REG_LR: LR,
        cs_arm.ARM_REG_PC: PC,
        cs_arm.ARM_REG_CPSR: FLAGS,
        cs_arm.ARM_REG_APSR_NZCV: FLAGS,
        cs_arm.ARM_REG_FPSCR_NZCV: FLAGS,
    }
    return (fixed[register],) if register in fixed else ()


def _set(registers: Any) -> Registers:
    return frozenset(n for register in registers for n in _numbers(register))


def _kind(raw: Any) -> Kind:
    """Classify by instruction id; anything unlisted that is not a branch counts as ALU."""
    for kind_name, ids in sets.KINDS.items():
        if raw.id in ids:
            return Kind[kind_name]
    return Kind.FP_ALU if raw.mnemonic.startswith("v") else Kind.ALU


def _instruction(raw: Any) -> Instruction:
    kind = _kind(raw)
    read_list, write_list = raw.regs_access()
    operands = list(raw.operands)
    plain = [o for o in operands if o.type == cs_arm.ARM_OP_REG]
    reads = _set(read_list) | _operand_sources(raw, kind, operands)
    writes = _set(write_list) | _destinations(raw, kind, plain)
    conditional = raw.cc not in (cs_arm.ARM_CC_AL, cs_arm.ARM_CC_INVALID) and kind is not Kind.IT
    if raw.id in (cs_arm.ARM_INS_CBZ, cs_arm.ARM_INS_CBNZ):
        conditional = True
    elif conditional or raw.id in sets.READ_FLAGS:
        reads |= {FLAGS}
    if raw.update_flags and raw.id not in sets.READ_FLAGS:
        writes |= {FLAGS}
    shifted = _set(o.reg for o in plain if o.shift.type != 0)
    if kind in (Kind.DSP, Kind.BITFIELD):
        shifted = _NONE
    writes_pc = kind in (Kind.BRANCH, Kind.TABLE_BRANCH) or PC in writes
    result = Instruction(
        address=raw.address,
        size=raw.size,
        text=f"{raw.mnemonic} {raw.op_str}".strip(),
        kind=Kind.BRANCH if kind is Kind.ALU and writes_pc else kind,
        reads=reads - {PC},
        writes=writes - {PC},
        accumulators=_accumulators(raw, kind, operands),
        shifted=shifted,
        is_float=any(n >= FIRST_FLOAT for n in reads | writes),
        forwards=raw.id in sets.FORWARDING and not shifted and not writes_pc,
        conditional=conditional,
        writes_pc=writes_pc,
        target=_target(raw, operands),
    )
    return _with_memory(result, raw, operands)


def _operand_sources(raw: Any, kind: Kind, operands: list[Any]) -> Registers:
    """Return sources found in the operands that capstone's own list may lack."""
    if kind in (Kind.LOAD, Kind.STORE, Kind.LOAD_MULTIPLE, Kind.STORE_MULTIPLE):
        memory = [o for o in operands if o.type == cs_arm.ARM_OP_MEM]
        return _set(r for o in memory for r in (o.mem.base, o.mem.index))
    first_source = 2 if raw.id in sets.LONG_MULTIPLY else 1
    registers = [o.reg for o in operands[first_source:] if o.type == cs_arm.ARM_OP_REG]
    if raw.id in sets.LONG_ACCUMULATE:
        registers += [o.reg for o in operands[:2]]
    if raw.id in sets.READ_DESTINATION:
        registers.append(operands[0].reg)
    return _set(registers)


def _destinations(raw: Any, kind: Kind, plain: list[Any]) -> Registers:
    if kind is Kind.LOAD_MULTIPLE and raw.id in sets.FP_MULTIPLE:
        return _set(o.reg for o in plain) & frozenset(range(FIRST_FLOAT, FIRST_FLOAT + 32))
    if raw.id in sets.LONG_MULTIPLY:
        return _set(o.reg for o in plain[:2])
    if raw.id in sets.COMPARES:
        return frozenset({FLAGS})
    return _NONE


def _accumulators(raw: Any, kind: Kind, operands: list[Any]) -> Registers:
    if kind is Kind.FP_MAC:
        return _set([operands[0].reg])
    if kind is not Kind.MULTIPLY:
        return _NONE
    if raw.id in sets.LONG_ACCUMULATE:
        return _set(o.reg for o in operands[:2])
    if raw.id not in sets.LONG_MULTIPLY and len(operands) == 4:
        return _set([operands[3].reg])
    return _NONE


def _target(raw: Any, operands: list[Any]) -> int | None:
    direct = (
        cs_arm.ARM_INS_B, cs_arm.ARM_INS_BL, cs_arm.ARM_INS_CBZ, cs_arm.ARM_INS_CBNZ,
    )  # fmt: skip
    if raw.id not in direct:
        return None
    return int(operands[-1].imm) & 0xFFFFFFFE


def _with_memory(instruction: Instruction, raw: Any, operands: list[Any]) -> Instruction:
    """Add the addressing facts of loads and stores."""
    kind = instruction.kind
    memory = [o for o in operands if o.type == cs_arm.ARM_OP_MEM]
    if kind in (Kind.LOAD, Kind.STORE) and memory:
        access = memory[0]
        post_indexed = raw.writeback and len(operands) > operands.index(access) + 1
        base = _numbers(access.mem.base)
        address_reads = _set([access.mem.base, access.mem.index]) - {PC}
        return replace(
            instruction,
            base=base[0] if base else None,
            offset=0 if post_indexed else int(access.mem.disp),
            indexed=access.mem.index != 0,
            address_reads=address_reads,
            data_reads=_set([operands[0].reg]) if kind is Kind.STORE else _NONE,
            writeback=bool(raw.writeback),
            access_bytes=_access_bytes(raw, instruction),
        )
    if kind in (Kind.LOAD_MULTIPLE, Kind.STORE_MULTIPLE):
        return _with_register_list(instruction, raw, operands, memory)
    return instruction


def _access_bytes(raw: Any, instruction: Instruction) -> int:
    if raw.id in sets.BYTE_ACCESS:
        return 1
    if raw.id in sets.HALF_ACCESS:
        return 2
    moved = instruction.writes if instruction.kind is Kind.LOAD else instruction.reads
    doubles = sum(1 for n in moved if n >= FIRST_FLOAT)
    return 8 if doubles == 2 else 4


def _with_register_list(
    instruction: Instruction, raw: Any, operands: list[Any], memory: list[Any]
) -> Instruction:
    """Count the words of LDRD, LDM, PUSH and their kin, and find the base."""
    if memory:  # LDRD, STRD
        base = _numbers(memory[0].mem.base)
        moved = _set(o.reg for o in operands[:2])
    elif raw.id in sets.STACK:
        base = (SP,)
        moved = _set(o.reg for o in operands)
    else:
        base = _numbers(operands[0].reg)
        moved = _set(o.reg for o in operands[1:])
    load = instruction.kind is Kind.LOAD_MULTIPLE
    writeback = bool(raw.writeback) or raw.id in sets.STACK
    written = (moved - {PC} if load else _NONE) | (frozenset(base) if writeback else _NONE)
    read = frozenset(base) - {PC} | (_NONE if load else moved)
    return replace(
        instruction,
        reads=read | ({FLAGS} if instruction.conditional else _NONE),
        writes=written,
        base=base[0],
        address_reads=frozenset(base) - {PC},
        data_reads=_NONE if load else moved,
        writeback=writeback,
        words=len(moved),
        is_float=any(n >= FIRST_FLOAT for n in moved),
    )
