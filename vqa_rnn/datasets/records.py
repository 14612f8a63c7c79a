"""``downloads.json``, which lies beside the files: what came from where, and its hashes.

{"archives": {"NAME.zip": {"url", "size", "sha256", "verified_by"}},
 "files": {"PATH": {"archive", "size", "sha256", "num_images"}}}
"""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_json

FILE_NAME = "downloads.json"


class ArchiveRecord(BaseModel):
    """A file as it came from the server.

    Attributes:
        url: Where it came from; None where it was put there by hand.
        size: Bytes.
        sha256: Its hash.
        verified_by: Who published that hash, or ``unverified``.
    """

    url: str | None
    size: int
    sha256: str
    verified_by: str


class FileRecord(BaseModel):
    """What was unpacked.

    Attributes:
        archive: The name of the file it was in.
        size: Bytes; of a folder, of all its images.
        sha256: The file's hash; None for a folder.
        num_images: How many images the folder holds; None for a file.
    """

    archive: str
    size: int
    sha256: str | None = None
    num_images: int | None = None


class Downloads(BaseModel):
    """The whole of ``downloads.json``."""

    archives: dict[str, ArchiveRecord] = {}
    files: dict[str, FileRecord] = {}


def read_downloads(folder: Path) -> Downloads:
    """Read what was downloaded into a folder.

    Args:
        folder: The data set's folder.

    Returns:
        The records; empty where nothing was downloaded.

    Raises:
        UserError: ``downloads.json`` is not what ``download`` writes.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return Downloads()
    try:
        return Downloads.model_validate(read_json(path, "list of downloads"))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(f"{path} is not a list of downloads ({place}: {error.errors()[0]['msg']}): remove it") from None


def write_downloads(folder: Path, downloads: Downloads) -> None:
    """Write the records.

    Args:
        folder: The data set's folder.
        downloads: All of them.
    """
    write_json(folder / FILE_NAME, downloads.model_dump())
