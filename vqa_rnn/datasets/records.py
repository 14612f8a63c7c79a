"""Records of downloads in ``downloads.json``, next to the files: URLs, sizes and hashes.

{"archives": {"NAME.zip": {"url", "size", "sha256", "verified_by"}},
 "files": {"PATH": {"archive", "size", "sha256", "num_images"}}}
"""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_json

FILE_NAME = "downloads.json"


class ArchiveRecord(BaseModel):
    """Record of an official file as it was downloaded.

    Attributes:
        url: URL of the download; None if the file was added by hand.
        size: Size in bytes.
        sha256: Hash of the file.
        verified_by: Publisher of that hash, or ``unverified``.
    """

    url: str | None
    size: int
    sha256: str
    verified_by: str


class FileRecord(BaseModel):
    """Record of a file or image folder that was taken from an official file.

    Attributes:
        archive: Name of the official file.
        size: Size in bytes; for a folder, the total size of its images.
        sha256: Hash of the file; None for a folder.
        num_images: Number of images in the folder; None for a file.
    """

    archive: str
    size: int
    sha256: str | None = None
    num_images: int | None = None


class Downloads(BaseModel):
    """Content of ``downloads.json``."""

    archives: dict[str, ArchiveRecord] = {}
    files: dict[str, FileRecord] = {}


def read_downloads(folder: Path) -> Downloads:
    """Read the records of a folder.

    Args:
        folder: Folder of the data set.

    Returns:
        The records; empty if nothing was downloaded.

    Raises:
        UserError: ``downloads.json`` cannot be read or has another format.
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
    """Write the records of a folder.

    Args:
        folder: Folder of the data set.
        downloads: All records of the folder.
    """
    write_json(folder / FILE_NAME, downloads.model_dump())
