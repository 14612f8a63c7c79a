"""A small data set ``toy`` on a server of our own: questions in a zip, a plain file, images in a tar."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.datasets.server import Served, Server, running_server
from vqa_rnn.cli import main
from vqa_rnn.datasets import DATASETS, OfficialDataset, OfficialFile, Wanted, transfer

QUESTIONS = json.dumps({"questions": [f"question {i}" for i in range(2000)]}).encode()
DENSE = json.dumps([{"image_id": i} for i in range(200)]).encode()
PAGE = "https://example.org/toy"


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) if folder.exists() else []


IMAGES = {f"toy_images/image{i}.png": bytes([i]) * 100 for i in range(1, 5)}
ZIP = zipped({"top/questions.json": QUESTIONS, "top/readme.txt": b"hello"})
TAR = tarred(IMAGES)
ALL = [
    "dense.json",
    "downloads.json",
    "images",
    *(f"images/image{i}.png" for i in range(1, 5)),
    "questions.json",
]


@dataclass
class Toy:
    """The data set, its server and its folder."""

    server: Server
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def set(self, **files: OfficialFile) -> None:
        """Replace the data set's files."""
        dataset = OfficialDataset("Toy", self.folder, PAGE, "none", tuple(files.values()))
        self.monkeypatch.setitem(DATASETS, "toy", dataset)

    def only(self, name: str, served: Served, *wanted: Wanted, sha: str | None = None) -> Served:
        """One file, as the server has it."""
        self.server.files[name] = served
        source = "the authors" if sha else "unverified"
        self.set(one=OfficialFile((self.server.url(name),), wanted, sha256=sha, hash_source=source))
        return served

    @property
    def listing(self) -> list[str]:
        return listing(self.folder)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 5.0)
    with running_server() as server:
        made = Toy(server, tmp_path / "toy", monkeypatch)
        server.files |= {"questions.zip": Served(ZIP), "dense.json": Served(DENSE), "toy_images.tar": Served(TAR)}
        made.set(
            questions=OfficialFile(
                (server.url("questions.zip"),), (Wanted("questions.json"),), sha256=sha256(ZIP), hash_source="the authors"
            ),
            dense=OfficialFile((server.url("dense.json?dl=1"),), (Wanted("dense.json"),)),
            images=OfficialFile(
                (server.url("toy_images.tar"),), (Wanted("images", 4, inside="toy_images"),), images=True, size=len(TAR)
            ),
        )
        server.files["dense.json?dl=1"] = server.files["dense.json"]
        yield made


@pytest.fixture
def refuse(toy: Toy, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run ``vqa-rnn datasets download toy`` where it must fail: exit code 2, one line, nothing on stdout."""

    def run(*options: str) -> str:
        capsys.readouterr()
        assert main(["datasets", "download", "toy", *options]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("error: ")
        assert output.err.count("\n") == 1
        return output.err

    return run


def local(server: Server, dataset: OfficialDataset, bodies: dict[str, bytes], folder: Path) -> OfficialDataset:
    """An official data set whose files come from the server, with their own content and without published hashes."""
    files = []
    for file in dataset.files:
        server.files[file.name] = Served(bodies[file.name])
        files.append(replace(file, urls=(server.url(file.name),), sha256=None, hash_source="unverified"))
    return replace(dataset, folder=folder, files=tuple(files))
