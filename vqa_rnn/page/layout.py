"""The layout and the events of the page."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from vqa_rnn.answering.protocol import AnySession
from vqa_rnn.errors import UserError
from vqa_rnn.page.examples import Example
from vqa_rnn.page.show import show_about, show_answer, show_dialog, show_examples
from vqa_rnn.page.visitor import Visitor

log = logging.getLogger("vqa_rnn")

KEPT_SECONDS = 3600  # that an image and a dialog are kept after their last use
UPLOAD_SECONDS = 600  # that the file of an upload is kept
MOST_WAITING = 200  # number of waiting questions

# on a phone, the answer is below the question
SHOW_ANSWER = "() => innerWidth < 768 && document.getElementById('answer').scrollIntoView({behavior: 'smooth'})"
CHOOSE_EXAMPLE = """
element.querySelectorAll('button').forEach((button, number) =>
  button.addEventListener('click', () => trigger('click', {number: number})))
"""

Changes = dict[Any, Any]  # new values of components


class Parts(NamedTuple):
    """The components that an event may change. ``visitor`` is not displayed."""

    visitor: gr.State
    image: gr.Image
    caption: gr.Textbox
    dialog: gr.HTML
    undo: gr.Button
    reset: gr.Button
    question: gr.Textbox
    choices: gr.Textbox
    answer: gr.HTML
    occlusion: gr.Button


def build_page(session: AnySession, title: str, examples: Sequence[Example]) -> gr.Blocks:
    """Build the page.

    Args:
        session: A session with the model. Each visitor gets a new session with the same model.
        title: The title of the page.
        examples: The examples to show.

    Returns:
        The page, not served yet.

    Raises:
        UserError: The image of an example cannot be read.
    """
    # a single thread asks the model, in order of arrival
    one_at_a_time: dict[str, Any] = {"preprocess": False, "concurrency_id": "model", "concurrency_limit": 1}
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(60, UPLOAD_SECONDS), fill_width=True) as page:
        gr.HTML(show_about(session.about, title))
        parts = _lay_out(session)
        gallery = gr.HTML(show_examples(examples), js_on_load=CHOOSE_EXAMPLE, apply_default_css=False, visible=bool(examples))
        events = Events(session, title, examples, parts)
        listen = one_at_a_time | {
            "outputs": list(parts),
            "api_visibility": "private",
            "show_progress": "minimal",
            "show_progress_on": parts.answer,
        }
        parts.image.upload(events.look, [parts.visitor, parts.image], **listen)  # also from the camera and the clipboard
        parts.image.clear(events.forget, [parts.visitor], **listen)
        texts = [parts.question, parts.choices, parts.caption]
        asked = parts.question.submit(events.reply, [parts.visitor, *texts], **listen)
        chosen = gallery.click(events.choose, [parts.visitor], **listen)
        for event in (asked, chosen):
            event.then(None, js=SHOW_ANSWER, api_visibility="private")
        parts.undo.click(events.undo, [parts.visitor], **listen)
        parts.reset.click(events.reset, [parts.visitor], **listen)
        parts.occlusion.click(events.occlude, [parts.visitor], **listen)
        with gr.Row(visible=False):  # the endpoint for scripts
            inputs = [_image(label="image"), gr.Textbox("", label="question"), gr.JSON(label="choices")]
            inputs += [gr.Textbox("", label="caption"), gr.JSON(label="history")]
            gr.Button().click(events.answer, inputs, gr.JSON(label="answer"), api_name="ask", **one_at_a_time)
    return page.queue(api_open=False, max_size=MOST_WAITING)


def _lay_out(session: AnySession) -> Parts:
    """Create the components: the question on the left, the answer on the right; on a phone, the answer is below."""
    visitor = gr.State(time_to_live=KEPT_SECONDS)
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            image = _image(
                label="Image",
                height=180 if session.is_dialog else 260,
                sources=["upload", "webcam", "clipboard"],
                buttons=[],
                visible=session.sees_images,
            )
            caption = gr.Textbox("", label="Caption: what to know about the image", max_lines=3, visible=session.is_dialog)
            dialog = gr.HTML(visible=session.is_dialog, max_height=180, autoscroll=True)
            with gr.Row():
                undo = gr.Button("Take the last question back", visible=False, size="sm", min_width=100)
                reset = gr.Button("Begin anew", visible=False, size="sm", min_width=100)
            placeholder = next(iter(session.about.examples), None)
            asks = not session.writes_captions
            question = gr.Textbox(
                "",
                label="Question",
                placeholder=placeholder,
                max_lines=4,
                submit_btn="Ask",
                elem_id="question",
                visible=asks,
            )
            with gr.Accordion("Choices", open=session.needs_choices, visible=asks):
                hint = "Answers to choose from, such as: yes, no"
                choices = gr.Textbox("", placeholder=hint, show_label=False, container=False, max_lines=4)
        with gr.Column(scale=3, min_width=320):
            answer = gr.HTML(show_answer(Visitor(session)), elem_id="answer")
            does = "Occlusion map: what the answer loses where the image is covered"
            occlusion = gr.Button(does, visible=False, size="sm")
    return Parts(visitor, image, caption, dialog, undo, reset, question, choices, answer, occlusion)


def _image(**options: Any) -> gr.Image:
    """Create an image component that only accepts uploads: Gradio's own would fetch any URL that a client sends."""
    image = gr.Image(**options)
    take_file = image.async_move_resource_to_block_cache

    async def take_upload(path: str | Path | None) -> str | None:
        if str(path).startswith(("http://", "https://")):
            raise gr.Error("upload an image file: URLs are not supported", print_exception=False)
        return await take_file(path)

    image.async_move_resource_to_block_cache = take_upload  # type: ignore[method-assign,assignment]
    return image


class Events:
    """The event handlers of the page. An error that the visitor can fix is shown on the page.

    Each handler takes the visitor, None for a new one, and returns the new values of the components. The exception is
    ``answer``, the endpoint for scripts.
    """

    def __init__(self, session: AnySession, title: str, examples: Sequence[Example], parts: Parts) -> None:
        """Set the model, the examples and the components.

        Args:
            session: A session with the model.
            title: The title of the page.
            examples: The examples, in the order in which they are shown.
            parts: The components that an event may change.
        """
        self._session = session
        self._name, self._title = session.about.name, title
        self._examples = examples
        self._parts = parts

    def look(self, visitor: Visitor | None, file: dict[str, Any]) -> Changes:
        """Handle a new image; ``file`` is Gradio's description of the upload."""

        def act(visitor: Visitor) -> Changes:
            visitor.see(self._uploaded(file))
            return {self._parts.caption: ""}

        return self._after(visitor, act)

    def forget(self, visitor: Visitor | None) -> Changes:
        """Handle the removal of the image."""
        return self._after(visitor, Visitor.forget) | {self._parts.caption: ""}

    def reply(self, visitor: Visitor | None, question: str, choices: str, caption: str) -> Changes:
        """Handle a question."""

        def act(visitor: Visitor) -> Changes:
            visitor.ask(question, [choice.strip() for choice in choices.split(",") if choice.strip()], caption)
            return {self._parts.question: ""} if self._session.is_dialog else {}

        return self._after(visitor, act)

    def choose(self, visitor: Visitor | None, chosen: gr.EventData) -> Changes:
        """Handle the choice of an example."""

        def act(visitor: Visitor) -> Changes:
            example = self._examples[chosen.number]
            visitor.see(example.image)
            if not visitor.session.writes_captions:
                visitor.ask(example.question, example.choices, example.caption)
            return {
                self._parts.image: visitor.picture,
                self._parts.question: example.question,
                self._parts.choices: ", ".join(example.choices),
                self._parts.caption: example.caption,
            }

        return self._after(visitor, act)

    def undo(self, visitor: Visitor | None) -> Changes:
        """Remove the last round."""
        return self._after(visitor, Visitor.undo)

    def reset(self, visitor: Visitor | None) -> Changes:
        """Remove all rounds."""
        return self._after(visitor, Visitor.reset)

    def occlude(self, visitor: Visitor | None) -> Changes:
        """Compute an occlusion map."""
        return self._after(visitor, Visitor.occlude)

    def _after(self, visitor: Visitor | None, act: Callable[[Visitor], Changes | None]) -> Changes:
        """Run an action of the visitor, and return what to show: its result or the error."""
        visitor = visitor or Visitor(self._session)
        changes: Changes = {}
        problem = ""
        try:
            changes = act(visitor) or {}
        except UserError as error:
            problem = self._said(error)
        except Exception:
            log.exception("an event of the page failed")
            problem = "something went wrong here; the log of the server says what"
        if not visitor.has_image:
            changes[self._parts.image] = None
        has_rounds = bool(visitor.session.rounds)
        return changes | {
            self._parts.visitor: visitor,
            self._parts.answer: show_answer(visitor, problem),
            self._parts.dialog: show_dialog(visitor),
            self._parts.undo: gr.update(visible=has_rounds),
            self._parts.reset: gr.update(visible=has_rounds),
            self._parts.occlusion: gr.update(visible=visitor.can_occlude),
        }

    def _uploaded(self, file: Any) -> Path:
        """Return the file of an upload. Other files are refused: a client could name any file of this machine."""
        path = Path(str(file.get("path") if isinstance(file, dict) else file)).resolve()
        if not path.is_relative_to(Path(self._parts.image.GRADIO_CACHE).resolve()) or not path.is_file():
            raise UserError("the image was not uploaded, or was deleted since: upload it again")
        return path

    def _said(self, error: UserError) -> str:
        """Return the message of an error, with the title instead of the run folder."""
        return str(error).replace(self._name, self._title)

    def answer(
        self,
        image: dict[str, Any] | None,
        question: str,
        choices: list[str] | None = None,
        caption: str = "",
        history: list[list[str]] | None = None,
    ) -> dict[str, Any]:
        """Answer one independent question: the endpoint ``/ask`` for scripts.

        Args:
            image: An uploaded file.
            question: The question; ignored by a model that writes captions.
            choices: Candidate answers.
            caption: For a dialog model: a sentence about the image.
            history: For a dialog model: earlier questions with their answers.

        Returns:
            The answer as JSON.

        Raises:
            Error: The request is not valid; the client shows the message.
        """
        visitor = Visitor(self._session)
        try:
            _check_texts([question, caption], "question and caption must be texts")
            _check_texts(choices, "choices must be a list of texts")
            for turn in history or ():
                _check_texts(turn, "history must be a list of pairs: a question and its answer", length=2)
            if image is not None:
                visitor.see(self._uploaded(image))
            if visitor.session.writes_captions and visitor.answers:
                return visitor.answers[0].to_dict()
            turns = None if history is None else [(turn[0], turn[1]) for turn in history]
            return visitor.ask(question, choices or (), caption, turns).to_dict()
        except UserError as error:
            raise gr.Error(self._said(error), print_exception=False) from None


def _check_texts(texts: Any, advice: str, length: int | None = None) -> None:
    """Check that a value from a script is None or a list of strings."""
    is_list = isinstance(texts, list | None) and all(isinstance(text, str) for text in texts or ())
    if not is_list or (length is not None and len(texts or ()) != length):
        raise UserError(advice)
