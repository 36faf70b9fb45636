"""Set limits on this process, shut the door behind it and become another program; run by the cage, never imported.

The door is Linux's: Landlock leaves it the files it was given (Linux 5.13 and newer, see
Documentation/userspace-api/landlock.rst), a seccomp filter leaves it neither sockets nor new
processes (Documentation/userspace-api/seccomp_filter.rst), and its capabilities are dropped. Where
the kernel or the processor is another one, what it does not know is left out and the limits stay.
Loaded with `-S`: only the standard library is here.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import struct
import sys
from typing import Any

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_RULE_PATH_BENEATH = 1

# Rights on files by the version of Landlock that brought them (uapi/linux/landlock.h): thirteen at first, then REFER,
# TRUNCATE and IOCTL_DEV.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_FILE, _MAKE_REG = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 5, 1 << 8
_TRUNCATE = 1 << 14
_FIRST_RIGHTS = 13
_LAST_RIGHTS = 16
_SEE = _EXECUTE | _READ_FILE | _READ_DIR
_WORK = _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

# What a dynamic program needs besides itself; none of it is anybody's data.
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/zero")

# System calls that a decoder has no use for, by processor: x86-64 (arch/x86/entry/syscalls/syscall_64.tbl) and
# AArch64 (the generic table). Sockets, new programs' ways out, other processes' memory, mounts, keys, kernel.
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 440, 442)  # io_uring, mount API, pidfd
_FORBIDDEN = {
    "x86_64": (
        *(41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 288, 299, 307),  # sockets
        *(57, 58, 62, 101, 310, 311, 322, 129, 200, 297),  # fork, vfork, kill, ptrace, process_vm, execveat, signals
        *(29, 30, 31, 67, 64, 65, 66, 68, 69, 70, 71, 240, 241, 242, 243),  # System V memory, semaphores, queues
        *(155, 161, 165, 166, 272, 303, 304, 308, 321, 323, 298),  # roots, mounts, namespaces, handles, bpf, perf
        *(246, 248, 249, 250, 169, 170, 171, 175, 176, 313, 320, 163, 167, 168, 172, 173, 227, 164),
    ),
    "aarch64": (
        *(198, 199, 200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 242, 243, 269),
        *(129, 130, 117, 270, 271, 281, 138, 240),
        *(194, 195, 196, 197, 190, 191, 192, 193, 186, 187, 188, 189, 180, 181, 182, 183),
        *(41, 51, 40, 39, 97, 264, 265, 268, 280, 282, 241),
        *(104, 217, 218, 219, 142, 161, 162, 105, 106, 273, 294, 89, 224, 225, 112, 170),
    ),
}
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

# Classic BPF (uapi/linux/filter.h) over struct seccomp_data: number at 0, processor at 4, first argument at 16.
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_UNKNOWN_CALL = 0x00050000 | errno.ENOSYS


class _Beneath(ctypes.Structure):
    """A folder or file and what may be done below it (struct landlock_path_beneath_attr)."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def limit(limits: dict[str, int]) -> None:
    """Set the limits; those that the platform does not have are left out."""
    for name, value in limits.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def shut(room: dict[str, Any], program: str) -> None:
    """Leave this process the room and the program, as far as the kernel can."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return
    _drop_capabilities(libc)
    binary = os.path.realpath(program)
    beside = os.path.join(os.path.dirname(os.path.dirname(binary)), "lib")  # noqa: PTH118, PTH120  # pathlib loads slowly
    visible = [program, binary, beside, *_LIBRARIES, *room["read"]]
    _keep_files(libc, {room["folder"]: _WORK, **dict.fromkeys(_DEVICES, _READ_FILE | _WRITE_FILE)}, visible)
    _filter_calls(libc, os.uname().machine)


def _drop_capabilities(libc: Any) -> None:
    """Leave nothing of what the superuser may do beyond others; files of our own stay ours."""
    header = struct.pack("Ii", 0x20080522, 0)  # version 3 of capset(2), this process
    number = {"x86_64": 126, "aarch64": 91}.get(os.uname().machine)
    if number:
        libc.syscall(number, header, bytes(24))


def _keep_files(libc: Any, work: dict[str, int], visible: list[str]) -> None:
    """Let Landlock refuse every file that is not named."""
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return
    handled = (1 << min(_FIRST_RIGHTS + version - 1, _LAST_RIGHTS)) - 1
    if version == 4:  # noqa: PLR2004  # the fourth brought rights on ports, none on files
        handled = (1 << _FIRST_RIGHTS + 2) - 1
    attributes = struct.pack("Q", handled)
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return
    for path, rights in (dict.fromkeys(visible, _SEE) | work).items():
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed = rights & handled if os.path.isdir(path) else rights & handled & _ON_FILES  # noqa: PTH112  # as above
        rule = _Beneath(allowed, opened)
        libc.syscall(_LANDLOCK_ADD, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        os.close(opened)
    libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _filter_calls(libc: Any, machine: str) -> None:
    """Let the kernel refuse the calls that no decoder needs."""
    if machine not in _AUDIT_ARCH:
        return
    program = _program(machine)
    code = ctypes.create_string_buffer(program, len(program))

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    wanted = Filter(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(wanted), 0, 0)


def _program(machine: str) -> bytes:
    """Return the filter: another processor's calls kill, forbidden ones fail, new processes but no threads fail."""

    def step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, k)

    refuse = step(_RETURN, _REFUSE)
    lines = [step(_LOAD, 4), step(_JEQ, _AUDIT_ARCH[machine], 1, 0), step(_RETURN, _KILL), step(_LOAD, 0)]
    lines += [step(_JGE, _X32, 0, 1), refuse]
    for number in (*_FORBIDDEN[machine], *_EVERYWHERE):
        lines += [step(_JEQ, number, 0, 1), refuse]
    # glibc takes the older call when there is no clone3, whose flags no filter can read.
    lines += [step(_JEQ, _CLONE3, 0, 1), step(_RETURN, _UNKNOWN_CALL)]
    lines += [step(_JEQ, _CLONE[machine], 0, 3), step(_LOAD, 16), step(_JSET, _CLONE_THREAD, 1, 0), refuse]
    lines.append(step(_RETURN, _ALLOW))
    return b"".join(lines)


def main() -> None:
    """Become the program; end with 127 and a complaint when it is not there."""
    wanted = json.loads(sys.argv[1])
    program = sys.argv[2:]
    limit(wanted["limits"])
    try:
        if wanted["room"]:
            shut(wanted["room"], program[0])
        os.execvp(program[0], program)  # noqa: S606  # no shell is the point
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
