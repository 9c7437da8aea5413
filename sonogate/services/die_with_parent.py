"""Run a program that dies with its parent: ``python -m sonogate.services.die_with_parent PARENT_PID PROGRAM ARGS…``.

A supervisor that is killed with SIGKILL cannot stop its children. On Linux the kernel does it
(prctl PR_SET_PDEATHSIG, which an exec keeps); the children get SIGKILL, because whoever restarts
the supervisor needs their ports at once, and losing a process loses no work. On other systems the
program runs untethered: stop it by hand after killing its supervisor.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tether(parent: int) -> None:
    """Die when `parent` does, also when it did already."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")


def tethered(command: tuple[str, ...]) -> tuple[str, ...]:
    """`command`, bound to the life of this process's main thread."""
    return (sys.executable, "-m", "sonogate.services.die_with_parent", str(os.getpid()), *command)


if __name__ == "__main__":
    tether(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  running what it is given is its job
