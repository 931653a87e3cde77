"""The machine code of kernels: made once with Numba, kept in a file, and run without Numba.

To import Numba takes as long as to draw some hundred million numbers; LLVM alone, which Numba is
built on, loads the kept code in a tenth of that. Code is loaded only from a folder that no other
user can write to.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm

from initcli.files import write_whole
from initcli.measuring import kernel_interface, sums
from initcli.random import variates
from initcli.sampling import chunks

_C_TYPES: dict[str, Any] = {"i": ctypes.c_int64, "f": ctypes.c_float, "d": ctypes.c_double}
_DIGEST = 64
"""Bytes of the hash that precedes the code in its file."""


class Kernels(NamedTuple):
    """The kernels, see :mod:`initcli.measuring.numba_kernels`, and what holds their code."""

    measure: Callable[..., None]
    measure_stored: Callable[..., None]
    count_patterns: Callable[..., None]
    engine: Any


def load() -> Kernels:
    """Load the kernels from the file where they are kept; first make it if it is missing.

    Raises:
        PermissionError: other users can write to the folder.
        Exception: Numba, LLVM or the file system fails.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    # As Numba does: elsewhere than on x86, LLVM's default fits.
    relocation = "static" if target.name.startswith("x86") else "default"
    machine = target.create_target_machine(cpu, features, 3, relocation, jit=True)
    key = hashlib.blake2b("\0".join((llvmlite.__version__, target.triple, cpu, features)).encode())
    sources = [Path(str(each.__file__)) for each in (kernel_interface, sums, variates, chunks)]
    for source in (*sorted(Path(__file__).parent.glob("numba_*.py")), *sources):
        key.update(source.read_bytes())
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(_kept(key.digest(), machine)))
    engine.finalize_object()

    def function(name: str) -> Callable[..., None]:
        types = [_C_TYPES[each] for each in kernel_interface.SIGNATURES[name]]
        return ctypes.CFUNCTYPE(None, *types)(engine.get_function_address(name))

    measure, measure_stored, count_patterns = map(function, kernel_interface.SIGNATURES)
    return Kernels(measure, measure_stored, count_patterns, engine)


def _kept(key: bytes, machine: Any) -> bytes:
    """The code in the file of a key; a file that is damaged, or none, is made anew."""
    file = _folder() / f"kernels-{key.hex()[:32]}"
    with suppress(FileNotFoundError):
        content = file.read_bytes()
        code = content[_DIGEST:]
        if content[:_DIGEST] == hashlib.blake2b(code, key=key).digest():
            return code
    code = _made(machine)
    write_whole(file, hashlib.blake2b(code, key=key).digest() + code)
    return code


def _folder() -> Path:
    """A folder for files that can be made anew, to which only this user can write."""
    if sys.platform == "win32":
        base = Path(os.environ["LOCALAPPDATA"])
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
        if (chosen := Path(os.environ.get("XDG_CACHE_HOME", ""))).is_absolute():
            base = chosen
    folder = base / "initcli"
    folder.mkdir(0o700, parents=True, exist_ok=True)
    if sys.platform != "win32":  # where the folders of a profile belong to the user
        found = folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise PermissionError(f"other users can write to {folder}")
    return folder


def _made(machine: Any) -> bytes:
    """The machine code of the kernels, which refers to nothing outside of it."""
    from initcli.measuring import numba_kernels

    program = llvm.parse_assembly("")
    for name, (symbol, text) in numba_kernels.llvm().items():
        module = llvm.parse_assembly(text)
        module.get_function(symbol).name = name
        program.link_in(module)
    # What Numba adds to report errors, which the kernels do not raise, is outside. It goes when
    # LLVM knows that it is never reached.
    outside = "".join(str(each) for each in program.functions if each.is_declaration)
    never = re.sub(
        r"^declare (.* @(?!llvm\.).*\)).*$", r"define \1 { unreachable }", outside, flags=re.M
    )
    program.link_in(llvm.parse_assembly(never))
    for each in (*program.functions, *program.global_variables):
        if not each.is_declaration and each.name not in kernel_interface.SIGNATURES:
            each.linkage = "internal"
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(program, passes)
    code: bytes = machine.emit_object(program)
    return code
