"""`vqa-rnn score visdial`."""

import copy
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.annotations.test_visdial import mutated
from vqa_rnn.cli import main
from vqa_rnn.commands.score.visdial import read_truth, score_ranks, score_visdial
from vqa_rnn.errors import UserError

SHARED = Path(__file__).parents[2] / "shared" / "data"
SAMPLE, GOLDENS = SHARED / "visdial_sample", SHARED / "goldens" / "visdial_ranks.json"

DIALOGS = {
    "split": "val2018",
    "data": {
        "questions": ["is it a cat", "is it big"],
        "answers": ["yes", "no", "maybe", "i think so"],
        "dialogs": [
            {
                "image_id": 5,
                "caption": "a cat",
                "dialog": [
                    {"question": 0, "answer": 0, "answer_options": [0, 1, 2, 3], "gt_index": 0},
                    {"question": 1, "answer": 1, "answer_options": [3, 2, 1, 0], "gt_index": 2},
                ],
            },
            {
                "image_id": 6,
                "caption": "à côté",
                "dialog": [{"question": 0, "answer": 3, "answer_options": [0, 1, 3, 2], "gt_index": 2}],
            },
        ],
    },
}
RANKS = [
    {"image_id": 5, "round_id": 1, "ranks": [1, 2, 3, 4]},
    {"image_id": 5, "round_id": 2, "ranks": [1, 2, 4, 3]},
    {"image_id": 6, "round_id": 1, "ranks": [1, 4, 2, 3]},
]
DENSE = [
    {"image_id": 5, "round_id": 2, "gt_relevance": [0.2, 0, 1, 0]},
    {"image_id": 6, "round_id": 1, "gt_relevance": [0.5, 0, 1, 0]},
]
NDCG_5 = 0.2 / (1 + 0.2 / np.log2(3))  # k = 2: the first option of the two is ranked 1, the other 4
NDCG_6 = (0.5 + 1 / np.log2(3)) / (1 + 0.5 / np.log2(3))


def put(folder: Path, **contents: Any) -> dict[str, Path]:
    paths = {}
    for name, content in {"dialogs": DIALOGS, "results": RANKS, "dense": DENSE, **contents}.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return paths


def score(folder: Path, *, allow_missing: bool = False, **contents: Any) -> dict[str, Any]:
    return score_visdial(**put(folder, **contents), allow_missing=allow_missing)


def error_of(folder: Path, **contents: Any) -> str:
    with pytest.raises(UserError) as caught:
        score(folder, **contents)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_submission_worked_by_hand(tmp_path: Path):
    report = score(tmp_path)
    intervals = report.pop("intervals")
    assert report.pop("signature").startswith("visdial|split:val2018|n:3|dense:2|version:")
    assert report == {
        "benchmark": "visdial",
        "num_rounds": 3,
        "num_dialogs": 2,
        "r@1": pytest.approx(1 / 3),
        "r@5": 1.0,
        "r@10": 1.0,
        "mean_rank": pytest.approx((1 + 4 + 2) / 3),
        "mrr": pytest.approx((1 + 1 / 4 + 1 / 2) / 3),
        "ndcg": pytest.approx((NDCG_5 + NDCG_6) / 2),
        "num_judged": 2,
    }
    assert list(intervals) == ["r@1", "r@5", "r@10", "mean_rank", "mrr", "ndcg"]
    assert all(low <= report[name] <= high for name, (low, high) in intervals.items())
    assert intervals["ndcg"] == pytest.approx([NDCG_5, NDCG_6])


def test_without_relevance_there_is_no_ndcg(tmp_path: Path):
    paths = put(tmp_path)
    report = score_visdial(paths["dialogs"], paths["results"])
    assert report["ndcg"] is None
    assert report["intervals"]["ndcg"] is None
    assert "dense" not in report["signature"]
    assert "num_judged" not in report


def test_the_order_of_the_records_does_not_matter(tmp_path: Path):
    assert score(tmp_path, results=RANKS[::-1], dense=DENSE[::-1]) == score(tmp_path)


def test_missing_rounds_count_as_the_worst(tmp_path: Path):
    message = error_of(tmp_path, results=RANKS[:2])
    assert message.startswith(str(tmp_path / "results.json"))
    assert "1 round missing (6/1)" in message
    assert "--allow-missing" in message
    report = score(tmp_path, allow_missing=True, results=RANKS[:2])
    assert (report["num_rounds"], report["num_answered"]) == (3, 2)
    assert report["mean_rank"] == pytest.approx((1 + 4 + 4) / 3)
    assert report["mrr"] == pytest.approx((1 + 1 / 4 + 1 / 4) / 3)
    assert report["ndcg"] == pytest.approx((NDCG_5 + 0) / 2)
    assert "answered:2" in report["signature"]
    assert score(tmp_path, allow_missing=True)["num_answered"] == 3


def test_nothing_answered_at_all(tmp_path: Path):
    report = score(tmp_path, allow_missing=True, results=[])
    assert (report["num_answered"], report["r@1"], report["mean_rank"], report["ndcg"]) == (0, 0, 4, 0)


def test_a_round_without_relevant_options_is_left_out_and_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    dense = [DENSE[0], {"image_id": 6, "round_id": 1, "gt_relevance": [0, 0, 0, 0]}]
    with caplog.at_level(logging.WARNING):
        report = score(tmp_path, dense=dense)
    assert report["ndcg"] == pytest.approx(NDCG_5)
    assert report["num_judged"] == 1
    assert "1 of 2 rounds have no relevant option" in caplog.text
    report = score(tmp_path, dense=dense[1:])
    assert report["ndcg"] is None
    assert report["intervals"]["ndcg"] is None


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"image_id": 6, "round_id": 1, "ranks": [1, 2, 3]}, ["[2].ranks: 3 ranks for the 4 options", "round 1 of image 6"]),
        ({"image_id": 6, "round_id": 1, "ranks": [1, 2, 3, 3]}, ["[2].ranks: 3 comes twice", "from 1 to 4"]),
        ({"image_id": 6, "round_id": 1, "ranks": [0, 1, 2, 3]}, ["[2].ranks: 0 is no rank", "from 1 to 4"]),
        ({"image_id": 6, "round_id": 1, "ranks": [1, 2, 3, 5]}, ["[2].ranks: 5 is no rank"]),
        ({"image_id": 6, "round_id": 1, "ranks": [1, 2, 3, -4]}, ["[2].ranks[3]", ">= 0"]),
        ({"image_id": 6, "round_id": 1, "ranks": [1, 2, 3, 10**30]}, ["[2].ranks[3]"]),
        ({"image_id": 6, "round_id": 1, "ranks": [1, 2, 3, 2.5]}, ["[2].ranks[3]", "got `float`"]),
        ({"image_id": 6, "round_id": 1, "ranks": "1234"}, ["[2].ranks", "got `str`"]),
        ({"image_id": 6, "round_id": 1}, ["[2]: the key 'ranks' is missing"]),
        ({"image_id": 6, "ranks": [1, 2, 3, 4]}, ["[2]: the key 'round_id' is missing"]),
        ({"image_id": 6, "round_id": 0, "ranks": [1, 2, 3, 4]}, ["1 round unknown (6/0)"]),
        ({"image_id": 6, "round_id": 2, "ranks": [1, 2, 3, 4]}, ["1 round unknown (6/2)", "1 round missing (6/1)"]),
        ({"image_id": 7, "round_id": 1, "ranks": [1, 2, 3, 4]}, ["1 round unknown (7/1)"]),
        (RANKS[0], ["1 round answered more than once (5/1)"]),
        ([], ["[2]: expected `object`"]),
    ],
    ids=str,
)
def test_a_wrong_record_is_named_with_its_key(tmp_path: Path, record: Any, words: list[str]):
    message = error_of(tmp_path, results=[*RANKS[:2], record])
    assert [word for word in [str(tmp_path / "results.json"), *words] if word not in message] == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(which=st.sampled_from(["dialogs", "results", "dense"]), allow_missing=st.booleans(), data=st.data())
def test_a_spoilt_file_gives_a_report_or_one_error(tmp_path: Path, which: str, allow_missing: bool, data: st.DataObject):
    paths = put(tmp_path)
    paths[which].write_bytes(data.draw(mutated({"dialogs": DIALOGS, "results": RANKS, "dense": DENSE}[which])))
    try:
        report = score_visdial(**paths, allow_missing=allow_missing)
    except UserError as error:
        message = str(error)
    else:
        message = str(tmp_path)
        assert 1 <= report["mean_rank"] <= 4
        assert report["ndcg"] is None or 0 <= report["ndcg"] <= 1
    assert str(tmp_path) in message
    assert "\n" not in message


def test_withheld_answers_are_refused(tmp_path: Path):
    dialogs = copy.deepcopy(DIALOGS)
    last = dialogs["data"]["dialogs"][0]["dialog"][1]
    del last["answer"], last["gt_index"]
    message = error_of(tmp_path, dialogs=dialogs)
    assert f"{tmp_path / 'dialogs.json'}: the true answers are withheld (data.dialogs[0].dialog[1] has no gt_index)" in message


@pytest.mark.parametrize(
    ("dense", "words"),
    [
        ([DENSE[0], {"image_id": 9, "round_id": 1, "gt_relevance": [1, 0, 0, 0]}], ["[1].image_id", "image 9"]),
        ([DENSE[0], {"image_id": 6, "round_id": 2, "gt_relevance": [1, 0, 0, 0]}], ["[1].round_id: 2"]),
        ([{"image_id": 6, "round_id": 1, "gt_relevance": [1, 0, 0]}], ["[0].gt_relevance: 3 numbers"]),
        ([], ["is empty"]),
    ],
    ids=str,
)
def test_wrong_relevance_is_named(tmp_path: Path, dense: Any, words: list[str]):
    message = error_of(tmp_path, dense=dense)
    assert [word for word in [str(tmp_path / "dense.json"), *words] if word not in message] == []


@pytest.mark.parametrize("name", ["dialogs", "results", "dense"])
def test_a_missing_and_a_cut_file_are_named(tmp_path: Path, name: str):
    paths = put(tmp_path)
    paths[name].write_bytes(paths[name].read_bytes()[:-5])
    with pytest.raises(UserError, match=rf"{name}\.json is not valid JSON: it ends in the middle"):
        score_visdial(**paths)
    paths[name].unlink()
    with pytest.raises(UserError, match=rf"no VisDial .* at .*{name}\.json"):
        score_visdial(**paths)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    paths = put(tmp_path)
    arguments = ["score", "visdial", "--dialogs", str(paths["dialogs"]), "--results", str(paths["results"])]
    assert main([*arguments, "--dense", str(paths["dense"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(score_visdial(**paths)))
    assert main(arguments) == 0
    assert "mean_rank" in capsys.readouterr().out


def test_nothing_heavy_is_loaded():
    libraries = ["torch", "ignite", "nltk"]
    code = f"import sys, vqa_rnn.commands.score.visdial; print([name for name in {libraries} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"


@pytest.mark.skipif(not GOLDENS.is_file(), reason="the official sample and its goldens are not at hand")
def test_the_official_code_says_the_same():
    report = score_visdial(
        SAMPLE / "visdial_1.0_val_sample.json",
        GOLDENS,
        dense=SAMPLE / "visdial_1.0_val_dense_annotations_sample.json",
    )
    official = {
        "r@1": 0.48552632,
        "r@5": 0.52499998,
        "r@10": 0.57236844,
        "mean_rank": 15.03552628,
        "mrr": 0.51903653,
        "ndcg": 0.21818864,
    }
    assert {name: report[name] for name in official} == pytest.approx(official, abs=2e-6)


def random_dialogs(num_dialogs: int, num_options: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    generator = np.random.default_rng(0)
    dialogs, dense = [], []
    for image_id in range(num_dialogs):
        rounds = []
        for _ in range(10):
            options = generator.permutation(num_options).tolist()
            truth = int(generator.integers(num_options))
            rounds.append({"question": 0, "answer": options[truth], "answer_options": options, "gt_index": truth})
        dialogs.append({"image_id": image_id, "caption": "a thing", "dialog": rounds})
        relevance = generator.choice([0, 0, 0, 0.2, 0.6, 1], size=num_options).tolist()
        dense.append({"image_id": image_id, "round_id": int(generator.integers(10)) + 1, "gt_relevance": relevance})
    answers = [f"answer {i}" for i in range(num_options)]
    return {"data": {"questions": ["what is it"], "answers": answers, "dialogs": dialogs}}, dense


@pytest.mark.parametrize("place", ["first", "last", "random"])
def test_rankings_made_from_the_truth_equal_plain_numpy(tmp_path: Path, place: str):
    dialogs, dense = random_dialogs(20, 100)
    paths = put(tmp_path, dialogs=dialogs, dense=dense)
    truth = read_truth(paths["dialogs"], paths["dense"])
    generator = np.random.default_rng(1)
    ranks = np.array([generator.permutation(100) + 1 for _ in truth.keys])
    for row, correct in enumerate(truth.correct):
        wanted = {"first": 1, "last": 100, "random": ranks[row, correct]}[place]
        other = np.flatnonzero(ranks[row] == wanted)[0]
        ranks[row, [correct, other]] = ranks[row, [other, correct]]
    report = score_ranks(truth, truth.keys, ranks.tolist(), paths["results"])
    found = ranks[np.arange(len(ranks)), truth.correct]
    expected = {f"r@{k}": np.mean(found <= k) for k in (1, 5, 10)}
    expected |= {"mean_rank": np.mean(found), "mrr": np.mean(1 / found)}
    gains = []
    for record in dense:
        values = np.array(record["gt_relevance"])
        row = ranks[truth.keys.index((record["image_id"], record["round_id"]))]
        k = np.count_nonzero(values)
        predicted = values[np.argsort(row)][:k]
        ideal = np.sort(values)[::-1][:k]
        discount = np.log2(np.arange(k) + 2)
        gains.append((predicted / discount).sum() / (ideal / discount).sum())
    expected["ndcg"] = np.mean(gains)
    assert {name: report[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    if place == "first":
        assert (report["r@1"], report["mean_rank"], report["mrr"]) == (1, 1, 1)
    if place == "last":
        assert (report["r@10"], report["mean_rank"], report["mrr"]) == (0, 100, pytest.approx(0.01))
