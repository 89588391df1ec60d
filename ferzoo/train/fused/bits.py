"""bfloat16 in numba, which does not know it: 16 bits of memory, float32 where it computes."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["OPTIONS", "narrow", "widen"]

_I32, _F32 = ir.IntType(32), ir.FloatType()


@intrinsic
def widen(typingctx: Any, value: Any) -> Any:
    """float32 of a bfloat16."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.shl(builder.zext(args[0], _I32), _I32(16))
        return builder.bitcast(bits, _F32)

    return types.float32(types.uint16), build


@intrinsic
def narrow(typingctx: Any, value: Any) -> Any:
    """bfloat16 of a float32, to the nearest, ties to even."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], _I32)
        odd = builder.and_(builder.lshr(bits, _I32(16)), _I32(1))
        rounded = builder.add(builder.add(bits, _I32(0x7FFF)), odd)
        return builder.trunc(builder.lshr(rounded, _I32(16)), ir.IntType(16))

    return types.uint16(types.float32), build


#: How every loop is compiled; not kept on disk, as numba's cache would not see a change of this file.
OPTIONS: dict[str, Any] = {"fastmath": True, "nogil": True, "error_model": "numpy", "boundscheck": False}
