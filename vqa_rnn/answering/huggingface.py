"""The visual question answering models of Hugging Face transformers, with the interface of a session.

Most people would use one of these models instead of a recurrent network. They give an upper reference, as the floors give a
lower one. ViLT (Kim et al. 2021, https://arxiv.org/abs/2102.03334) is a classifier; BLIP (Li et al. 2022,
https://arxiv.org/abs/2201.12086) is generative.
"""

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import functional

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.protocol import (
    NO_IMAGE,
    About,
    as_questions,
    check_choice_texts,
    check_images,
    check_record,
    rank_choices,
    split_asked,
)
from vqa_rnn.answers import fold_answer
from vqa_rnn.errors import UserError
from vqa_rnn.features.images import ImageSource, read_image
from vqa_rnn.huggingface import check_source, library, quiet
from vqa_rnn.records import Question, Round

HUGGING_FACE = "hf:"
BEAM_WIDTH = 5
LONGEST_ANSWER = 20  # of BLIP, in tokens
KINDS = ("vilt", "blip")


class HuggingFaceSession:
    """A Hugging Face model and the image it is asked about. It has no dialog.

    Attributes:
        about: The name of the model and its number of answers.
        image: The current image; None before the first.
        caption: None.
        rounds: Empty.
        sees_images: True.
        is_dialog: False.
        needs_choices: False.
    """

    caption: str | None = None
    rounds: tuple[Round, ...] = ()
    sees_images = True
    is_dialog = False
    needs_choices = False
    writes_captions = False

    def __init__(self, name: str) -> None:
        """Load a model.

        Args:
            name: A name on the hub, such as ``dandelin/vilt-b32-finetuned-vqa`` or ``Salesforce/blip-vqa-base``, or a folder.
                Only safetensors weights are read.

        Raises:
            UserError: There is no such model, or its type is not in ``KINDS``.
        """
        transformers = library()
        check_source("hf", name)
        try:
            with quiet():
                kind = transformers.AutoConfig.from_pretrained(name).model_type
                if kind not in KINDS:
                    raise UserError(f"{HUGGING_FACE}{name} is a {kind} model: models of {' and '.join(KINDS)} can be asked")
                model = transformers.AutoModelForVisualQuestionAnswering.from_pretrained(name, use_safetensors=True)
                self._processor = transformers.AutoProcessor.from_pretrained(name)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"cannot open {HUGGING_FACE}{name}: {' '.join(str(error).split())}") from error
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.eval().to(self._device)
        self._writes = kind == "blip"
        labels = {} if self._writes else model.config.id2label
        self._answers = [labels[place] for place in range(len(labels))]
        self._places = {fold_answer(answer): place for place, answer in enumerate(self._answers)}
        self.about = About(f"{HUGGING_FACE}{name}", num_answers=len(self._answers))
        self._begin()

    def _begin(self) -> None:
        self.image: ImageSource | None = None
        self._seen: Mapping[str, Tensor] = {}

    def another(self) -> "HuggingFaceSession":
        """Create another session with the same model.

        Returns:
            The session, without an image. The model is shared, not loaded again.
        """
        other = copy.copy(self)
        other._begin()
        return other

    def see(self, image: ImageSource) -> None:
        """Set the current image.

        Args:
            image: An image as in ``Session.see``.

        Raises:
            UserError: It cannot be read; the previous image is kept.
        """
        self._seen = self._look(image)
        self.image = image

    def ask(
        self,
        *asked: ImageSource,
        choices: Sequence[str] | None = None,
        history: Sequence[tuple[str, str]] | None = None,
        top: int = 5,
    ) -> Answer:
        """Answer a question about an image.

        Args:
            *asked: A question about the current image; or an image, as in ``see``, and a question.
            choices: Candidate answers.
            history: Must be None, as the model has no dialog.
            top: Maximum number of answers.

        Returns:
            The answer.

        Raises:
            UserError: There is no image or it cannot be read, the question is empty, the choices are not valid, or there is a
                history.
            TypeError: There are no arguments, or more than an image and a question.
        """
        images, question = split_asked(asked)
        if history is not None:
            self.check_dialog()
        record = Question(question_id="", image_id="", question=question, split="test", choices=tuple(choices or ()))
        self._check(record)
        for image in images:
            self.see(image)
        if self.image is None:
            raise UserError(NO_IMAGE)
        return self._answer(record, self.image, self._seen, top)

    def answer(self, questions: Sequence[Question], images: Mapping[str, ImageSource], top: int = 5) -> list[Answer]:
        """Answer many questions, one at a time: padding would change the answers of these models.

        Args:
            questions: The questions with their choices; captions and histories are ignored.
            images: The image of each ``image_id``.
            top: Maximum number of answers to each question.

        Returns:
            The answers, in order.

        Raises:
            UserError: An image is missing or cannot be read, or a question or its choices are not valid.
        """
        for question in questions:
            self._check(question)
        check_images(questions, images)
        answers: list[Answer] = []
        last, seen = None, self._seen
        for question in questions:
            image = images[question.image_id]
            if question.image_id != last:
                last, seen = question.image_id, self._look(image)
            answers.append(self._answer(question, image, seen, top))
        return answers

    def ask_many(
        self, asked: Sequence[tuple[ImageSource, str]], choices: Sequence[str] | None = None, top: int = 5
    ) -> list[Answer]:
        """Answer many questions; the current image is kept.

        Args:
            asked: Pairs of an image, as in ``see``, and a question.
            choices: Candidate answers to all questions.
            top: Maximum number of answers to each question.

        Returns:
            The answers, in order.

        Raises:
            UserError: An image cannot be read, or a question or the choices are not valid.
        """
        return self.answer(*as_questions(asked, choices), top)

    def describe(self, image: ImageSource | None = None) -> Answer:
        """Refuse to write a caption.

        Args:
            image: Is ignored.

        Returns:
            Nothing: it raises an error.

        Raises:
            UserError: Always: the model answers questions.
        """
        raise UserError(f"{self.about.name} answers questions and writes no captions: ask one")

    def check_choices(self, choices: Sequence[str]) -> None:
        """Check that there are no choices, or at least two different ones.

        Args:
            choices: The candidate answers; may be empty.

        Raises:
            UserError: There is only one, or one occurs twice.
        """
        check_choice_texts(choices)

    def check_dialog(self) -> NoReturn:
        """Raise an error, as the model has no dialog.

        Raises:
            UserError: Always.
        """
        raise UserError(f"{self.about.name} is not a dialog model: it takes no caption and no earlier rounds")

    def set_caption(self, text: str) -> None:
        """Raise an error, as the model has no dialog.

        Args:
            text: Unused.
        """
        self.check_dialog()

    def undo(self) -> Round:
        """Raise an error, as the model has no dialog."""
        self.check_dialog()

    def reset(self) -> None:
        """Raise an error, as the model has no dialog."""
        self.check_dialog()

    def correct(self, answer: str) -> Round:
        """Raise an error, as the model has no dialog.

        Args:
            answer: Unused.

        Returns:
            Nothing.
        """
        self.check_dialog()

    def _check(self, question: Question) -> None:
        check_record(question)
        self.check_choices(question.choices)

    def _look(self, image: ImageSource) -> Mapping[str, Tensor]:
        """Preprocess an image with the model's own processor; for BLIP, compute the states of the vision network once."""
        picture = read_image(image)
        inputs = self._processor.image_processor(picture, return_tensors="pt").to(self._device)
        if not self._writes:
            return dict(inputs)
        with torch.inference_mode():
            return {"states": self._model.vision_model(pixel_values=inputs["pixel_values"])[0]}

    def _answer(self, question: Question, image: ImageSource, seen: Mapping[str, Tensor], top: int) -> Answer:
        started = time.perf_counter()
        tokens, unread = self._tokens(question.question)
        with torch.inference_mode():
            answers = (self._write if self._writes else self._classify)(question, tokens, seen)
        outside = () if self._writes else tuple(c for c in question.choices if fold_answer(c) not in self._places)
        return Answer(
            question=question.question,
            answers=tuple(sorted(answers, key=lambda pair: -pair[1])[:top]),
            unknown_words=(),
            nearest_words=(),
            outside_vocabulary=outside,
            seconds=time.perf_counter() - started,
            unread=unread,
            image=image,
            record=question,
        )

    def _tokens(self, text: str) -> tuple[Any, str]:
        """Tokenise a text; also return its end, if it is too long and was truncated."""
        config = self._model.config
        longest = getattr(config, "text_config", config).max_position_embeddings
        tokens = self._processor.tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)
        cut = bool(tokens.encodings[0].overflowing)
        unread = text[max(end for _, end in tokens.encodings[0].offsets) :].strip() if cut else ""
        return tokens.to(self._device), unread

    def _classify(self, question: Question, tokens: Any, seen: Mapping[str, Tensor]) -> list[tuple[str, float]]:
        """Return ViLT's answers. Without choices, their probabilities do not sum to 1: the loss was binary cross-entropy."""
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(0)  # ViLT shuffles the patches, which changes the last digits
            p_A = self._model(**tokens, **seen).logits[0].float().sigmoid().tolist()
        if not question.choices:
            return list(zip(self._answers, p_A, strict=True))
        places = {choice: self._places.get(fold_answer(choice)) for choice in question.choices}
        return rank_choices({choice: None if place is None else p_A[place] for choice, place in places.items()})

    def _write(self, question: Question, tokens: Any, seen: Mapping[str, Tensor]) -> list[tuple[str, float]]:
        """Return BLIP's answer, from a beam search. With choices, return these, with probabilities that sum to 1."""
        states = self._model.text_encoder(**tokens, encoder_hidden_states=seen["states"])[0]
        begin = torch.full((1, 1), self._model.decoder_start_token_id, device=self._device)
        end, padding = self._model.config.text_config.sep_token_id, self._model.config.text_config.pad_token_id
        if question.choices:
            log_p = torch.stack([self._log_p(begin, self._written(choice, end), states) for choice in question.choices])
            return list(zip(question.choices, log_p.softmax(0).tolist(), strict=True))
        with quiet():
            written = self._model.text_decoder.generate(
                input_ids=begin,
                encoder_hidden_states=states,
                encoder_attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=self._device),
                eos_token_id=end,
                pad_token_id=padding,
                num_beams=BEAM_WIDTH,
                max_new_tokens=LONGEST_ANSWER,
            )
        answer_1T = written[:, 1:]
        answer_1T = answer_1T[:, : int((answer_1T[0] != padding).sum())]
        text = self._processor.tokenizer.decode(answer_1T[0], skip_special_tokens=True)
        return [(text, self._log_p(begin, answer_1T, states).exp().item())]

    def _written(self, text: str, end: int) -> Tensor:
        """Tokenise a text as the decoder writes it, (1, T): without the start token of a question, with the end token."""
        tokens = self._processor.tokenizer(text, add_special_tokens=False)["input_ids"][: LONGEST_ANSWER - 1]
        return torch.tensor([[*tokens, end]], device=self._device)

    def _log_p(self, begin: Tensor, answer_1T: Tensor, states: Tensor) -> Tensor:
        """Return the log-probability of an answer, ()."""
        before = torch.cat([begin, answer_1T[:, :-1]], dim=1)
        logits = self._model.text_decoder(input_ids=before, encoder_hidden_states=states).logits
        return -functional.cross_entropy(logits[0].float(), answer_1T[0], reduction="sum")
