"""A vector type for numba: one 512-bit register of numbers, with the few operations that decoders need.

    @njit
    def doubled(a):                       # a: (rows, 64) int8, C-contiguous
        for row in range(len(a)):
            x = load(a, row)
            store(a, row, x + x)

Left to LLVM's vectoriser, the loops of `numba_decoder` ran 3 to 50 times slower. A comparison gives a
mask: a uint64 with one bit per lane. Numba's cache on disk watches only the file of a cached function: after
a change here remove harness/kit/ldpc/__pycache__.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

REGISTER = 512  # bits; where the machine's own registers are shorter, LLVM uses several
Emit = Callable[..., Any]


class Lanes(types.Type):
    """As many numbers of one type as a register holds."""

    def __init__(self, number: Any) -> None:
        self.number = number
        self.count = REGISTER // number.bitwidth
        super().__init__(name=f"Lanes({number})")


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """Lanes are an LLVM vector."""

    def __init__(self, manager: Any, lanes: Lanes) -> None:
        number = manager[lanes.number].get_value_type()
        super().__init__(manager, lanes, ir.VectorType(number, lanes.count))


def compiled(typing: Callable[..., Any]) -> Any:
    """Numba's `intrinsic`; its own annotation would have callers pass the typing context."""
    return intrinsic(typing)


def is_float(value: Any) -> bool:
    return isinstance(value.type.element, ir.FloatType)


def each(vector: Any, value: float) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def row_pointer(context: Any, builder: Any, signature: Any, values: Any, lanes: Lanes) -> Any:
    """The address of row `values[1]` of the C-contiguous array `values[0]` (rows, lanes.count)."""
    array = context.make_array(signature.args[0])(context, builder, values[0])
    row = context.cast(builder, values[1], signature.args[1], types.intp)
    start = builder.gep(array.data, [builder.mul(row, ir.Constant(row.type, lanes.count))])
    return builder.bitcast(start, context.get_value_type(lanes).as_pointer())


@compiled
def load(typing_context: Any, array: Any, row: Any) -> Any:
    """Row `row` of a C-contiguous array (rows, lanes)."""
    lanes = Lanes(array.dtype)

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(row_pointer(context, builder, signature, values, lanes), align=1)

    return lanes(array, row), emit


@compiled
def store(typing_context: Any, array: Any, row: Any, value: Any) -> Any:
    """Write lanes to row `row` of a C-contiguous array (rows, lanes)."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[2], row_pointer(context, builder, signature, values, value), align=1)
        return context.get_dummy_value()

    return types.void(array, row, value), emit


@compiled
def fill(typing_context: Any, like: Any, value: Any) -> Any:
    """`value` in every lane, in the number type of the lanes `like`."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        vector = context.get_value_type(like)
        number = context.cast(builder, values[1], signature.args[1], like.number)
        zero = ir.Constant(ir.IntType(32), 0)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, zero)
        return builder.shuffle_vector(first, first, each(ir.VectorType(zero.type, vector.count), 0))

    return like(like, value), emit


@compiled
def choose(typing_context: Any, mask: Any, yes: Any, no: Any) -> Any:
    """Per lane `yes` where its bit of `mask` is set, else `no`."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        bits = values[0] if yes.count == 64 else builder.trunc(values[0], ir.IntType(yes.count))
        return builder.select(builder.bitcast(bits, ir.VectorType(ir.IntType(1), yes.count)), *values[1:])

    return yes(types.uint64, yes, no), emit


def comparing(sign: str) -> Any:
    """lanes, lanes -> mask of the lanes where the comparison holds."""

    @compiled
    def compare(typing_context: Any, a: Any, b: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            relation = builder.fcmp_ordered if is_float(values[0]) else builder.icmp_signed
            bits = builder.bitcast(relation(sign, *values), ir.IntType(a.count))
            return bits if a.count == 64 else builder.zext(bits, ir.IntType(64))

        return types.uint64(a, b), emit

    return compare


def combining(emit_lanes: Emit) -> Any:
    """lanes, lanes -> lanes, by the instructions that emit_lanes(builder, a, b) adds."""

    @compiled
    def combine(typing_context: Any, a: Any, b: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return emit_lanes(builder, *values)

        return a(a, b), emit

    return combine


def arithmetic(integer: str, floating: str) -> Any:
    """The builder's instruction for whole numbers, or its one for floats, which may fuse with others."""

    def emit(builder: Any, a: Any, b: Any) -> Any:
        if is_float(a):
            return getattr(builder, floating)(a, b, flags=["contract"])
        return getattr(builder, integer)(a, b)

    return combining(emit)


def selecting(sign: str) -> Any:
    """a where `a sign b`, else b."""

    def emit(builder: Any, a: Any, b: Any) -> Any:
        relation = builder.fcmp_ordered if is_float(a) else builder.icmp_signed
        return builder.select(relation(sign, a, b), a, b)

    return combining(emit)


def emit_256ths(builder: Any, a: Any, factor: Any) -> Any:
    wide = ir.VectorType(ir.IntType(2 * a.type.element.width), a.type.count)
    product = builder.mul(builder.zext(a, wide), builder.zext(factor, wide))
    return builder.trunc(builder.lshr(builder.add(product, each(wide, 128)), each(wide, 8)), a.type)


def overload_operator(symbol: Callable, combine: Any) -> None:
    """Let two lanes of one type be combined by an operator of Python."""

    def operate(a: Any, b: Any) -> Any:
        return combine(a, b)

    @overload(symbol)
    def offer(a: Any, b: Any) -> Callable | None:
        return operate if isinstance(a, Lanes) and a == b else None


smaller, larger = selecting("<"), selecting(">")
below, equal = comparing("<"), comparing("==")
times_256ths = combining(emit_256ths)  # whole numbers >= 0: a · factor/256, to the nearest
overload_operator(operator.add, arithmetic("add", "fadd"))
overload_operator(operator.sub, arithmetic("sub", "fsub"))
overload_operator(operator.mul, arithmetic("mul", "fmul"))
overload_operator(operator.truediv, arithmetic("sdiv", "fdiv"))
overload_operator(operator.xor, combining(lambda builder, a, b: builder.xor(a, b)))
