"""HTML templates."""

from pathlib import Path

import jinja2


def html_templates(folder: Path) -> jinja2.Environment:
    """Open a folder of HTML templates. Values are escaped, and an undefined name is an error.

    Args:
        folder: The folder.

    Returns:
        The templates.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
