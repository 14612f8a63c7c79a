"""Generated pairs for sequence-to-sequence models: strings to reverse or to sort, and dates to normalise."""

import datetime
from collections.abc import Callable, Sequence

import numpy as np

from vqa_rnn.sequences.seq2seq_data import Pair

LONGEST_DATE = len("wednesday, the 22nd of september, 2000")
ISO_LENGTH = len("1985-05-03")
FIRST_DAY, LAST_DAY = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")  # not those of the locale

# Numbers alone are always day, month, year, or year, month, day. Two digits of a year are from 1950 to 2049.
DATE_FORMS = (
    "{weekday}, {day} {month} {year}",
    "{weekday:.3} {day} {month:.3} {year}",
    "{weekday}, the {day}{th} of {month}, {year}",
    "{day} {month} {year}",
    "{day} {month:.3} {year}",
    "{day} {month:.3} {short:02}",
    "{day}-{month:.3}-{year}",
    "{day}{th} {month} {year}",
    "{day}{th} of {month} {year}",
    "the {day}{th} of {month} {year}",
    "{month} {day}, {year}",
    "{month:.3} {day}, {year}",
    "{month} {day}{th}, {year}",
    "{year} {month} {day}",
    "{day:02}/{number:02}/{short:02}",
    "{day:02}/{number:02}/{year}",
    "{day}/{number}/{year}",
    "{day}.{number}.{year}",
    "{day:02}.{number:02}.{short:02}",
    "{year}/{number}/{day}",
    "{year}{number:02}{day:02}",
)
CASES: tuple[Callable[[str], str], ...] = (str, str.lower, str.upper)


def symbol_pairs(
    target_of: Callable[[str], str], alphabet: str, min_length: int, max_length: int, num_pairs: int, seed: int
) -> list[Pair]:
    """Generate random strings, all different, with their targets.

    Args:
        target_of: Computes the target of a string: ``reverse`` or ``in_order``.
        alphabet: The symbols.
        min_length: Shortest length.
        max_length: Longest length. All lengths are equally likely, as long as there are new strings of a length.
        num_pairs: Number of pairs; at most half of the strings that there are.
        seed: Seed of the random numbers.

    Returns:
        The pairs in random order.
    """
    generator = np.random.default_rng(seed)
    sources: dict[str, None] = {}
    while len(sources) < num_pairs:
        length = generator.integers(min_length, max_length + 1)
        sources["".join(alphabet[place] for place in generator.integers(len(alphabet), size=length))] = None
    found = list(sources)  # the shortest strings, of which there are few, come first
    return [Pair(found[place], target_of(found[place])) for place in generator.permutation(num_pairs)]


def reverse(text: str) -> str:
    """Reverse a text.

    Args:
        text: The text.

    Returns:
        The text backwards.
    """
    return text[::-1]


def in_order(text: str) -> str:
    """Sort the symbols of a text.

    Args:
        text: The text.

    Returns:
        Its symbols in the order of their code points.
    """
    return "".join(sorted(text))


def date_pairs(num_pairs: int, seed: int) -> list[Pair]:
    """Draw dates, all different, and write each of them in one of many ways.

    Args:
        num_pairs: Number of pairs; at most the number of days from 1950 to 2049.
        seed: Seed of the random numbers.

    Returns:
        The pairs; a target is a date of ISO 8601, such as 1985-05-03.
    """
    generator = np.random.default_rng(seed)
    days = generator.permutation((LAST_DAY - FIRST_DAY).days + 1)[:num_pairs]
    forms = generator.integers(len(DATE_FORMS), size=num_pairs)
    cases = generator.integers(len(CASES), size=num_pairs)
    pairs = []
    for day, form, case in zip(days.tolist(), forms.tolist(), cases.tolist(), strict=True):
        date = FIRST_DAY + datetime.timedelta(days=day)
        pairs.append(Pair(CASES[case](write_date(date, DATE_FORMS[form])), date.isoformat()))
    return pairs


def write_date(date: datetime.date, form: str) -> str:
    """Write a date.

    Args:
        date: The date.
        form: One of ``DATE_FORMS``.

    Returns:
        The text, such as ``3rd of May 1985``.
    """
    return form.format(
        weekday=WEEKDAYS[date.weekday()],
        day=date.day,
        th={1: "st", 2: "nd", 3: "rd"}.get(0 if date.day in (11, 12, 13) else date.day % 10, "th"),
        month=MONTHS[date.month - 1],
        number=date.month,
        year=date.year,
        short=date.year % 100,
    )


def date_characters() -> Sequence[str]:
    """Return every character that a date can be written with.

    Returns:
        The characters, each once.
    """
    words = "".join([*MONTHS, *WEEKDAYS, *DATE_FORMS, "stndrdth0123456789"])
    return sorted(set(words + words.lower() + words.upper()) - set("{}:"))
