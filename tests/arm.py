"""Programs for 64-bit Arm, and whether this machine runs them."""

import os
import struct

import pytest

from wheelferry.cache.tools import Tools
from wheelferry.errors import MissingError
from wheelferry.verification.machines.emulated import require_emulator
from wheelferry.verification.machines.qemu import Emulator, tiny_program

# mov x0, #1; mov x1, sp; mov x2, #2048; mov x8, #64 (write): what the kernel put on the stack, to stdout
_WRITE_STACK = struct.pack("<IIIII", 0xD2800020, 0x910003E1, 0xD2810002, 0xD2800808, 0xD4000001)
_EXIT_CODE = 12  # bytes at the end of the tiny program


def emulator(tools: Tools) -> Emulator:
    """QEMU, which this kernel lets in; that it is absent is a failure where `.ci/run` has installed it."""
    try:
        return require_emulator(tools)
    except MissingError as error:
        if os.environ.get("WHEELFERRY_TESTS_NEED_QEMU") and "not on this machine" in str(error):
            raise
        pytest.skip(f"{error}; {error.hint}")


def tells_its_stack() -> bytes:
    """A program that writes the first 2048 bytes of its stack: arguments, environment, auxiliary vector."""
    program = tiny_program()
    longer = bytearray(program[:-_EXIT_CODE] + _WRITE_STACK + program[-_EXIT_CODE:])
    struct.pack_into("<QQ", longer, 64 + 32, len(longer), len(longer))  # of the one segment
    return bytes(longer)


def auxiliary(stack: bytes) -> dict[int, int]:
    """The auxiliary vector in what `tells_its_stack` wrote: behind two lists that end with a null."""
    words = list(struct.unpack(f"<{len(stack) // 8}Q", stack[: len(stack) // 8 * 8]))
    place = 1 + words[0] + 1
    place = words.index(0, place) + 1
    return dict(zip(words[place::2], words[place + 1 :: 2], strict=False))
