"""What the kernel knows of a program: its processes' time and memory, and who listens where."""

import contextlib
import os
import re
from pathlib import Path

CPU_TICK = 1 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on."""
    # The program's name, in parentheses, may hold blanks: count from behind it.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def family(root: int) -> list[int]:
    """A process and all that come from it."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(stat(int(entry.name))[1]), []).append(int(entry.name))
    members = [root]
    for member in members:
        members += children.get(member, [])
    return members


def cpu_seconds(root: int) -> tuple[float, float]:
    """Time in user mode and in the kernel, of all threads and processes, those that have ended too."""
    user = system = 0
    for pid in family(root):
        with contextlib.suppress(OSError):
            fields = stat(pid)
            user += int(fields[11]) + int(fields[13])
            system += int(fields[12]) + int(fields[14])
    return user * CPU_TICK, system * CPU_TICK


def resident_kib(root: int) -> int:
    """Resident memory; of several processes each one's share of what they have in common."""
    members = family(root)
    if len(members) == 1:
        return in_status(root, "VmRSS")
    shares = 0
    for pid in members:
        with contextlib.suppress(OSError):
            rollup = (PROC / str(pid) / "smaps_rollup").read_text()
            shares += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[1])
    return shares


def in_status(pid: int, name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+) kB", (PROC / str(pid) / "status").read_text())[1])


class Growth:
    """How far resident memory rises above where it was."""

    def __init__(self, root: int):
        self.at_start = {}
        for pid in family(root):
            (PROC / str(pid) / "clear_refs").write_text("5")  # forgets the peak
            self.at_start[pid] = in_status(pid, "VmRSS")

    def kib(self) -> int:
        grown = 0
        for pid, before in self.at_start.items():
            with contextlib.suppress(OSError):
                grown += max(0, in_status(pid, "VmHWM") - before)
        return grown


def listener(port: int) -> int | None:
    """The process that listens on a port of this machine; the oldest, if several do."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for pid in sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()):
        with contextlib.suppress(OSError):
            if any(os.readlink(link) in sockets for link in (PROC / str(pid) / "fd").iterdir()):
                return pid
    return None
