"""Files inside a tar, read where they lie: an index of where each begins and how long it is; nothing is unpacked.

A tar inside a tar is read in the same way, since its bytes lie in one piece. For each file the archive is opened, as
a file of a folder would be: threads share no position, and of the archive no more than that file is in memory.
"""

import gzip
import io
import os
import tarfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from topfive.errors import BadFile

GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Packed:
    """A file in a tar. name: in the tar that holds it. offset, size: of its bytes in `archive`."""

    archive: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}:{self.name}"

    def read_bytes(self) -> bytes:
        """The content; OSError where the archive cannot be read or has become shorter."""
        with open(self.archive, "rb", buffering=0) as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise OSError(f"{self.archive.name} ends before it")
        return content


def members(archive: Path | Packed) -> list[Packed]:
    """The files in a tar, or in one that lies in another, in the tar's order; folders and symbolic links are left out.

    Raises BadFile for another file, a compressed tar, sparse files and a tar that is cut short: what is missing would
    go by unnoticed.
    """
    outer, start, end = (
        (archive.archive, archive.offset, archive.offset + archive.size) if isinstance(archive, Packed)
        else (archive, 0, None)
    )  # fmt: skip
    try:
        with open(outer, "rb", buffering=0) as file:
            end = end or os.fstat(file.fileno()).st_size
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                found: dict[str, Packed] = {}  # of two files of one name the later counts, as when it is unpacked
                for one in tar:
                    if one.issparse():
                        raise tarfile.TarError(f"{one.name} is stored as a sparse file")
                    if one.isfile():
                        found[one.name] = Packed(outer, one.name, one.offset_data, one.size)
                    elif one.islnk() and one.linkname in found:  # the same bytes under a second name
                        found[one.name] = replace(found[one.linkname], name=one.name)
                file.seek(tar.offset)  # a whole tar ends with a block of zeros
                whole = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE) and file.tell() <= end
    except (OSError, tarfile.TarError) as error:
        raise BadFile(
            f"{archive}: expected a tar that is not compressed, could not read it ({error}); unpack it or get it again"
        ) from error
    if not whole:
        raise BadFile(f"{archive}: expected a whole tar, found it cut short after {len(found):,} file(s); get it again")
    return list(found.values())


def read_archive(path: Path) -> dict[str, bytes]:
    """All files of a small tar, compressed by gzip or not: name -> content. BadFile for another file or a broken one.

    It is unpacked to its end, where gzip's checksum lies, and must end as tars do: a damaged kit has other labels.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(GZIP) else content
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            found = {one.name: tar.extractfile(one) for one in tar if one.isfile()}
            files = {name: file.read() for name, file in found.items() if file is not None}
            whole = content[tar.offset : tar.offset + tarfile.BLOCKSIZE] == bytes(tarfile.BLOCKSIZE)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise BadFile(f"{path}: expected a tar, could not read it ({error}); get it again") from error
    if not whole:
        raise BadFile(f"{path}: expected a whole tar, found it cut short after {len(files):,} file(s); get it again")
    return files
