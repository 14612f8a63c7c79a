"""Notebooks as plain Python in the percent format: how to read their cells and show them as a page."""

import re
from typing import NamedTuple

MARKDOWN, PARAMETERS = "[markdown]", 'tags=["parameters"]'


class Cell(NamedTuple):
    """A cell of a notebook.

    Attributes:
        header: The text after ``# %%``.
        text: Its Markdown without the comment signs, or its code.
    """

    header: str
    text: str


def read_cells(script: str) -> list[Cell]:
    """Split a script into cells.

    Args:
        script: Python whose cells begin with ``# %%``. Text before the first cell is left out.

    Returns:
        The cells, in order.
    """
    parts = re.split(r"^# %%(.*)\n", script, flags=re.MULTILINE)[1:]
    cells = []
    for header, text in zip(parts[::2], parts[1::2], strict=True):
        if MARKDOWN in header:
            text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        cells.append(Cell(header.strip(), text.strip("\n")))
    return cells


def with_parameters(script: str, parameters: str) -> str:
    """Add a cell with other parameters after the one with the tag ``parameters``, as papermill does.

    Args:
        script: The notebook.
        parameters: Lines of Python that assign them.

    Returns:
        The changed notebook.

    Raises:
        ValueError: No cell has the tag.
    """
    before, tag, after = script.partition(f"# %% {PARAMETERS}\n")
    cell, mark, rest = after.partition("# %%")
    if not tag:
        raise ValueError(f"no cell has {PARAMETERS}")
    return f"{before}{tag}{cell}# %%\n{parameters}\n\n{mark}{rest}"


def as_page(script: str, name: str) -> str:
    """Return a notebook as a page of the documentation.

    Args:
        script: The notebook.
        name: Its path in the repository, which is shown under the title.

    Returns:
        Markdown, with code in blocks.
    """
    title, *cells = read_cells(script)
    note = f"*This page is the notebook `{name}`. Open it in VS Code, in Jupyter with jupytext, or run it with Python.*"
    parts = [title.text, note]
    parts += [cell.text if MARKDOWN in cell.header else f"```python\n{cell.text}\n```" for cell in cells]
    return "\n\n".join(parts) + "\n"
