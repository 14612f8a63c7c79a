"""Candidate answers from a user's file."""

from pathlib import Path

from vqa_rnn.answers import fold_answer
from vqa_rnn.errors import UserError


def read_choices(path: Path) -> tuple[str, ...]:
    """Read candidate answers, one per line.

    Args:
        path: A UTF-8 text file; empty lines are ignored.

    Returns:
        At least two answers, in the order of the file.

    Raises:
        UserError: The file is missing or not UTF-8 text, an answer occurs twice, or there are fewer than two answers.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UserError(f"no file of choices at {path}: write one choice per line; for a single choice use --choice") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: choices are read from a text file, one per line") from None
    except OSError as error:
        raise UserError(f"cannot read choices from {path}: {error.strerror or error}") from error
    choices: list[str] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        choice = line.strip()
        if not choice:
            continue
        first = line_of.setdefault(fold_answer(choice), number)
        if first != number:
            raise UserError(f"{path}:{number}: the choice '{choice}' comes twice (first on line {first})")
        choices.append(choice)
    if len(choices) < 2:
        found = "one choice" if choices else "no choices"
        raise UserError(f"{path} has {found}: at least two are needed, one per line")
    return tuple(choices)
