"""The official VQA evaluation step by step, without shortcuts, as a reference for tests and benchmarks.

    python scripts/benchmarks/literal_vqa.py QUESTIONS ANNOTATIONS RESULTS [--rule 2021]

Every person's answer is cleaned anew for every question, and the other answers are found by comparing whole records, ten times
ten per question. It shares only tables with the package. Prints one JSON object.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

TABLES = json.loads((Path(__file__).parents[2] / "vqa_rnn" / "vqa_normalisation.json").read_text(encoding="utf-8"))
DIGIT_COMMA_DIGIT = re.compile(r"(\d)(,)(\d)")
PERIOD = re.compile(r"(?!<=\d)(\.)(?!\d)")


def flatten(text: str) -> str:
    """Replace line ends and tabs by blanks, and strip both ends."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def clean_punctuation(text: str) -> str:
    """Clean the 21 punctuation marks and the periods."""
    cleaned = text
    for mark in TABLES["punctuation"]:
        if (mark + " " in text or " " + mark in text) or re.search(DIGIT_COMMA_DIGIT, text) is not None:
            cleaned = cleaned.replace(mark, "")
        else:
            cleaned = cleaned.replace(mark, " ")
    return PERIOD.sub("", cleaned, int(re.UNICODE))


def clean_words(text: str) -> str:
    """Clean number words, articles and contractions."""
    words = []
    for word in text.lower().split():
        word = TABLES["number_words"].get(word, word)
        if word not in TABLES["articles"]:
            words.append(word)
    for i, word in enumerate(words):
        if word in TABLES["contractions"]:
            words[i] = TABLES["contractions"][word]
    return " ".join(words)


def score_question(answer: str, people: list[dict[str, Any]], rule: str) -> float:
    """Score one answer against the records of all people."""
    people = [dict(person) for person in people]
    answer = flatten(answer)
    if rule == "2021":
        for person in people:
            person["answer"] = flatten(person["answer"])
        if len({person["answer"] for person in people}) > 1:
            for person in people:
                person["answer"] = clean_words(clean_punctuation(person["answer"]))
            answer = clean_words(clean_punctuation(answer))
    else:
        answer = clean_words(clean_punctuation(answer))
        if len({person["answer"] for person in people}) > 1:
            for person in people:
                person["answer"] = clean_punctuation(person["answer"])
    accuracies = []
    for person in people:
        others = [other for other in people if other != person]
        matching = [other for other in others if other["answer"] == answer]
        accuracies.append(min(1.0, len(matching) / 3))
    return sum(accuracies) / len(accuracies)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def evaluate(questions: Path, annotations: Path, results: Path, rule: str) -> dict[str, Any]:
    """Read the three files, score every question, and average over all and over each kind."""
    asked = {record["question_id"]: record for record in json.loads(questions.read_text(encoding="utf-8"))["questions"]}
    truth = {record["question_id"]: record for record in json.loads(annotations.read_text(encoding="utf-8"))["annotations"]}
    submitted = {record["question_id"]: record["answer"] for record in json.loads(results.read_text(encoding="utf-8"))}
    if set(submitted) != set(truth) or set(truth) != set(asked):
        raise SystemExit("the results are not of these questions")
    scores: list[float] = []
    by_question_type: dict[str, list[float]] = {}
    by_answer_type: dict[str, list[float]] = {}
    for question_id, record in truth.items():
        score = score_question(submitted[question_id], record["answers"], rule)
        scores.append(score)
        by_question_type.setdefault(record["question_type"], []).append(score)
        by_answer_type.setdefault(record["answer_type"], []).append(score)
    return {
        "accuracy": mean(scores),
        "per_answer_type": {kind: mean(values) for kind, values in by_answer_type.items()},
        "per_question_type": {kind: mean(values) for kind, values in by_question_type.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--rule", choices=("2021", "2015"), default="2021")
    arguments = parser.parse_args()
    print(json.dumps(evaluate(arguments.questions, arguments.annotations, arguments.results, arguments.rule)))


if __name__ == "__main__":
    main()
