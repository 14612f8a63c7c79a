"""Progress where no terminal shows it."""

import logging

import pytest

from vqa_rnn import progress


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    caplog.set_level(logging.INFO, logger="vqa_rnn")
    with progress.progress_bar() as bar:
        task = bar.add_task("features", total=100, rate="")
        for _ in range(6):
            now += 30.0
            bar.update(task, advance=5, rate="0.2 images/s")
        for _ in range(8):
            now += 30.0
            bar.advance(task, 5)
    assert [record.getMessage() for record in caplog.records] == [
        "features: 10 of 100, 0.2 images/s",
        "features: 20 of 100, 0.2 images/s",
        "features: 40 of 100, 0.2 images/s",
    ]
