"""Run a program, write down how much memory it took, and end as it ended; run by tests.media.weighing, never imported.

Loaded with `-S` and small, for the program's record begins with what this one has.
"""

import os
import resource
import signal
import sys


def main() -> None:
    """Append the most memory of the program, in the kernel's unit, to the file named first."""
    path, *command = sys.argv[1:]
    process_id = os.posix_spawnp(command[0], command, os.environ)  # noqa: TID251  # as it is, whatever is in it
    _, status, used = os.wait4(process_id, 0)
    written = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(written, f"{used.ru_maxrss}\n".encode())
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
