"""Capstone instruction ids, grouped the way the pipeline models treat them."""

from __future__ import annotations

from capstone import arm as cs_arm


def _ids(names: str) -> frozenset[int]:
    return frozenset(getattr(cs_arm, f"ARM_INS_{name}") for name in names.split())


LONG_ACCUMULATE = _ids(
    "SMLAL SMLALBB SMLALBT SMLALTB SMLALTT SMLALD SMLALDX SMLSLD SMLSLDX UMLAL UMAAL"
)
"""64-bit accumulations: the first two operands are read and written."""

LONG_MULTIPLY = LONG_ACCUMULATE | _ids("SMULL UMULL")
"""The first two operands are destinations."""

_MULTIPLY = LONG_MULTIPLY | _ids(
    "MUL MLA MLS SMLABB SMLABT SMLATB SMLATT SMLAD SMLADX SMLAWB SMLAWT SMLSD SMLSDX SMMLA SMMLAR "
    "SMMLS SMMLSR SMMUL SMMULR SMUAD SMUADX SMULBB SMULBT SMULTB SMULTT SMULWB SMULWT SMUSD SMUSDX"
)

_DSP = _ids(
    "CLZ SEL SXTB16 UXTB16 SSAT SSAT16 USAT USAT16 QADD QADD16 QADD8 QASX QDADD QDSUB QSAX QSUB "
    "QSUB16 QSUB8 SADD16 SADD8 SASX SSAX SSUB16 SSUB8 SHADD16 SHADD8 SHASX SHSAX SHSUB16 SHSUB8 "
    "UADD16 UADD8 UASX USAX USUB16 USUB8 UHADD16 UHADD8 UHASX UHSAX UHSUB16 UHSUB8 UQADD16 UQADD8 "
    "UQASX UQSAX UQSUB16 UQSUB8 USAD8 USADA8"
)

_BITFIELD = _ids(
    "BFC BFI SBFX UBFX REV REV16 REVSH RBIT PKHBT PKHTB SXTAB SXTAB16 SXTAH UXTAB UXTAB16 UXTAH"
)

FP_MULTIPLE = _ids("VLDMIA VLDMDB VSTMIA VSTMDB VPUSH VPOP")

STACK = _ids("PUSH POP VPUSH VPOP")

KINDS: dict[str, frozenset[int]] = {
    "MULTIPLY": _MULTIPLY,
    "DSP": _DSP,
    "BITFIELD": _BITFIELD,
    "SHIFT": _ids("ASR LSL LSR ROR RRX SXTB SXTH UXTB UXTH"),
    "DIVIDE": _ids("SDIV UDIV"),
    "LOAD": _ids("LDR LDRB LDRH LDRSB LDRSH LDREX LDREXB LDREXH VLDR"),
    "STORE": _ids("STR STRB STRH STREX STREXB STREXH VSTR"),
    "LOAD_MULTIPLE": _ids("LDRD LDM LDMDB POP VLDMIA VLDMDB VPOP"),
    "STORE_MULTIPLE": _ids("STRD STM STMDB PUSH VSTMIA VSTMDB VPUSH"),
    "BRANCH": _ids("B BL BX BLX CBZ CBNZ"),
    "TABLE_BRANCH": _ids("TBB TBH"),
    "IT": _ids("IT"),
    "FP_MAC": _ids("VMLA VMLS VNMLA VNMLS VFMA VFMS VFNMA VFNMS"),
    "FP_DIVIDE": _ids("VDIV VSQRT"),
    "FP_MOVE": _ids("VMOV VMRS VMSR FMSTAT"),
    "SYSTEM": _ids("DMB DSB ISB MRS MSR CPS CLREX WFE WFI SEV YIELD PLD PLI BKPT SVC UDF"),
}
"""Kind name to instruction ids; the sets are disjoint. Ids in none of them are plain ALU."""

READ_FLAGS = _ids("ADC SBC RRX VSELEQ VSELGE VSELGT VSELVS VMRS FMSTAT")
"""Unconditional instructions that depend on the condition flags."""

READ_DESTINATION = _ids("BFI BFC MOVT VMLA VMLS VNMLA VNMLS VFMA VFMS VFNMA VFNMS")
"""Read the register they write."""

COMPARES = _ids("CMP CMN TST TEQ VCMP VCMPE VMRS FMSTAT")
"""Write the flags only (VMRS as compilers use it: to copy the float flags)."""

FORWARDING = _ids("ADD ADDW SUB SUBW MOV MOVW MOVS")
"""On the M7 the younger slot can use the result in the same cycle."""

BYTE_ACCESS = _ids("LDRB LDRSB LDREXB STRB STREXB")
HALF_ACCESS = _ids("LDRH LDRSH LDREXH STRH STREXH")
