"""Score random, unusual answers with the package and step by step as the official script does, and compare the scores.

    python scripts/soak/vqa_parity.py [--cases 100000] [--seed 0]

The texts contain what the rules look at: marks next to and between words, digits with commas, repeated periods, number words,
articles, contractions, capitals and all kinds of blanks. There are one to twelve human answers per question; their ids are
unique, repeated or missing. Every case is scored under both rules, alone and in a batch. Prints the first scores that differ by
more than 1e-9; the exit code is 1 if there are any.
"""

import argparse
import random
import runpy
import sys
from pathlib import Path
from typing import Any

from vqa_rnn.answers import RULES, consensus_score
from vqa_rnn.metrics.vqa import consensus_scores

LITERAL = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "literal_vqa.py"))
_WORDS = """
yes no red Red blue cat dog dogs none zero one two ten 2 10 1,000 2.5 .5 3. a an the The A dont don't Im Ive its let's
somebody'd t-shirt a.m. é 青い ß İ ٣,٣ ... $5 50% 10:30 & who's
"""
WORDS = _WORDS.split()
MARKS = [*';/[]"{}()=+\\_-><@`,?!.:$*', "'"]
BLANKS = [" ", " ", " ", "", "  ", "\t", "\n", "\r", "\u00a0", "\u2028"]
Case = tuple[str, list[dict[str, Any]]]


def make_text(generator: random.Random) -> str:
    """Return up to three words with marks between and around them."""
    if generator.random() < 0.4:
        return generator.choice(WORDS)
    parts = []
    for _ in range(generator.randint(1, 3)):
        parts += [generator.choice(WORDS), generator.choice(BLANKS)]
        if generator.random() < 0.4:
            parts += [generator.choice(MARKS) * generator.choice([1, 1, 1, 2, 40]), generator.choice(BLANKS)]
    return "".join(parts)


def make_case(generator: random.Random) -> Case:
    """Return an answer, and the records of the people that it is compared with."""
    number = generator.choice([10] * 8 + [1, 2, 3, 5, 12])
    pool = [make_text(generator) for _ in range(generator.randint(1, 4))]
    if generator.random() < 0.3:
        pool.append(generator.choice([str.lower, str.upper, str.strip])(pool[0]))
    people: list[dict[str, Any]] = [{"answer": generator.choice(pool)} for _ in range(number)]
    numbering = generator.choice(["official", "official", "none", "twice", "some"])
    for i, person in enumerate(people, start=1):
        if numbering == "official" or (numbering == "some" and generator.random() < 0.5):
            person["answer_id"] = i
        elif numbering == "twice":
            person["answer_id"] = generator.randint(0, 3)
        if generator.random() < 0.9:
            person["answer_confidence"] = generator.choice(["yes", "maybe", "no"])
    return generator.choice([*pool, make_text(generator)]), people


def identities(people: list[dict[str, Any]]) -> list[tuple[Any, Any]] | None:
    """Return the identities as a reader does: None if the answer ids distinguish the records."""
    numbers = [person.get("answer_id") for person in people]
    if len(set(numbers)) == len(numbers):
        return None
    return [(person.get("answer_id"), person.get("answer_confidence")) for person in people]


def find_differences(num_cases: int, seed: int) -> list[str]:
    """Score random cases in every way.

    Args:
        num_cases: Number of cases.
        seed: Seed of the cases.

    Returns:
        One line for each score that differs.
    """
    generator = random.Random(seed)
    cases = [make_case(generator) for _ in range(num_cases)]
    answers = [answer for answer, _ in cases]
    humans = [[person["answer"] for person in people] for _, people in cases]
    records = [identities(people) for _, people in cases]
    wrong = []
    for rule in RULES:
        together = consensus_scores(answers, humans, rule, records)
        for i, (answer, people) in enumerate(cases):
            wanted = LITERAL["score_question"](answer, people, rule)
            alone = consensus_score(answer, humans[i], rule, records[i])
            if max(abs(wanted - alone), abs(wanted - together[i])) > 1e-9:
                wrong.append(f"rule {rule}: {answer!r} for {people}: {alone} alone, {together[i]} together, should be {wanted}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wrong = find_differences(arguments.cases, arguments.seed)
    for line in wrong[:5]:
        print(line)
    print(f"{arguments.cases:,} cases under {len(RULES)} rules: {len(wrong):,} scores differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
