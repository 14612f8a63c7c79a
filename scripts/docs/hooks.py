"""Hooks of mkdocs: notebooks become pages, and one page lists every option (see ``mkdocs.yml``)."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebook import as_page
from options import options_page


class NotebookFile(File):
    """A Python file that is shown as a page."""

    def is_documentation_page(self) -> bool:
        """Return True, as for a Markdown file."""
        return True


def on_files(files: Files, config: Any) -> Files:
    """Turn notebooks into pages."""
    for file in list(files):
        if file.src_uri.startswith("notebooks/") and file.src_uri.endswith(".py"):
            files.remove(file)
            files.append(NotebookFile(file.src_uri, config.docs_dir, config.site_dir, config.use_directory_urls))
    return files


def on_page_read_source(page: Page, config: Any) -> str | None:
    """Read a notebook as Markdown; None for other pages."""
    if not isinstance(page.file, NotebookFile):
        return None
    path = Path(config.docs_dir, page.file.src_uri)
    return as_page(path.read_text(encoding="utf-8"), f"docs/{page.file.src_uri}")


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Add every option to the page of options, and hide the navigation on the front page."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]
    return f"{markdown}\n\n{options_page()}" if page.file.src_uri == "options.md" else markdown
