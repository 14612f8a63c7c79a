"""Models of videos: what they compute, and the videos that they are trained on."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from vqa_rnn.errors import UserError
from vqa_rnn.rnn import CELLS
from vqa_rnn.sequences.moving_shapes import BACKGROUND, DIRECTIONS, STILL, Clip, make_clip
from vqa_rnn.sequences.video import FeatureEncoder, PixelEncoder, VideoModel, accuracy, correct_sums
from vqa_rnn.sequences.video_data import VideoBatch, VideoSet, set_of_clips
from vqa_rnn.sequences.video_file import label_entries, read_videos, split_videos

STEPS = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1), STILL: (0, 0)}
FRAME_LABELS = tuple(sorted((*DIRECTIONS, STILL)))


def build(output: str = "sequence", cell: str = "lstm", **options: object) -> VideoModel:
    torch.manual_seed(0)
    model = VideoModel(FeatureEncoder(6, 5), 5, 3, cell, 4, output=output, **options)  # type: ignore[arg-type]
    return model.double().eval()


def batch_of(*videos: np.ndarray, labels: tuple[int, ...] = ()) -> VideoBatch:
    return VideoBatch(
        torch.from_numpy(np.concatenate(videos)),
        torch.tensor([len(video) for video in videos]),
        torch.tensor(labels or [0] * len(videos)),
        torch.arange(len(videos)),
    )


def random_videos(*lengths: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(length, 6)) for length in lengths]


def clips(count: int, **options: int) -> list[Clip]:
    return [make_clip(0, "train", number, **options) for number in range(count)]


def centre(frame: np.ndarray) -> np.ndarray:
    return np.argwhere((frame != BACKGROUND).any(axis=2)).mean(axis=0)


def test_a_frame_is_labelled_by_how_the_shape_moved_since_the_frame_before() -> None:
    for clip in clips(40, num_still=0):
        assert clip.labels[0] == STILL
        centres = [centre(frame) for frame in clip.frames]
        moves = [tuple(np.sign(np.round(after - before, 6)).astype(int)) for before, after in pairwise(centres)]
        assert moves == [STEPS[label] for label in clip.labels[1:]]


def test_the_label_of_a_video_is_the_last_of_its_two_directions() -> None:
    opposite = {"up": "down", "down": "up", "left": "right", "right": "left"}
    for clip in clips(100):
        first, last = (each for each in dict.fromkeys(clip.labels) if each != STILL)
        assert clip.label == last
        assert first not in (last, opposite[last])
    assert {clip.label for clip in clips(100)} == set(DIRECTIONS)


def test_a_video_shown_backwards_has_another_label_and_is_as_likely() -> None:
    opposite = {"up": "down", "down": "up", "left": "right", "right": "left", STILL: STILL}
    made = clips(1200, min_frames=6, max_frames=6, image_size=24, num_still=0)
    paths = Counter((clip.label, clip.labels[1:]) for clip in made)
    assert len(paths) == 8 * 3, "two moves, two moves, and a pause before, between or after"
    for (label, moves), count in paths.items():
        backwards = tuple(opposite[move] for move in reversed(moves))
        (other,) = [each for each, known in paths if known == backwards]
        assert other != label
        assert abs(count - paths[other, backwards]) < 40, "of 50 on average"


def test_a_video_depends_on_its_seed_split_and_number_alone() -> None:
    clip = make_clip(3, "val", 7)
    assert np.array_equal(clip.frames, make_clip(3, "val", 7).frames)
    others = [make_clip(4, "val", 7), make_clip(3, "test", 7), make_clip(3, "val", 8)]
    assert not any(np.array_equal(clip.frames, other.frames) for other in others)
    assert clip.frames.shape == (len(clip.labels), 32, 32, 3)
    assert {len(each.frames) for each in clips(60)} == {8, 9, 10, 11, 12}
    assert len({tuple(pixel) for pixel in clip.frames[0].reshape(-1, 3).tolist()}) <= 4, "three shapes and the background"


@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize("output", ["sequence", "frame"])
def test_neither_padding_nor_the_other_videos_of_a_batch_change_an_answer(cell: str, output: str) -> None:
    model = build(output, cell, num_layers=2)
    videos = random_videos(3, 1, 7, 4)
    together = model(batch_of(*videos))
    alone = torch.cat([model(batch_of(video)) for video in videos])
    assert together.shape == (4 if output == "sequence" else 15, 3)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_are_pooled_over_the_frames_that_exist(pooling: str, bidirectional: bool) -> None:
    model = build(pooling=pooling, bidirectional=bidirectional)
    videos = random_videos(3, 5)
    logits = model(batch_of(*videos))
    for video, found in zip(videos, logits, strict=True):
        states_TH, final = model.network(model.encoder(torch.from_numpy(video))[None])
        vector = {
            "last": model.network.last_output(final)[0],
            "mean": states_TH[0].mean(dim=0),
            "max": states_TH[0].amax(dim=0),
        }[pooling]
        torch.testing.assert_close(found, model.output(vector), rtol=0, atol=1e-12)


def test_pixels_are_encoded_frame_by_frame() -> None:
    torch.manual_seed(0)
    encoder = PixelEncoder(25, 7).double()
    frames = torch.randint(256, (5, 25, 25, 3), dtype=torch.uint8)
    torch.testing.assert_close(encoder(frames)[3:4], encoder(frames[3:4]), rtol=0, atol=1e-12)
    assert encoder(frames).shape == (5, 7)


def test_the_loss_of_a_video_is_the_sum_over_its_labels() -> None:
    videos = random_videos(2, 3)
    model = build("frame")
    batch = batch_of(*videos, labels=(0, 1, 2, 2, 0))
    logits = model(batch)
    losses, counts = model.losses(logits, batch)
    each = functional.cross_entropy(logits, batch.labels, reduction="none")
    torch.testing.assert_close(losses, torch.stack([each[:2].sum(), each[2:].sum()]))
    assert counts.tolist() == [2, 3]
    model = build("sequence")
    batch = batch_of(*videos, labels=(0, 2))
    losses, counts = model.losses(model(batch), batch)
    torch.testing.assert_close(losses, functional.cross_entropy(model(batch), batch.labels, reduction="none"))
    assert counts.tolist() == [1, 1]


def test_correct_labels_are_counted() -> None:
    model = build("frame")
    batch = batch_of(*random_videos(2, 3), labels=(0, 1, 2, 2, 0))
    right = int((model(batch).argmax(dim=1) == batch.labels).sum())
    assert correct_sums(model)(batch).tolist() == [right, 5]
    assert accuracy([3, 4]) == {"accuracy": 0.75}


def test_floors_change_the_order_and_keep_the_labels_with_their_frames() -> None:
    made = clips(20)
    videos = set_of_clips(made, "frame", FRAME_LABELS, "train")
    shuffled = videos.shuffled(0)
    assert [rows.tolist() for rows in shuffled.rows] != [rows.tolist() for rows in videos.rows]
    for before, after, labels, moved in zip(videos.rows, shuffled.rows, videos.labels, shuffled.labels, strict=True):
        assert dict(zip(before.tolist(), labels.tolist(), strict=True)) == dict(
            zip(after.tolist(), moved.tolist(), strict=True)
        )
    single = videos.of_one_frame()
    assert [rows.tolist() for rows in single.rows] == [[row] for rows in videos.rows for row in rows]
    assert np.concatenate(single.labels).tolist() == np.concatenate(videos.labels).tolist()
    whole = set_of_clips(made, "sequence", DIRECTIONS, "train")
    last = whole.of_one_frame().collate(np.array([3]))
    assert torch.equal(last.frames[0], torch.from_numpy(made[3].frames[-1]))
    assert last.labels.tolist() == whole.shuffled(0).labels[3].tolist() == [DIRECTIONS.index(made[3].label)]


def test_a_batch_has_the_frames_of_its_videos_in_order() -> None:
    made = clips(4)
    batch = set_of_clips(made, "frame", FRAME_LABELS, "train").collate(np.array([2, 0]))
    assert torch.equal(batch.frames, torch.from_numpy(np.concatenate([made[2].frames, made[0].frames])))
    assert batch.lengths.tolist() == [len(made[2].frames), len(made[0].frames)]
    assert [FRAME_LABELS[label] for label in batch.labels.tolist()] == [*made[2].labels, *made[0].labels]
    assert batch.example_index.tolist() == [2, 0]
    assert batch.num_examples == 2


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


LINE = {"frames": ["a.png", "b.png"], "label": "x", "labels": ["x", "y"]}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", ":2: not valid JSON: "),
        ("[]", ":2: an object such as "),
        ({"frames": [], "label": "x"}, ":2: 'frames' is empty: a video needs at least one frame"),
        ({"frames": ["a.png"], "labels": ["x", "y"]}, ":2: 2 labels and 1 frame: each frame needs one label"),
        ({"frames": ["a.png"], "label": ""}, ":2: a label or the name of a frame is empty"),
        ({"frames": ["a.png"], "lable": "x"}, ":2: unknown key 'lable': did you mean 'label'?"),
        ({"frames": ["a.png"], "label": 3}, """:2: 'label' is no text: write it as "label": "left\""""),
        (
            {"image": "a.png", "caption": "a dog"},
            ":2: the key 'frames' is missing (there are: image, caption): "
            'write a video as {"frames": ["a/0.png", "a/1.png"], "label": "left"}',
        ),
        ({"frames": "a.png"}, """:2: 'frames' is no list of texts: write it as "frames": ["a/0.png", "a/1.png"]"""),
        ({"frames": ["a.png"], "labels": [1]}, """:2: 'labels' is no list of texts: write it as "labels": ["still", "left"]"""),
        ({**LINE, "split": "dev"}, ":2: unknown split 'dev'"),
        ({**LINE, "split": ["val"]}, ":2: unknown split"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: object, error: str) -> None:
    path = write_lines(tmp_path / "videos.jsonl", LINE, line)
    with pytest.raises(UserError) as caught:
        read_videos(path)
    assert str(caught.value).startswith(f"{path}{error}")


def test_a_file_without_videos_or_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file of videos at "):
        read_videos(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="has no videos: write one a line"):
        read_videos(write_lines(tmp_path / "empty.jsonl", "", ""))
    (tmp_path / "latin.jsonl").write_bytes(b"\xe9")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_videos(tmp_path / "latin.jsonl")
    of_frames = write_lines(tmp_path / "videos.jsonl", {"frames": ["a.png"], "labels": ["x"]})
    with pytest.raises(UserError, match=r":1: model.output=sequence needs 'label': add it, or set model.output=frame$"):
        label_entries(read_videos(of_frames), "sequence")
    with pytest.raises(UserError, match="all training videos have the label 'x': at least two labels are needed"):
        label_entries(read_videos(of_frames), "frame")
    unknown = read_videos(write_lines(tmp_path / "videos.jsonl", LINE, {**LINE, "labels": ["x", "yy"], "split": "val"}))
    with pytest.raises(
        UserError, match=r":2: unknown label 'yy': did you mean 'y'\? \(known: x, y\): no training video has it"
    ):
        label_entries(unknown, "frame")


def test_validation_videos_are_taken_where_there_are_none(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "videos.jsonl", *[LINE] * 10, {**LINE, "split": "test"})
    videos = read_videos(path)
    assert videos[10].where == f"{path}:11"
    split = split_videos(videos, 0.2, 0)
    assert Counter(video.split for video in split) == {"train": 8, "val": 2, "test": 1}
    assert split == split_videos(videos, 0.2, 0)
    assert any(split_videos(videos, 0.2, seed) != split for seed in range(1, 9))
    assert Counter(video.split for video in split_videos(videos, 0, 0)) == {"train": 10, "test": 1}
    given = [video._replace(split="val") for video in videos[:3]] + videos[3:]
    assert split_videos(given, 0.2, 0) == given
    with pytest.raises(
        UserError, match="leaves no video for training: it has 1 video, 1 in the split train, of which validation takes 1"
    ):
        split_videos(videos[:1], 0.5, 0)


def test_a_set_says_which_labels_it_has() -> None:
    rows, labels = [np.arange(1)], [np.zeros(1, dtype=np.int64)]
    single = VideoSet(np.zeros((1, 2)).__getitem__, rows, labels, ["a"], "frame")
    assert single.shuffled(0).labels[0].tolist() == [0]
    assert single.of_one_frame().names == ["a"]
