"""Faults on files, folders and the disk that a target writes to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from chaos_locust.data import Bytes, PositiveSeconds
from chaos_locust.faults.base import Fault
from chaos_locust.units import format_duration

Calls = Literal["all", "read", "write", "sync"]
LONGEST_CALL_S = 60.0


def _at_most_a_minute(value_s: float) -> float:
    if not 1e-6 <= value_s <= LONGEST_CALL_S:
        raise ValueError(f"'{format_duration(value_s)}' is not allowed; give 1us to 60s")
    return value_s


class FileFault(Fault):
    """Base of the faults on a path."""

    family: ClassVar[str] = "files"
    needs: ClassVar[tuple[str, ...]] = ("path",)


class Filling(FileFault):
    """Base of the faults that a file system as a whole has."""

    undo: ClassVar[str] = (
        "what fills it are files without a name, held open by a process that dies with the guardian: the "
        "kernel takes them away"
    )

    def clashes_with(self, other: Fault) -> str:
        if isinstance(other, Filling | Changing) and other.kind != self.kind:
            return "a file system without room refuses what the other has to write"
        return super().clashes_with(other)


class DiskFull(Filling):
    """The file system of `path` is filled up, and kept full when the target makes room on it.

    Everybody who writes to that file system is met, so give the target one of its own. Without root the part
    that is reserved for root stays free.
    """

    kind: ClassVar[str] = "disk_full"
    summary: ClassVar[str] = "fills the file system of path until only `leave` is free"
    effect_text: ClassVar[str] = "nothing is free any more and a write meets ENOSPC; others use the path"

    leave_bytes: Bytes | None = Field(
        default=None, alias="leave", description="What is left free, such as 1MB; by default nothing."
    )


class Inodes(Filling):
    """The file system of `path` gets no new file or folder any more, though it has room for bytes.

    The inodes are held by one process, so there can be no more free than it may open files (`ulimit -Hn`).
    """

    kind: ClassVar[str] = "inodes"
    summary: ClassVar[str] = "uses up the inodes of the file system of path until only `leave` are free"
    effect_text: ClassVar[str] = "no inode is free any more and a new file meets ENOSPC; others use the path"

    leave: int = Field(default=0, ge=0, description="How many inodes are left free.")


class Traced(FileFault):
    """Base of the faults on the calls by which one process reads and writes files: those of `path`, or those
    that are in the folder `path` when the fault begins. Calls on files that it had open before are met too;
    what it does through mmap is not. While it acts, each of its system calls costs some microseconds more.
    """

    needs: ClassVar[tuple[str, ...]] = ("path", "pidfile")
    undo: ClassVar[str] = (
        "the tracer dies with the guardian, and the kernel lets the process go on without it"
    )

    calls: Calls = Field(
        default="all", description="Which: read, write (and truncate, allocate), sync (fsync), or all."
    )

    def clashes_with(self, other: Fault) -> str:
        return "a process can have one tracer" if isinstance(other, Traced) else ""


class SlowIo(Traced):
    """Each call of the process on the files beneath `path` takes `latency` longer. Needs strace."""

    kind: ClassVar[str] = "slow_io"
    summary: ClassVar[str] = "makes the process's calls on the files of path take latency longer"
    effect_text: ClassVar[str] = "calls of the process were delayed, each counted and timed"

    latency_s: Annotated[PositiveSeconds, AfterValidator(_at_most_a_minute)] = Field(
        alias="latency", description="How much longer each call takes, such as 50ms."
    )


class IoError(Traced):
    """Each call of the process on the files beneath `path` fails with `error`. Needs strace."""

    kind: ClassVar[str] = "io_error"
    summary: ClassVar[str] = "makes the process's calls on the files of path fail"
    effect_text: ClassVar[str] = "calls of the process were refused, each counted"

    error: Literal["EIO", "ENOSPC", "EDQUOT", "EROFS"] = Field(
        default="EIO", description="What the calls return: an error of errno(3)."
    )


class Changing(FileFault):
    """Base of the faults that change something on the disk, which is put back as it was."""

    undo: ClassVar[str] = (
        "the guardian puts it back, or `chaos-locust cleanup` does; what was is kept beside the leases"
    )

    def clashes_with(self, other: Fault) -> str:
        return "one would put back what the other changed" if isinstance(other, Changing) else ""


class FileCorrupt(Changing):
    """Bits are flipped in `runs` places of 8 bytes, drawn from the plan's seed; size and times stay.

    At the end only what still holds our bytes is put back: what the target wrote meanwhile stays.
    """

    kind: ClassVar[str] = "file_corrupt"
    summary: ClassVar[str] = "flips bits in places of a file, and puts the original back"
    effect_text: ClassVar[str] = "the file holds the corrupted bytes; others read it"

    runs: int = Field(default=16, ge=1, le=1000, description="In how many places of 8 bytes.")


class FileTruncate(Changing):
    """The file is cut to `size`; at the end what was cut off is put back.

    When the target has changed the file's size meanwhile, nothing is overwritten: the run ends as dirty and
    says where the original is kept. So this is for files that are read, not for logs.
    """

    kind: ClassVar[str] = "file_truncate"
    summary: ClassVar[str] = "cuts a file to size, and puts the rest back"
    effect_text: ClassVar[str] = "the file has only that size; others use it"

    size_bytes: Bytes | None = Field(
        default=None, alias="size", description="What is left of it, such as 4KB; by default nothing."
    )


class FileMissing(Changing):
    """The file or folder is renamed to a name that carries our mark, and back at the end.

    Who has it open keeps it. When the target has made a new one meanwhile, that is not overwritten: the run
    ends as dirty and says where the original is.
    """

    kind: ClassVar[str] = "file_missing"
    summary: ClassVar[str] = "moves a file or folder away, and back"
    effect_text: ClassVar[str] = "nothing has that name; others used it just before"


class ReadOnly(Changing):
    """The file, or the folder with everything in it, can be written to no more.

    For a process without root's rights by taking the mode's write bits (what it has open stays writable); for
    one with them by the immutable flag of the file system (EPERM, on most file systems also for what is
    open), which only root can set. Whose rights count: those of the process of `pidfile`, else of the owner.
    """

    kind: ClassVar[str] = "read_only"
    summary: ClassVar[str] = "makes a file, or a folder with what is in it, unwritable"
    effect_text: ClassVar[str] = "writing is refused to the target's user; others used the path just before"


class PermissionDenied(Changing):
    """The file or folder gets mode 000, so that it can neither be read nor written.

    It stops nobody who has root's rights, so such a process is refused, and so is a file of root without
    `pidfile`. Who has it open keeps it.
    """

    kind: ClassVar[str] = "permission_denied"
    summary: ClassVar[str] = "takes all rights from a file or folder (mode 000)"
    effect_text: ClassVar[str] = "opening is refused to the target's user; others used the path just before"


FAULTS: tuple[type[Fault], ...] = (
    DiskFull,
    Inodes,
    SlowIo,
    IoError,
    FileCorrupt,
    FileTruncate,
    FileMissing,
    ReadOnly,
    PermissionDenied,
)
