"""Instructions that numba has no words for, and the vector loops of 3- and 4-channel images.

These loops are written in LLVM's own vector types, because no compiler finds them in scalar code: a
pixel and its right neighbour are one 8-byte load, shuffled so that multiply-and-add works on
neighbours. LLVM lowers these types to whatever the processor has, and they hold integers and IEEE
single precision without contraction, so every processor gives the same bytes.

Everything here takes addresses and trusts them: whoever calls vouches for what lies there.
"""

# ruff: noqa: ARG001, PLR0913  (numba reads the arguments of intrinsics by name)

from typing import Any

from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.core import types

from pipelines.compiled import intrinsic

cgutils: Any = _cgutils  # half of it has types

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_V32I8, _V32I16, _V32I32 = (ir.VectorType(t, 32) for t in (_I8, _I16, _I32))
_V16I8, _V16I32, _V16F32 = (ir.VectorType(t, 16) for t in (_I8, _I32, ir.FloatType()))
_V4I32 = ir.VectorType(_I32, 4)


@intrinsic
def address_of(_context: Any, array: Any) -> Any:
    """The address of an array's first element."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(view.data, context.get_value_type(types.intp))

    return types.intp(array), generate


@intrinsic
def load_byte(_context: Any, address: Any, index: Any) -> Any:
    """Byte ``index`` from an address on, as a number."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.load(_at(builder, args, _I8), align=1), _I32)

    return types.int32(types.intp, types.intp), generate


@intrinsic
def load_pair(_context: Any, address: Any) -> Any:
    """Two neighbouring bytes as one number, the first in the low bits.

    On a big-endian processor they would change places; there are none that numba compiles for.
    """

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _I16.as_pointer())
        return builder.zext(builder.load(pointer, align=1), _I32)

    return types.int32(types.intp), generate


@intrinsic
def load_int32(_context: Any, address: Any, index: Any) -> Any:
    """Integer ``index`` of an int32 array that begins at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(_at(builder, args, _I32), align=4)

    return types.int32(types.intp, types.intp), generate


@intrinsic
def store_byte(_context: Any, address: Any, index: Any, value: Any) -> Any:
    """Writes byte ``index`` from an address on."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        builder.store(builder.trunc(args[2], _I8), _at(builder, args, _I8), align=1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.int32), generate


@intrinsic
def store_int32(_context: Any, address: Any, index: Any, value: Any) -> Any:
    """Writes integer ``index`` of an int32 array that begins at an address."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        builder.store(args[2], _at(builder, args, _I32), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.int32), generate


@intrinsic
def prefetch(_context: Any, address: Any) -> Any:
    """Asks for a cache line that will be read soon; never faults."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = _I8.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        read, second_level, is_data = (ir.Constant(_I32, value) for value in (0, 2, 1))
        builder.call(function, [builder.inttoptr(args[0], pointer), read, second_level, is_data])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@intrinsic
def copy_bytes(_context: Any, target: Any, source: Any, count: Any) -> Any:
    """Copies ``count`` bytes from one address to another; they must not overlap."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = _I8.as_pointer()
        copy = builder.module.declare_intrinsic("llvm.memcpy", [pointer, pointer, _I64])
        places = [builder.inttoptr(address, pointer) for address in args[:2]]
        builder.call(copy, [*places, args[2], ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


def _at(builder: Any, args: Any, kind: Any) -> Any:
    """The pointer to element ``args[1]`` from address ``args[0]`` on."""
    return builder.gep(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
    order = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, order)


def _load_4(builder: Any, array: Any, index: Any) -> Any:
    """Four int32 of an array, as a vector."""
    pointer = builder.gep(builder.inttoptr(array, _I32.as_pointer()), [index])
    return builder.load(builder.bitcast(pointer, _V4I32.as_pointer()), align=4)


def _row_sum(channels: int, builder: Any, row: Any, spots: Any, weights: Any) -> Any:
    """The sums left · w + right · w' for each channel of four pixels, from four 8-byte loads."""
    pixels = ir.Constant(ir.VectorType(_I64, 4), ir.Undefined)
    for lane in range(4):
        spot = builder.extract_element(spots, ir.Constant(_I32, lane))
        address = builder.add(row, builder.sext(spot, row.type))
        loaded = builder.load(builder.inttoptr(address, _I64.as_pointer()), align=1)
        pixels = builder.insert_element(pixels, loaded, ir.Constant(_I32, lane))
    paired = [
        8 * pixel + (min(c, channels - 1) + channels * right)
        for pixel in range(4) for c in range(4) for right in range(2)
    ]  # fmt: skip
    shuffled = builder.shuffle_vector(
        builder.bitcast(pixels, _V32I8), ir.Constant(_V32I8, ir.Undefined),
        ir.Constant(_V32I32, paired),
    )  # fmt: skip
    spread = builder.shuffle_vector(
        weights, ir.Constant(_V4I32, ir.Undefined),
        ir.Constant(_V16I32, [pixel for pixel in range(4) for _ in range(4)]),
    )  # fmt: skip
    product = builder.mul(
        builder.zext(shuffled, _V32I32), builder.sext(builder.bitcast(spread, _V32I16), _V32I32)
    )
    nothing = ir.Constant(_V32I32, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(product, nothing, ir.Constant(_V16I32, list(range(first, 32, 2))))
        for first in (0, 1)
    )
    return builder.add(even, odd)


def _emit_groups(channels: int, builder: Any, args: Any) -> None:
    """Emits the loop over groups of four 3- or 4-channel pixels (see `blend_groups_3`)."""
    base, offsets, upper, lower, groups, stride, *tone, out, extremes = args
    gains, biases, lows, highs = (_splat(builder, part, _V16F32) for part in tone)
    smallest = cgutils.alloca_once_value(builder, ir.Constant(_V16I32, [2**31 - 1] * 16))
    largest = cgutils.alloca_once_value(builder, ir.Constant(_V16I32, [-(2**31)] * 16))
    order = [4 * pixel + c for pixel in range(4) for c in range(channels)]
    order += [15] * (16 - len(order))
    with cgutils.for_range(builder, groups) as loop:
        first = builder.mul(loop.index, ir.Constant(loop.index.type, 4))
        spots = _load_4(builder, offsets, first)
        below = builder.add(base, stride)
        total = builder.add(
            _row_sum(channels, builder, base, spots, _load_4(builder, upper, first)),
            _row_sum(channels, builder, below, spots, _load_4(builder, lower, first)),
        )
        for cell, comparison in ((smallest, "<"), (largest, ">")):
            seen = builder.load(cell)
            better = builder.icmp_signed(comparison, total, seen)
            builder.store(builder.select(better, total, seen), cell)
        value = builder.sitofp(total, _V16F32)
        value = builder.fadd(builder.fmul(value, gains), biases)
        value = builder.select(builder.fcmp_ordered("<", value, lows), lows, value)
        value = builder.select(builder.fcmp_ordered(">", value, highs), highs, value)
        level = builder.trunc(builder.fptosi(value, _V16I32), _V16I8)
        level = builder.shuffle_vector(
            level, ir.Constant(_V16I8, ir.Undefined), ir.Constant(_V16I32, order)
        )
        place = builder.add(out, builder.mul(first, ir.Constant(first.type, channels)))
        builder.store(level, builder.inttoptr(place, _V16I8.as_pointer()), align=1)
    pointer = builder.inttoptr(extremes, _V16I32.as_pointer())
    builder.store(builder.load(smallest), pointer, align=4)
    builder.store(builder.load(largest), builder.gep(pointer, [ir.Constant(_I32, 1)]), align=4)


_GROUPS = types.void(
    *[types.intp] * 6, *[types.float32] * 4, *[types.intp] * 2
)  # base offsets upper lower groups stride | gain bias low high | out extremes


@intrinsic
def blend_groups_3(
    _c: Any, base: Any, offsets: Any, upper: Any, lower: Any, groups: Any, stride: Any, gain: Any,
    bias: Any, low: Any, high: Any, out: Any, extremes: Any,
) -> Any:  # fmt: skip
    """Blends groups of four 3-channel pixels; all arguments but the tone are addresses or lengths.

    ``offsets``, ``upper`` and ``lower`` are int32 arrays of 4 · ``groups``: where pixel i's upper
    left neighbour is, and two 16-bit weights each for the neighbours in its row and the row below.
    Writes 12 · groups + 4 bytes to ``out`` and 16 smallest and 16 largest sums to ``extremes``.
    """

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _emit_groups(3, builder, args)
        return context.get_dummy_value()

    return _GROUPS, generate


@intrinsic
def blend_groups_4(
    _c: Any, base: Any, offsets: Any, upper: Any, lower: Any, groups: Any, stride: Any, gain: Any,
    bias: Any, low: Any, high: Any, out: Any, extremes: Any,
) -> Any:  # fmt: skip
    """`blend_groups_3` for 4 channels; writes 16 · groups bytes."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _emit_groups(4, builder, args)
        return context.get_dummy_value()

    return _GROUPS, generate
