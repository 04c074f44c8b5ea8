"""Loops over vectors, written in Python and compiled by LLVM when the weights are loaded: no compiler on the machine.

A kernel is a Python function that is run once and writes the instructions of a native one. What Python loops over is
unrolled, `code.loop` is a loop at run time, and a `Variable` lives in a register.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

from llvmlite import ir

LANES = 16
"""fp32 numbers in a vector register of AVX-512."""

BYTE, INT32, INT64, FLOAT, HALF = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.HalfType()
POINTER = ir.PointerType()

Kernel = Callable[..., None]


def vector(element: ir.Type, lanes: int = LANES) -> ir.Type:
    return ir.VectorType(element, lanes)


class Value:
    """A number or a vector of numbers at run time. Addresses are plain integers."""

    def __init__(self, code: Code, value: ir.Value) -> None:
        self.code, self.ir = code, value

    @property
    def type(self) -> ir.Type:
        return self.ir.type

    def _with(self, other: Any, on_float: str, on_integer: str) -> Value:
        operation = on_float if is_float(self.type) else on_integer
        return Value(self.code, getattr(self.code.builder, operation)(self.ir, self.code.like(other, self).ir))

    def __add__(self, other: Any) -> Value:
        return self._with(other, "fadd", "add")

    def __sub__(self, other: Any) -> Value:
        return self._with(other, "fsub", "sub")

    def __mul__(self, other: Any) -> Value:
        return self._with(other, "fmul", "mul")

    def __truediv__(self, other: Any) -> Value:
        return self._with(other, "fdiv", "sdiv")

    def __floordiv__(self, other: Any) -> Value:
        return self._with(other, "fdiv", "udiv")

    def __mod__(self, other: Any) -> Value:
        return self._with(other, "frem", "urem")

    def __and__(self, other: Any) -> Value:
        return self._with(other, "and_", "and_")

    def __or__(self, other: Any) -> Value:
        return self._with(other, "or_", "or_")

    def __lshift__(self, other: Any) -> Value:
        return self._with(other, "shl", "shl")

    def compare(self, operator: str, other: Any) -> Value:
        compare = self.code.builder.fcmp_ordered if is_float(self.type) else self.code.builder.icmp_signed
        return Value(self.code, compare(operator, self.ir, self.code.like(other, self).ir))

    def __lt__(self, other: Any) -> Value:
        return self.compare("<", other)

    def __ge__(self, other: Any) -> Value:
        return self.compare(">=", other)

    def __gt__(self, other: Any) -> Value:
        return self.compare(">", other)

    def equals(self, other: Any) -> Value:
        return self.compare("==", other)


class Variable:
    """A place that changes in a loop; it ends up in a register."""

    def __init__(self, code: Code, start: Value) -> None:
        self._code = code
        with code.builder.goto_entry_block():
            self._place = code.builder.alloca(start.type)
        self.value = start

    @property
    def value(self) -> Value:
        return Value(self._code, self._code.builder.load(self._place))

    @value.setter
    def value(self, value: Value) -> None:
        self._code.builder.store(value.ir, self._place)


class Code:
    """What a kernel writes its instructions with."""

    def __init__(self, function: ir.Function) -> None:
        self.builder = ir.IRBuilder(function.append_basic_block())
        self.module = function.module

    def constant(self, number: float, kind: ir.Type = INT64) -> Value:
        lanes = kind.count if isinstance(kind, ir.VectorType) else None
        return Value(self, ir.Constant(kind, number if lanes is None else [number] * lanes))

    def like(self, number: Any, other: Value) -> Value:
        """A Python number, or a scalar, in the type of `other`."""
        if not isinstance(number, Value):
            return self.constant(number, other.type)
        if isinstance(other.type, ir.VectorType) and not isinstance(number.type, ir.VectorType):
            return self.broadcast(number, other.type.count)
        return number

    @contextmanager
    def loop(self, start: Any, stop: Any, step: int = 1) -> Iterator[Value]:
        index = Variable(self, self.like(start, self.constant(0)))
        head, body, end = (self.builder.append_basic_block() for _ in range(3))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch((index.value < stop).ir, body, end)
        self.builder.position_at_end(body)
        yield index.value
        index.value += step
        self.builder.branch(head)
        self.builder.position_at_end(end)

    @contextmanager
    def until(self, done: Callable[[], Value]) -> Iterator[None]:
        """Repeat, as long as `done` writes code that says no."""
        head, body, end = (self.builder.append_basic_block() for _ in range(3))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(done().ir, end, body)
        self.builder.position_at_end(body)
        yield
        self.builder.branch(head)
        self.builder.position_at_end(end)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        with self.builder.if_then(condition.ir):
            yield

    def load(self, kind: ir.Type, address: Value) -> Value:
        return Value(self, self.builder.load(self._pointer(address), typ=kind, align=1))

    def store(self, value: Value, address: Value) -> None:
        self.builder.store(value.ir, self._pointer(address), align=1)

    def integer(self, address: Value) -> Value:
        """The 32-bit integer at `address`, widened."""
        return Value(self, self.builder.sext(self.load(INT32, address).ir, INT64))

    def broadcast(self, number: Value, lanes: int = LANES) -> Value:
        kind = ir.VectorType(number.type, lanes)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), number.ir, ir.Constant(INT32, 0))
        zeros = ir.Constant(ir.VectorType(INT32, lanes), None)
        return Value(self, self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros))

    def select(self, condition: Value, yes: Value, no: Any) -> Value:
        return Value(self, self.builder.select(condition.ir, yes.ir, self.like(no, yes).ir))

    def convert(self, value: Value, kind: ir.Type) -> Value:
        """Between number formats; integers are signed."""
        source = value.type
        if is_float(source) and is_float(kind):
            operation = "fpext" if width(kind) > width(source) else "fptrunc"
        elif is_float(kind):
            operation = "sitofp"
        elif is_float(source):
            operation = "fptosi"
        else:
            operation = "sext" if width(kind) > width(source) else "trunc"
        return Value(self, getattr(self.builder, operation)(value.ir, kind))

    def bits(self, value: Value, kind: ir.Type) -> Value:
        """The same bits, read as another type."""
        return Value(self, self.builder.bitcast(value.ir, kind))

    def intrinsic(self, name: str, result: ir.Type, *values: Value) -> Value:
        kind = ir.FunctionType(result, [value.type for value in values])
        return Value(self, self.builder.call(self._declared(name, kind), [value.ir for value in values]))

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c with one rounding."""
        return self.intrinsic(f"llvm.fma.{suffix(c.type)}", c.type, self.like(a, c), self.like(b, c), c)

    def dot_bytes(self, sums: Value, unsigned: Value, signed: Value) -> Value:
        """Each lane of `sums` plus four products of bytes (VNNI)."""
        return self.intrinsic("llvm.x86.avx512.vpdpbusd.512", sums.type, sums, unsigned, signed)

    def prefetch(self, address: Value) -> None:
        """Ask for a cache line that will be needed; an address past the end is harmless."""
        flags = [self.constant(flag, INT32).ir for flag in (0, 2, 1)]  # to read, into the second level, data
        kind = ir.FunctionType(ir.VoidType(), [POINTER, INT32, INT32, INT32])
        self.builder.call(self._declared("llvm.prefetch.p0", kind), [self._pointer(address), *flags])

    def maximum(self, a: Value, b: Any) -> Value:
        return self.select(a > b, a, b)

    def minimum(self, a: Value, b: Any) -> Value:
        return self.select(a < b, a, b)

    def lanes_sum(self, value: Value) -> Value:
        """Sum over the lanes, in one fixed order."""
        name = f"llvm.vector.reduce.fadd.{suffix(value.type)}"
        return self.intrinsic(name, FLOAT, self.constant(0.0, FLOAT), value)

    def lanes_maximum(self, value: Value) -> Value:
        return self.intrinsic(f"llvm.vector.reduce.fmax.{suffix(value.type)}", FLOAT, value)

    def absolute(self, value: Value) -> Value:
        return self.intrinsic(f"llvm.fabs.{suffix(value.type)}", value.type, value)

    def square_root(self, value: Value) -> Value:
        return self.intrinsic(f"llvm.sqrt.{suffix(value.type)}", value.type, value)

    def round(self, value: Value) -> Value:
        """To the nearest whole number, ties to even."""
        return self.intrinsic(f"llvm.rint.{suffix(value.type)}", value.type, value)

    def lane(self, value: Value, index: int) -> Value:
        return Value(self, self.builder.extract_element(value.ir, ir.Constant(INT32, index)))

    def vector_of(self, numbers: Sequence[int], kind: ir.Type) -> Value:
        return Value(self, ir.Constant(vector(kind, len(numbers)), list(numbers)))

    def exp(self, x: Value) -> Value:
        """e**x for a vector of fp32, to 2 units in the last place between -87 and 88, clamped outside."""
        kind = x.type
        x = self.select(x < -87.0, self.constant(-87.0, kind), x)
        x = self.select(x > 88.0, self.constant(88.0, kind), x)
        whole = self.round(x * 1.44269504)
        rest = self.fma(whole, self.constant(-0.693145752, kind), x)
        rest = self.fma(whole, self.constant(-1.42860677e-6, kind), rest)
        power = self.constant(1.0 / 5040, kind)
        for factorial in (720, 120, 24, 6, 2, 1, 1):
            power = self.fma(power, rest, self.constant(1.0 / factorial, kind))
        integers = vector(INT32, kind.count)
        exponent = self.convert(whole, integers) << 23
        return self.bits(self.bits(power, integers) + exponent, kind)

    def call(self, kernel: Kernel, *arguments: Any) -> None:
        self.call_named(kernel.__name__, *arguments)

    def call_named(self, name: str, *arguments: Any) -> None:
        """A kernel that was added under a name of its own."""
        values = [self.like(argument, self.constant(0)).ir for argument in arguments]
        self.builder.call(self.module.get_global(name), values)

    def call_system(self, name: str) -> None:
        self.builder.call(self._declared(name, ir.FunctionType(INT32, [])), [])

    def add_atomically(self, address: Value, number: int) -> Value:
        """Returns what was there before."""
        amount = self.constant(number).ir
        return Value(self, self.builder.atomic_rmw("add", self._pointer(address), amount, "seq_cst"))

    def load_atomically(self, address: Value) -> Value:
        return Value(self, self.builder.load_atomic(self._pointer(address), "acquire", 8, typ=INT64))

    def pause(self) -> None:
        self.builder.call(self._declared("llvm.x86.sse2.pause", ir.FunctionType(ir.VoidType(), [])), [])

    def _declared(self, name: str, kind: ir.FunctionType) -> ir.Function:
        return self.module.globals.get(name) or ir.Function(self.module, kind, name)

    def _pointer(self, address: Value) -> ir.Value:
        return self.builder.inttoptr(address.ir, POINTER)


def add_kernel(module: ir.Module, kernel: Kernel, *, name: str | None = None, **constants: Any) -> None:
    """Write `kernel` into the module: a function of 64-bit integers, as many as its positional parameters."""
    parameters = [item for item in signature(kernel).parameters.values() if item.kind != item.KEYWORD_ONLY][1:]
    kind = ir.FunctionType(ir.VoidType(), [INT64] * len(parameters))
    function = ir.Function(module, kind, name or kernel.__name__)
    code = Code(function)
    kernel(code, *(Value(code, argument) for argument in function.args), **constants)
    code.builder.ret_void()


def is_float(kind: ir.Type) -> bool:
    return isinstance(element(kind), (ir.FloatType, ir.HalfType))


def element(kind: ir.Type) -> ir.Type:
    return kind.element if isinstance(kind, ir.VectorType) else kind


def width(kind: ir.Type) -> int:
    of = element(kind)
    return 16 if isinstance(of, ir.HalfType) else 32 if isinstance(of, ir.FloatType) else int(of.width)


def suffix(kind: ir.Type) -> str:
    """How an intrinsic's name ends for this type."""
    letter = "f" if is_float(kind) else "i"
    lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
    return f"{lanes}{letter}{width(kind)}"
