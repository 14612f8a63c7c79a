import errno
import http.client
import io
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock

from tests.datasets.conftest import ALL, DENSE, PAGE, QUESTIONS, ZIP, Toy, sha256, tarred, zipped
from tests.datasets.server import Served
from vqa_rnn.cli import main
from vqa_rnn.datasets import OfficialFile, Wanted, download, transfer, unpack
from vqa_rnn.datasets.transfer import part_of

PLAIN = Wanted("questions.json")
DOWNLOAD = ["datasets", "download", "toy"]
HALF = [f"questions.zip.part{end}" for end in ("", ".json")]


def test_everything_is_fetched_verified_unpacked_and_recorded(toy: Toy, capsys) -> None:
    assert main([*DOWNLOAD, "--images", "--json"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert output.err == ""
    assert report["folder"] == str(toy.folder)
    assert [(file["file"], file["state"], file["verified_by"]) for file in report["files"]] == [
        ("questions.zip", "fetched", "the authors"),
        ("dense.json", "fetched", "unverified"),
        ("toy_images.tar", "fetched", "unverified"),
    ]
    assert toy.listing == ALL
    assert (toy.folder / "questions.json").read_bytes() == QUESTIONS
    record = json.loads((toy.folder / "downloads.json").read_text())
    assert record["archives"]["dense.json"] == {
        "url": toy.server.url("dense.json?dl=1"),
        "size": len(DENSE),
        "sha256": sha256(DENSE),
        "verified_by": "unverified",
    }
    assert record["files"]["images"] == {"archive": "toy_images.tar", "size": 400, "sha256": None, "num_images": 4}
    assert stat.S_IMODE((toy.folder / "dense.json").stat().st_mode) & 0o044 == 0o044 & ~os.umask(os.umask(0))


def test_images_come_only_when_asked_for_and_archives_stay_only_when_asked_for(toy: Toy, capsys) -> None:
    assert main([*DOWNLOAD, "--keep-archives"]) == 0
    assert toy.listing == ["dense.json", "downloads.json", "questions.json", "questions.zip"]
    out = " ".join(capsys.readouterr().out.split())
    assert "vqa-rnn datasets download toy --images" in out
    assert "unverified, recorded" in out
    assert "as in the authors" in out


def test_what_is_there_and_right_is_skipped_with_a_word(toy: Toy, capsys) -> None:
    download("toy", images=True)
    toy.server.requests.clear()
    capsys.readouterr()
    assert main([*DOWNLOAD, "--images"]) == 0
    assert capsys.readouterr().out.count("already there") == 3
    assert toy.server.requests == []


def test_what_is_there_and_damaged_is_fetched_anew(toy: Toy) -> None:
    download("toy", images=True)
    (toy.folder / "questions.json").write_bytes(b"{" + QUESTIONS[1:-1] + b"!")
    (toy.folder / "dense.json").write_bytes(b"[]")
    (toy.folder / "images" / "image2.png").unlink()
    (toy.folder / "images" / "mine.txt").write_text("mine")
    toy.server.requests.clear()
    assert [outcome.state for outcome in download("toy", images=True)] == ["fetched"] * 3
    assert toy.listing == sorted([*ALL, "images/mine.txt"])
    assert (toy.folder / "dense.json").read_bytes() == DENSE
    assert (toy.folder / "questions.json").read_bytes() == QUESTIONS


def test_a_cut_connection_is_taken_up_again_and_only_the_rest_is_fetched(toy: Toy) -> None:
    toy.only("questions.zip", Served(ZIP, cuts=[1000, 2000]), PLAIN, sha=sha256(ZIP))
    download("toy")
    assert [(request.range, request.sent) for request in toy.server.requests] == [
        (None, 1000),
        ("bytes=1000-", 2000),
        ("bytes=3000-", len(ZIP) - 3000),
    ]
    assert toy.listing == ["downloads.json", "questions.json"]


def test_a_network_that_fails_in_the_middle_is_not_the_disc_and_is_tried_again(toy: Toy, monkeypatch) -> None:
    toy.only("questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))
    failures = iter([OSError(errno.EHOSTUNREACH, "No route to host"), ssl.SSLError("decryption failed")])
    read = http.client.HTTPResponse.read

    def fail_first(self, *arguments):
        if failure := next(failures, None):
            raise failure
        return read(self, *arguments)

    monkeypatch.setattr(http.client.HTTPResponse, "read", fail_first)
    download("toy")
    assert toy.listing == ["downloads.json", "questions.json"]


def test_a_connection_that_stays_cut_says_so_and_the_next_run_goes_on(toy: Toy, refuse) -> None:
    served = toy.only("questions.zip", Served(ZIP, cuts=[1000, 0, 0]), PLAIN, sha=sha256(ZIP))
    said = refuse()
    assert "questions.zip: the connection to" in said
    assert "cut at 1.0 kB of" in said
    assert "run the same command again to continue" in said
    assert toy.listing == HALF
    served.cuts = []
    toy.server.requests.clear()
    download("toy")
    assert [(request.range, request.sent) for request in toy.server.requests] == [("bytes=1000-", len(ZIP) - 1000)]
    assert toy.listing == ["downloads.json", "questions.json"]


def test_a_server_without_ranges_starts_again(toy: Toy) -> None:
    toy.only("questions.zip", Served(ZIP, ranges=False, cuts=[1000]), PLAIN, sha=sha256(ZIP))
    download("toy")
    assert [request.sent for request in toy.server.requests] == [1000, len(ZIP)]
    assert toy.listing == ["downloads.json", "questions.json"]


@pytest.mark.parametrize("checks_mark", [True, False], ids=["a server that compares marks", "a server that does not"])
@pytest.mark.parametrize("same_size", [True, False], ids=["of the same size", "of another size"])
def test_a_changed_file_is_never_glued_to_an_old_half(toy: Toy, refuse, checks_mark: bool, same_size: bool) -> None:
    served = toy.only("questions.zip", Served(ZIP, checks_mark=checks_mark, cuts=[1000, 0, 0]), PLAIN)
    refuse()
    content = QUESTIONS.replace(b"question 1", b"QUESTION 1") + (b"" if same_size else b" ")
    served.body, served.etag, served.cuts = zipped({"top/questions.json": content, "top/readme.txt": b"hello"}), '"two"', []
    assert (len(served.body) == len(ZIP)) is same_size
    toy.server.requests.clear()
    download("toy")
    assert len(toy.server.requests) == (1 if checks_mark else 2)
    assert (toy.folder / "questions.json").read_bytes() == content
    assert toy.listing == ["downloads.json", "questions.json"]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_mark_it_goes_on_too(toy: Toy, etag: str | None) -> None:
    toy.only("questions.zip", Served(ZIP, etag=etag, cuts=[1000]), PLAIN, sha=sha256(ZIP))
    download("toy")
    assert [(request.range, request.sent) for request in toy.server.requests] == [
        (None, 1000),
        ("bytes=1000-", len(ZIP) - 1000),
    ]


def test_a_weak_mark_is_compared(toy: Toy, refuse) -> None:
    served = toy.only("questions.zip", Served(ZIP, etag='W/"one"', cuts=[1000, 0, 0]), PLAIN)
    refuse()
    content = QUESTIONS.replace(b"question 1", b"QUESTION 1")
    served.body, served.etag, served.cuts = zipped({"top/questions.json": content, "top/readme.txt": b"hello"}), 'W/"two"', []
    download("toy")
    assert (toy.folder / "questions.json").read_bytes() == content


def test_a_part_from_another_address_is_not_gone_on_with(toy: Toy, refuse) -> None:
    toy.only("questions.zip", Served(ZIP, cuts=[1000, 0, 0]), PLAIN, sha=sha256(ZIP))
    refuse()
    toy.only("new/questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))
    toy.server.requests.clear()
    download("toy")
    assert [request.range for request in toy.server.requests] == [None]
    assert toy.listing == ["downloads.json", "questions.json"]


def test_a_part_of_nothing_known_is_fetched_anew(toy: Toy) -> None:
    toy.only("questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))
    toy.folder.mkdir()
    part_of(toy.folder / "questions.zip").write_bytes(b"what is this")
    download("toy")
    assert [request.range for request in toy.server.requests] == [None]
    assert toy.listing == ["downloads.json", "questions.json"]


def test_a_part_that_is_whole_already_is_not_asked_for(toy: Toy) -> None:
    served = toy.only("questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))
    toy.folder.mkdir()
    part = part_of(toy.folder / "questions.zip")
    transfer.fetch(toy.server.url("questions.zip"), part)
    assert part.read_bytes() == ZIP
    served.status = 500
    download("toy")
    assert len(toy.server.requests) == 1


def test_an_overloaded_server_is_asked_again(toy: Toy, refuse) -> None:
    toy.only("questions.zip", Served(ZIP, status=503), PLAIN)
    assert "503" in refuse()
    assert len(toy.server.requests) == 3
    assert toy.listing == []


def test_a_wrong_hash_removes_what_came_and_says_expected_and_got(toy: Toy, refuse) -> None:
    toy.only("questions.zip", Served(ZIP), PLAIN, sha="0" * 64)
    said = refuse()
    assert f"expected {'0' * 64} (the authors), got {sha256(ZIP)}" in said
    assert PAGE in said
    assert toy.listing == []


def test_a_second_address_is_tried(toy: Toy, refuse) -> None:
    urls = [toy.server.url("gone/questions.zip"), toy.server.url("wrong/questions.zip"), toy.server.url("questions.zip")]
    toy.server.files["wrong/questions.zip"] = Served(b"wrong")
    toy.set(one=OfficialFile(tuple(urls), (PLAIN,), sha256=sha256(ZIP), hash_source="the authors"))
    download("toy")
    assert json.loads((toy.folder / "downloads.json").read_text())["archives"]["questions.zip"]["url"] == urls[2]
    shutil.rmtree(toy.folder)
    toy.set(one=OfficialFile(tuple(urls[:2]), (PLAIN,), sha256=sha256(ZIP), hash_source="the authors"))
    said = refuse()
    assert urls[0] in said
    assert urls[1] in said
    assert toy.listing == []


def test_a_dead_link_names_the_address_and_the_page(toy: Toy, refuse) -> None:
    toy.server.files.clear()
    said = refuse()
    assert f"{toy.server.url('questions.zip')} answers 404" in said
    assert PAGE in said
    assert str(toy.folder) in said
    assert toy.listing == []


def test_a_web_page_is_not_taken_for_the_file(toy: Toy, refuse) -> None:
    toy.only("questions.zip", Served(b"<html>please sign in", kind="text/html; charset=utf-8"), PLAIN)
    assert "web page" in refuse()
    assert toy.listing == []


def test_no_network(toy: Toy, refuse) -> None:
    toy.server.shutdown()
    toy.server.server_close()
    said = refuse()
    assert "cannot be reached" in said
    assert PAGE in said
    assert toy.listing == []


def test_a_full_disc_keeps_what_came(toy: Toy, refuse, monkeypatch) -> None:
    toy.only("questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))
    monkeypatch.setattr(transfer, "_CHUNK_BYTES", 1000)
    written = []

    class Full:
        def __init__(self, file) -> None:
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, chunk: bytes) -> None:
            if len(written) == 3:
                raise OSError(28, "No space left on device")
            written.append(chunk)
            self.file.write(chunk)

        def flush(self) -> None:
            self.file.flush()

    opens = transfer._open
    with monkeypatch.context() as full:
        full.setattr(transfer, "_open", lambda part, goes_on: Full(opens(part, goes_on)))
        said = refuse()
    assert "No space left on device" in said
    assert "questions.zip.part" in said
    assert toy.listing == HALF
    download("toy")
    assert toy.server.requests[-1].range == "bytes=3000-"
    assert toy.listing == ["downloads.json", "questions.json"]


@pytest.mark.parametrize("where", [transfer, unpack], ids=["before fetching", "before unpacking"])
def test_too_little_room_is_said_before_it_is_filled(toy: Toy, refuse, monkeypatch, where) -> None:
    toy.only("questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))
    room = shutil.disk_usage(toy.folder.parent)._replace(free=100)
    with monkeypatch.context() as small:
        small.setattr(where, "shutil", type("Small", (), {"disk_usage": staticmethod(lambda _: room)}))
        said = refuse()
    assert "100 bytes free" in said
    assert toy.listing == (["questions.zip.part.json"] if where is transfer else ["questions.zip"])
    download("toy")
    assert toy.listing == ["downloads.json", "questions.json"]


def test_a_full_disc_while_unpacking_keeps_the_archive(toy: Toy, refuse, monkeypatch) -> None:
    toy.only("questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(unpack.shutil, "copyfileobj", full)
        assert "No space left on device" in refuse()
    assert toy.listing == ["questions.zip"]
    toy.server.requests.clear()
    assert download("toy")[0].state == "unpacked"
    assert toy.server.requests == []
    assert toy.listing == ["downloads.json", "questions.json"]


def deflated() -> bytes:
    body = bytearray(zipped({"questions.json": QUESTIONS}, zipfile.ZIP_DEFLATED))
    body[200] ^= 0xFF
    return bytes(body)


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_with_link() -> bytes:
    info = zipfile.ZipInfo("questions.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, b"/etc/passwd")
    return buffer.getvalue()


GOOD = {"questions.json": QUESTIONS}
BAD_ARCHIVES = {
    "a truncated zip": ("a.zip", ZIP[:-500], "cut off"),
    "an empty zip": ("a.zip", b"", "cut off"),
    "a zip with a wrong checksum": ("a.zip", deflated(), "damaged"),
    "a zip that leads out": ("a.zip", zipped(GOOD | {"top/../../evil.txt": b"evil"}), "'top/../../evil.txt'"),
    "a zip that leads out with backslashes": ("a.zip", zipped(GOOD | {"..\\evil.txt": b"evil"}), "evil.txt'"),
    "a zip with an absolute path": ("a.zip", zipped(GOOD | {"/tmp/evil.txt": b"evil"}), "'/tmp/evil.txt'"),
    "a zip with a drive letter": ("a.zip", zipped(GOOD | {"C:/evil.txt": b"evil"}), "'C:/evil.txt'"),
    "a zip with a folder that leads out": ("a.zip", zipped(GOOD | {"../evil/": b""}), "'../evil/'"),
    "a zip with a link": ("a.zip", zip_with_link(), "a link"),
    "a truncated tar": ("a.tar", tarred(GOOD)[:20_000], "cut off"),
    "a tar that ends between two members": ("a.tar", tarred(GOOD | {"b": b""})[: 512 * (2 + len(QUESTIONS) // 512)], "cut off"),
    "a tar with a symbolic link": ("a.tar", tarred(GOOD, link("evil", "/etc/passwd", tarfile.SYMTYPE)), "'evil', a link"),
    "a tar with a hard link": ("a.tar", tarred(GOOD, link("evil", "questions.json", tarfile.LNKTYPE)), "'evil', a link"),
    "a tar with a device": ("a.tar", tarred(GOOD, link("evil", "", tarfile.CHRTYPE)), "'evil', neither"),
    "a tar that leads out": ("a.tar", tarred(GOOD | {"../evil.txt": b"evil"}), "'../evil.txt'"),
    "a tar with an absolute path": ("a.tar", tarred(GOOD | {"/tmp/evil.txt": b"evil"}), "'/tmp/evil.txt'"),
}


@pytest.mark.parametrize(("name", "body", "word"), BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_a_bad_archive_is_refused_and_leaves_nothing(toy: Toy, refuse, name: str, body: bytes, word: str) -> None:
    toy.only(name, Served(body), PLAIN)
    said = refuse()
    assert word in said
    assert "it was deleted" in said
    assert toy.listing == []
    assert sorted(path.name for path in toy.folder.parent.iterdir()) == ["toy"]


def test_a_bad_archive_that_lay_there_is_the_users_to_remove(toy: Toy, refuse) -> None:
    toy.only("a.zip", Served(ZIP), PLAIN)
    toy.folder.mkdir()
    (toy.folder / "a.zip").write_bytes(ZIP[:-500])
    assert "remove it and run the same command again" in refuse()
    assert toy.listing == ["a.zip"]


def test_an_archive_put_there_by_hand_is_used(toy: Toy, refuse) -> None:
    toy.only("questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))
    toy.folder.mkdir()
    (toy.folder / "questions.zip").write_bytes(b"not this")
    said = refuse()
    assert f"got {sha256(b'not this')}" in said
    assert "remove it" in said
    assert toy.listing == ["questions.zip"]
    (toy.folder / "questions.zip").write_bytes(ZIP)
    assert download("toy")[0].state == "unpacked"
    assert toy.server.requests == []
    assert toy.listing == ["downloads.json", "questions.json"]


def test_an_archive_without_what_is_wanted_says_what_it_holds(toy: Toy, refuse) -> None:
    toy.only("a.zip", Served(zipped({"other/a.json": b"{}", "read.me": b""})), PLAIN)
    assert "does not hold questions.json; it holds other, read.me" in refuse()


def test_the_least_deep_one_counts_and_clutter_is_passed_over(toy: Toy) -> None:
    files = {
        "__MACOSX/questions.json": b"no",
        "a/old/questions.json": b"no",
        "a/questions.json": QUESTIONS,
        "a/images/1.jpg": b"1",
        "a/images/.DS_Store": b"no",
        "a/more/images/2.jpg": b"no",
    }
    toy.only("a.zip", Served(zipped(files)), PLAIN, Wanted("images", 1))
    download("toy")
    assert toy.listing == ["downloads.json", "images", "images/1.jpg", "questions.json"]
    assert (toy.folder / "questions.json").read_bytes() == QUESTIONS


def test_a_link_to_images_elsewhere_counts_as_there(toy: Toy, tmp_path: Path) -> None:
    download("toy", images=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "images").symlink_to(toy.folder / "images")
    toy.server.requests.clear()
    assert [outcome.state for outcome in download("toy", other, images=True)] == ["fetched", "fetched", "already there"]
    assert "/toy_images.tar" not in [request.path for request in toy.server.requests]


def test_what_a_killed_process_left_goes(toy: Toy) -> None:
    (toy.folder / ".downloading" / "unpacked").mkdir(parents=True)
    (toy.folder / ".downloading" / "unpacked" / "half.json").write_text("{")
    (toy.folder / ".downloading" / "toy_images.tar").write_bytes(b"old")
    download("toy", images=True)
    assert toy.listing == ALL


def test_two_processes_do_not_write_the_same_folder(toy: Toy, refuse) -> None:
    toy.folder.mkdir()
    with FileLock(toy.folder / ".downloading.lock"):
        assert "another process is downloading" in refuse()


def test_a_folder_that_cannot_be_made(toy: Toy, refuse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write" in refuse("--folder", str(tmp_path / "file" / "toy"))


def test_a_damaged_record_is_named(toy: Toy, refuse) -> None:
    toy.folder.mkdir()
    (toy.folder / "downloads.json").write_text('{"archives": {"a.zip": {"url": 3}}}')
    said = refuse()
    assert "downloads.json" in said
    assert "archives.a.zip" in said


def test_unknown_names_are_guessed(capsys) -> None:
    assert main(["datasets", "download", "visdail"]) == 2
    assert "did you mean 'visdial'?" in capsys.readouterr().err


def test_an_interrupt_leaves_the_part_and_exit_code_130(toy: Toy, monkeypatch, capsys) -> None:
    toy.only("questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))
    monkeypatch.setattr(transfer, "_CHUNK_BYTES", 1000)
    write = transfer.write_chunk

    def stop(file, chunk: bytes, part: Path) -> None:
        write(file, chunk, part)
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(transfer, "write_chunk", stop)
        assert main(DOWNLOAD) == 130
    output = capsys.readouterr()
    assert output.out == ""
    assert "run the same command again to continue" in output.err
    assert toy.listing == HALF
    download("toy")
    assert toy.server.requests[-1].range == "bytes=1000-"
    assert toy.listing == ["downloads.json", "questions.json"]


def test_an_interrupt_while_the_hash_is_checked_keeps_what_came(toy: Toy, monkeypatch) -> None:
    toy.only("questions.zip", Served(ZIP), PLAIN, sha=sha256(ZIP))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr("pooch.core.hash_matches", stop)
        with pytest.raises(KeyboardInterrupt):
            download("toy")
    assert toy.listing == HALF
    toy.server.requests.clear()
    download("toy")
    assert toy.server.requests == []
    assert toy.listing == ["downloads.json", "questions.json"]


def test_ctrl_c_in_a_process_of_its_own(toy: Toy) -> None:
    """The server sends half and then keeps the process waiting."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent = threading.Event()
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        head = 'HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\nETag: "one"\r\n\r\n'
        connection.sendall(head.encode() + bytes(1_000_000))
        sent.set()
        done.wait(120)
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.zip"
    code = (
        # a shell that puts the tests into the background has them, and what they start, ignore Ctrl-C
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; from pathlib import Path; from vqa_rnn.cli import main; from vqa_rnn.datasets import *\n"
        f"file = OfficialFile(({url!r},), (Wanted('a.json'),))\n"
        f"DATASETS['toy'] = OfficialDataset('Toy', Path({str(toy.folder)!r}), '', '', (file,))\n"
        "sys.exit(main(['datasets', 'download', 'toy']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert sent.wait(120)  # a process starts slowly where others are busy
    part = part_of(toy.folder / "a.zip")
    while not part.exists() or part.stat().st_size < 500_000:
        assert process.poll() is None
        done.wait(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    done.set()
    listener.close()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert toy.listing == ["a.zip.part", "a.zip.part.json"]
