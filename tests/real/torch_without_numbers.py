"""A stand-in for torch behind its stable ABI: shapes, devices and memory, and no arithmetic.

Kernels do not run where this is used, so nothing reads what tensors hold. What an operator hands to its
kernels is sizes and addresses, and both are the same on every system: all memory comes, in the order it is
asked for, from one place at a fixed address.

Python 3.10, standard library alone: it also runs in a Windows Python under Wine.
"""

import ctypes
import itertools
import math
import os
import struct
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

ADDRESS, SIZE = 0x1000_0000_0000, 64 << 20
CPU, CUDA, META, OTHER = range(4)
BYTES = {
    "uint8": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint16": 2, "uint32": 4, "uint64": 8,
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "bool": 1,
    "complex32": 4, "complex64": 8, "complex128": 16,
    "float8_e4m3fn": 1, "float8_e4m3fnuz": 1, "float8_e5m2": 1, "float8_e5m2fnuz": 1,
}  # fmt: skip
DTYPES = list(BYTES)
LONG = DTYPES.index("int64")

I32, I64, SIZE_T, F64, TEXT = (
    ctypes.c_int32,
    ctypes.c_int64,
    ctypes.c_size_t,
    ctypes.c_double,
    ctypes.c_char_p,
)
HANDLE = ctypes.c_void_p
# what it returns, what it takes, and what does it
CFunction = tuple[Any, tuple[Any, ...], Callable[..., Any]]
Stack = Any  # torch's stack: as many numbers of 64 bits as an operator has arguments or results


def reserve() -> None:
    """The memory of all tensors, zeroed."""
    if os.name == "nt":
        allocate = ctypes.CDLL("kernel32").VirtualAlloc
        allocate.restype, allocate.argtypes = HANDLE, (HANDLE, SIZE_T, ctypes.c_uint32, ctypes.c_uint32)
        got = allocate(ADDRESS, SIZE, 0x3000, 4)
    else:
        allocate = ctypes.CDLL(None).mmap
        allocate.restype, allocate.argtypes = HANDLE, (HANDLE, SIZE_T, I32, I32, I32, I64)
        got = allocate(ADDRESS, SIZE, 3, 0x100022, -1, 0)  # private, anonymous, at this address or nowhere
    if got != ADDRESS:
        raise SystemExit(f"no memory at {ADDRESS:#x}")


class Memory:
    """Addresses in the order they are asked for; nothing is freed."""

    used = 0

    @classmethod
    def take(cls, size: int) -> int:
        address = ADDRESS + cls.used
        cls.used += (size + 511) // 512 * 512
        if cls.used > SIZE:
            raise MemoryError("the stand-in for torch has no more memory")
        return address


def contiguous_strides(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))


class Tensor:
    """What the C functions tell of a tensor; `defined` is false for what torch calls undefined."""

    def __init__(
        self,
        sizes: Sequence[int] = (),
        dtype: int = 0,
        device: int = CUDA,
        *,
        strides: Sequence[int] | None = None,
        data: int | None = None,
        defined: bool = True,
    ) -> None:
        self.sizes, self.dtype, self.device, self.defined = tuple(sizes), dtype, device, defined
        self.strides = contiguous_strides(self.sizes) if strides is None else tuple(strides)
        self.width = BYTES[DTYPES[dtype]]
        self.data = Memory.take(math.prod(self.sizes) * self.width) if data is None else data
        self.kept: list[Any] = []  # arrays that the other side reads

    def like(self, sizes: Sequence[int] | None = None, **changed: int) -> "Tensor":
        """A new tensor with memory of its own."""
        return Tensor(
            self.sizes if sizes is None else sizes,
            changed.get("dtype", self.dtype),
            changed.get("device", self.device),
        )

    def at(self, sizes: Sequence[int], strides: Sequence[int], offset: int = 0) -> "Tensor":
        """Other sizes of the same memory."""
        return Tensor(sizes, self.dtype, self.device, strides=strides, data=self.data + offset * self.width)

    @property
    def is_contiguous(self) -> bool:
        expected, plain = 1, True
        for size, stride in zip(reversed(self.sizes), reversed(self.strides), strict=True):
            plain &= size == 1 or stride == expected
            expected *= size
        return plain or expected == 0

    def array(self, values: Sequence[int]) -> int:
        self.kept.append((I64 * max(1, len(values)))(*values))
        return ctypes.addressof(self.kept[-1])


# ------------------------------------------------------------------------------- handles

tensors: dict[int, Tensor] = {}
lists: dict[int, list[int]] = {}
counter = itertools.count(1)


def handle_of(tensor: Tensor) -> int:
    number = next(counter) * 16
    tensors[number] = tensor
    return number


def store(kind: Any, address: int, value: Any) -> None:
    ctypes.cast(address, ctypes.POINTER(kind))[0] = value


def optional(entry: int) -> Any:
    """What stands behind an optional entry of the stack; None for none. torch would free it."""
    return ctypes.cast(entry, ctypes.POINTER(ctypes.c_uint64))[0] if entry else None


def signed(entry: int) -> int:
    return entry - (1 << 64) if entry >> 63 else entry


# ------------------------------------------------------------------- torch's own operators


def view(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    count, sizes = math.prod(tensor.sizes), [signed(size) for size in sizes]
    if -1 in sizes:
        sizes[sizes.index(-1)] = count // -math.prod(sizes)
    if math.prod(sizes) != count:
        raise ValueError(f"view of {tensor.sizes} as {sizes}")
    source = tensor if tensor.is_contiguous else tensor.like()
    return source.at(sizes, contiguous_strides(sizes))


def transposed(tensor: Tensor, one: int, other: int) -> Tensor:
    order = list(range(len(tensor.sizes)))
    order[one], order[other] = order[other], order[one]
    return tensor.at([tensor.sizes[i] for i in order], [tensor.strides[i] for i in order])


def become(tensor: Tensor, other: Tensor) -> Tensor:
    """In place: the tensor itself changes its shape."""
    tensor.sizes, tensor.strides, tensor.data = other.sizes, other.strides, other.data
    return tensor


def select(tensor: Tensor, dim: int, index: int) -> Tensor:
    dim = dim % len(tensor.sizes)
    rest = [i for i in range(len(tensor.sizes)) if i != dim]
    return tensor.at(
        [tensor.sizes[i] for i in rest], [tensor.strides[i] for i in rest], index * tensor.strides[dim]
    )


def flatten(tensor: Tensor, first: int, last: int) -> Tensor:
    last = last % len(tensor.sizes)
    middle = math.prod(tensor.sizes[first : last + 1])
    return view(tensor, [*tensor.sizes[:first], middle, *tensor.sizes[last + 1 :]])


def unsqueezed(tensor: Tensor, dim: int) -> Tensor:
    sizes = [*tensor.sizes[:dim], 1, *tensor.sizes[dim:]]
    return view(tensor, sizes)


def narrow(tensor: Tensor, dim: int, start: int, length: int) -> Tensor:
    sizes = list(tensor.sizes)
    sizes[dim] = length
    return tensor.at(sizes, tensor.strides, start * tensor.strides[dim])


def index_select(tensor: Tensor, dim: int, index: Tensor) -> Tensor:
    sizes = list(tensor.sizes)
    sizes[dim] = math.prod(index.sizes)
    return tensor.like(sizes)


def moved(tensor: Tensor, device: int, dtype: int) -> Tensor:
    if (device, dtype) == (tensor.device, tensor.dtype):
        return tensor
    return tensor.like(device=device, dtype=dtype)


def empty(stack: Stack) -> Tensor:
    sizes = [signed(size) for size in lists.pop(stack[0])]
    return Tensor(sizes, optional(stack[1]), optional(stack[3]) >> 32)


def empty_like(stack: Stack) -> Tensor:
    return take(stack[0]).like(dtype=optional(stack[1]), device=optional(stack[3]) >> 32)


def take(entry: int) -> Tensor:
    """A tensor that the stack owns."""
    return tensors.pop(entry)


def indexed(stack: Stack) -> Tensor:
    tensor, index = take(stack[0]), take(optional(lists.pop(stack[1])[0]))
    return tensor.like(index.sizes + tensor.sizes[1:])


def of_two(result: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Stack], Tensor]:
    return lambda stack: result(take(stack[0]), take(stack[1]))


def copied(stack: Stack) -> Tensor:
    tensor = take(stack[0])
    take(stack[1])
    return tensor


def sorted_(stack: Stack) -> tuple[Tensor, Tensor]:
    tensor = take(stack[0])
    return tensor.like(), tensor.like(dtype=LONG)


def broadcast(one: Tensor, other: Tensor) -> Tensor:
    pairs = itertools.zip_longest(reversed(one.sizes), reversed(other.sizes), fillvalue=1)
    return one.like([max(pair) for pair in pairs][::-1])


OPERATORS: dict[str, Callable[[Stack], Tensor | tuple[Tensor, ...]]] = {
    "aten::empty": empty,
    "aten::empty_like": empty_like,
    "aten::fill_": copied,
    "aten::copy_": copied,
    "aten::contiguous": lambda s: (lambda t: t if t.is_contiguous else t.like())(take(s[0])),
    "aten::view": lambda s: view(take(s[0]), lists.pop(s[1])),
    "aten::reshape": lambda s: view(take(s[0]), lists.pop(s[1])),
    "aten::view_as": of_two(lambda tensor, other: view(tensor, other.sizes)),
    "aten::flatten": lambda s: flatten(take(s[0]), s[1], signed(s[2])),
    "aten::select": lambda s: select(take(s[0]), s[1], s[2]),
    "aten::narrow": lambda s: narrow(take(s[0]), s[1], s[2], s[3]),
    "aten::transpose": lambda s: transposed(take(s[0]), s[1], s[2]),
    "aten::transpose_": lambda s: (lambda t: become(t, transposed(t, s[1], s[2])))(take(s[0])),
    "aten::unsqueeze_": lambda s: (lambda t: become(t, unsqueezed(t, s[1])))(take(s[0])),
    "aten::t": lambda s: transposed(take(s[0]), 0, 1),
    "aten::to": lambda s: moved(take(s[0]), s[1] >> 32, s[2]),
    "aten::sort": sorted_,
    "aten::index_select": lambda s: index_select(take(s[0]), s[1], take(s[2])),
    "aten::index": indexed,
    "aten::mm": of_two(lambda a, b: a.like((a.sizes[0], b.sizes[1]))),
    "aten::mul": of_two(broadcast),
}


def dispatch(name: bytes, _overload: bytes, stack: int, _version: int) -> int:
    values = ctypes.cast(stack, ctypes.POINTER(ctypes.c_uint64))
    results = OPERATORS[name.decode()](values)
    for place, result in enumerate(results if isinstance(results, tuple) else (results,)):
        values[place] = handle_of(result)
    return 0


# ----------------------------------------------------------------------- the C functions

registered: dict[str, Any] = {}


def register(_library: int, name: bytes, function: int, _version: int) -> int:
    registered[name.decode()] = ctypes.CFUNCTYPE(None, HANDLE, ctypes.c_uint64, ctypes.c_uint64)(function)
    return 0


def refuse(condition: bool, _function: bytes, _file: bytes, _line: int, message: bytes) -> None:
    if not condition:  # torch throws a C++ exception here, Python cannot
        sys.stderr.write(f"an operator failed: {message.decode()}\n")
        sys.stderr.flush()
        os._exit(3)


def gives(kind: Any, what: Callable[[Tensor], Any]) -> CFunction:
    """A C function that answers a question about a tensor through its second argument."""

    def answer(handle: int, result: int) -> int:
        store(kind, result, what(tensors[handle]))
        return 0

    return I32, (HANDLE, HANDLE), answer


def constant(value: int) -> CFunction:
    return I32, (), lambda: value


def new_list(_size: int, result: int) -> int:
    number = next(counter) * 16
    lists[number] = []
    store(HANDLE, result, number)
    return 0


def push(number: int, entry: int) -> int:
    lists[number].append(entry)
    return 0


def new_handle(handle: int, result: int) -> int:
    store(HANDLE, result, handle_of(tensors[handle]))
    return 0


def new_undefined(result: int) -> int:
    store(HANDLE, result, handle_of(Tensor(defined=False, data=0)))
    return 0


def forget(handle: int) -> int:
    tensors.pop(handle, None)
    return 0


def subtract(one: int, other: int, _factor: float, result: int) -> int:
    store(HANDLE, result, handle_of(broadcast(tensors[one], tensors[other])))
    return 0


def answered(*arguments: Any) -> int:
    """A library, a guard: a handle with nothing behind it."""
    store(HANDLE, arguments[-1], 16)
    return 0


def current_stream(_device: int, result: int) -> int:
    store(HANDLE, result, 0x57)
    return 0


def done(*_: Any) -> int:
    return 0


TORCH_CPU: dict[str, CFunction] = {
    "aoti_torch_device_type_cpu": constant(CPU),
    "aoti_torch_device_type_cuda": constant(CUDA),
    "aoti_torch_device_type_meta": constant(META),
    **{
        f"aoti_torch_device_type_{name}": constant(OTHER + i)
        for i, name in enumerate(("mps", "privateuse1", "xpu"))
    },
    **{f"aoti_torch_dtype_{name}": constant(code) for code, name in enumerate(DTYPES)},
    **{
        f"aoti_torch_memory_format_{name}": constant(code)
        for code, name in enumerate(
            ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d")
        )
    },
    "aoti_torch_dtype_element_size": (SIZE_T, (I32,), lambda code: BYTES[DTYPES[code]]),
    "aoti_torch_get_dim": gives(I64, lambda t: len(t.sizes)),
    "aoti_torch_get_sizes": gives(HANDLE, lambda t: t.array(t.sizes)),
    "aoti_torch_get_strides": gives(HANDLE, lambda t: t.array(t.strides)),
    "aoti_torch_get_storage_offset": gives(I64, lambda _: 0),
    "aoti_torch_get_dtype": gives(I32, lambda t: t.dtype),
    "aoti_torch_get_device_type": gives(I32, lambda t: t.device),
    "aoti_torch_get_device_index": gives(I32, lambda t: 0 if t.device == CUDA else -1),
    "aoti_torch_is_contiguous": gives(ctypes.c_bool, lambda t: t.is_contiguous),
    "aoti_torch_is_defined": gives(ctypes.c_bool, lambda t: t.defined),
    "torch_get_mutable_data_ptr": gives(HANDLE, lambda t: t.data),
    "torch_get_const_data_ptr": gives(HANDLE, lambda t: t.data),
    "torch_set_requires_grad": (I32, (HANDLE, ctypes.c_bool), done),
    "aoti_torch_zero_": (I32, (HANDLE,), done),
    "aoti_torch_new_tensor_handle": (I32, (HANDLE, HANDLE), new_handle),
    "aoti_torch_new_uninitialized_tensor": (I32, (HANDLE,), new_undefined),
    "aoti_torch_delete_tensor_object": (I32, (HANDLE,), forget),
    "aoti_torch_grad_mode_is_enabled": (ctypes.c_bool, (), lambda: False),
    "aoti_torch_aten_subtract_Tensor": (I32, (HANDLE, HANDLE, F64, HANDLE), subtract),
    "aoti_torch_cpu_addmm_out": (I32, (HANDLE, HANDLE, HANDLE, HANDLE, F64, F64), done),
    "aoti_torch_create_device_guard": (I32, (I32, HANDLE), answered),
    "aoti_torch_delete_device_guard": (I32, (HANDLE,), done),
    "aoti_torch_library_init_def": (
        I32,
        (TEXT, TEXT, ctypes.c_uint32, HANDLE),
        answered,
    ),
    "aoti_torch_library_init_fragment": (
        I32,
        (TEXT, TEXT, ctypes.c_uint32, HANDLE),
        answered,
    ),
    "aoti_torch_library_init_impl": (
        I32,
        (TEXT, TEXT, TEXT, ctypes.c_uint32, HANDLE),
        answered,
    ),
    "aoti_torch_library_def": (I32, (HANDLE, TEXT), done),
    "aoti_torch_delete_library_object": (I32, (HANDLE,), done),
    "torch_library_impl": (I32, (HANDLE, TEXT, HANDLE, ctypes.c_uint64), register),
    "torch_call_dispatcher": (I32, (TEXT, TEXT, HANDLE, ctypes.c_uint64), dispatch),
    "torch_new_list_reserve_size": (I32, (SIZE_T, HANDLE), new_list),
    "torch_list_push_back": (I32, (HANDLE, ctypes.c_uint64), push),
    "torch_delete_list": (I32, (HANDLE,), done),
    "aoti_torch_check": (None, (ctypes.c_bool, TEXT, TEXT, ctypes.c_uint32, TEXT), refuse),
}
TORCH_CUDA: dict[str, CFunction] = {
    "aoti_torch_get_current_cuda_stream": (I32, (I32, HANDLE), current_stream),
    "aoti_torch_cuda_addmm_out": (I32, (HANDLE, HANDLE, HANDLE, HANDLE, F64, F64), done),
}


def jumps(functions: Iterable[str]) -> str:
    """Assembler for a library that has these functions: each jumps to where its slot says."""
    lines = [".data"]
    for name in functions:
        lines += [f".globl slot_{name}", f"slot_{name}: L_{name}: .quad 0"]
    lines.append(".text")
    for name in functions:
        lines += [f".globl {name}", f"{name}: jmp *L_{name}(%rip)"]
    return "\n".join(lines) + "\n"


callbacks: list[Any] = []


def fill(library: ctypes.CDLL, functions: Mapping[str, CFunction]) -> None:
    """Let the functions of a library made of `jumps` be those of this module."""
    for name, (result, arguments, function) in functions.items():
        kind = ctypes.CFUNCTYPE(result, *arguments)

        def guarded(*given: Any, name: str = name, function: Callable[..., Any] = function) -> Any:
            try:
                return function(*(0 if value is None else value for value in given))
            except Exception as error:
                sys.stderr.write(f"{name}: {type(error).__name__}: {error}\n")
                sys.stderr.flush()
                os._exit(4)

        callbacks.append(kind(guarded))
        ctypes.c_void_p.in_dll(library, f"slot_{name}").value = ctypes.cast(callbacks[-1], HANDLE).value


# ---------------------------------------------------------------------------- in Python


def install() -> None:
    """Let `import torch` give what a module on the stable ABI asks of it."""

    def capsule(tensor: Tensor) -> Any:
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = ctypes.py_object, (HANDLE, TEXT, HANDLE)
        return make(handle_of(tensor), None, None)

    def opened(capsules: Sequence[Any]) -> list[Tensor]:
        read = ctypes.pythonapi.PyCapsule_GetPointer
        read.restype, read.argtypes = HANDLE, (ctypes.py_object, TEXT)
        return [take(read(one, None)) for one in capsules]

    torch: Any = types.ModuleType("torch")
    core: Any = types.ModuleType("torch._C")
    aoti: Any = types.ModuleType("torch._C._aoti")
    aoti.unsafe_alloc_void_ptr_from_tensor = capsule
    aoti.alloc_tensors_by_stealing_from_void_ptrs = opened
    core._aoti, torch._C, torch.Tensor = aoti, core, Tensor
    sys.modules.update({"torch": torch, "torch._C": core, "torch._C._aoti": aoti})


def call(name: str, *arguments: Any) -> Tensor:
    """Call a registered operator; the one tensor that it returns. Takes tensors, int, float and bool."""
    stack = (ctypes.c_uint64 * max(2, len(arguments)))()
    for place, value in enumerate(arguments):
        if isinstance(value, Tensor):
            stack[place] = handle_of(value)
        elif isinstance(value, float):
            stack[place] = struct.unpack("<Q", struct.pack("<d", value))[0]
        else:
            stack[place] = int(value) % (1 << 64)
    registered[name](ctypes.addressof(stack), len(arguments), 1)
    return take(stack[0])
