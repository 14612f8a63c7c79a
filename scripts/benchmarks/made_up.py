"""Random questions in the proportions of VQA v2, for benchmarks."""

import numpy as np

from vqa_rnn.data.columns import EncodedQuestions, Ragged, Texts

QUESTIONS_AN_IMAGE = 5.4
REGIONS, FEATURE = 36, 2048
WORDS, VOCABULARY, ANSWERS = 14, 20_000, 3129
# The environment of a process whose threads wait as in torch without this package. libgomp's spin count takes precedence over
# every wait policy, so if it is set, the package does not change the policy.
AS_TORCH_DOES = {"GOMP_SPINCOUNT": "300000"}


def make_questions(
    num_images: int, num_questions: int, *, words: int = WORDS, vocabulary: int = VOCABULARY, answers: int = ANSWERS
) -> EncodedQuestions:
    """Return questions of fixed length with three scored answers, at least one per image, in random order."""
    generator = np.random.default_rng(0)
    image = np.concatenate([np.arange(num_images), generator.integers(0, num_images, num_questions - num_images)])
    each = np.arange(num_questions)

    def rows(values: np.ndarray) -> Ragged:
        return Ragged(values.ravel(), np.arange(num_questions + 1) * values.shape[1])

    none = rows(np.zeros((num_questions, 0), dtype=np.int32))
    return EncodedQuestions(
        question_ids=Texts.of(map(str, each)),
        image_ids=Texts.of(f"image{i}" for i in range(num_images)),
        image=generator.permutation(image),
        tokens=rows(generator.integers(2, vocabulary, (num_questions, words), dtype=np.int32)),
        round_question=np.zeros_like(each),
        text_class=np.full(num_questions, -1),
        question=each,
        dialog=each,
        dialog_facts=none,
        history_length=np.zeros_like(each),
        choices=none,
        choice_regions=none,
        relevance=none,
        correct_choice=np.full_like(each, -1),
        answer=np.full_like(each, -1),
        references=Ragged.of([()] * num_images, "int32"),
        answer_ids=rows(generator.integers(0, answers, (num_questions, 3), dtype=np.int32)),
        answer_scores=rows(np.tile(np.float32([0.3, 0.6, 1.0]), (num_questions, 1))),
    )
