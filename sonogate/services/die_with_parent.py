"""Run a program that is killed when its parent dies.

Usage: ``python -m sonogate.services.die_with_parent PARENT_PID PROGRAM ARGS…``

A supervisor that receives SIGKILL cannot stop its children. On Linux the kernel stops them
(``prctl(PR_SET_PDEATHSIG)``, which survives ``exec``). They receive SIGKILL: a restarted supervisor
needs their ports at once, and no work is lost with a process. On other systems, stop the children
by hand after killing the supervisor.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies; exit if it is already dead."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        sys.exit("the supervisor has exited")


def wrap_command(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return `command` wrapped so that it dies with the calling thread.

    The kernel signals the end of the thread that started the child, so call this and start the
    child from the main thread.
    """
    return (sys.executable, "-m", "sonogate.services.die_with_parent", str(os.getpid()), *command)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  the arguments are our own command
