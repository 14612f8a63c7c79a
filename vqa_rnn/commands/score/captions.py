"""``vqa-rnn score captions``: BLEU, ROUGE-L and CIDEr-D of captions in COCO's formats."""

from pathlib import Path
from typing import Any

from vqa_rnn.annotations.caption_files import read_caption_results, read_references
from vqa_rnn.commands.score.results import MOST_NAMED, check_ids
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.captions import CaptionReferences
from vqa_rnn.metrics.intervals import FEWEST_IMAGES, bootstrap_interval, corpus_intervals
from vqa_rnn.metrics.official import named_bleu
from vqa_rnn.metrics.signature import signature


def score_captions(results: Path, references: Path, *, subset: bool = False) -> dict[str, Any]:
    """Score one caption per image against reference captions.

    Args:
        results: A JSON list of ``{"image_id", "caption"}``.
        references: ``{"images": [{"id"}], "annotations": [{"image_id", "id", "caption"}]}``. All its images are scored, and the
            document frequencies of CIDEr-D are those of its captions.
        subset: Score only the images that have a result; the document frequencies are then those of their references.

    Returns:
        ``bleu_1`` to ``bleu_4`` and ``rouge_l`` as fractions, ``cider`` from 0 to 10, their 95% ``intervals`` over images, the
        numbers of images and references, and a signature. With few images an interval is None.

    Raises:
        UserError: A file is missing or invalid, or the results do not have one caption for each image of the references.
    """
    captions_of = read_references(references)
    submitted = read_caption_results(results)
    num_captioned = check_ids(
        [result.image_id for result in submitted], list(captions_of), results, "image", allow_missing=True
    )
    given = {result.image_id: result.caption for result in submitted}
    if subset:
        captions_of = {image: texts for image, texts in captions_of.items() if image in given}
    if num_captioned < len(captions_of):
        missing = [image for image in captions_of if image not in given]
        few = ", ".join(map(str, missing[:MOST_NAMED])) + (", …" if len(missing) > MOST_NAMED else "")
        raise UserError(
            f"{results}: {len(missing):,} of the {len(captions_of):,} images of {references} have no caption ({few}): caption "
            "them too, or score the captioned images alone with --subset"
        )
    prepared = CaptionReferences(list(captions_of.values()))
    candidates = [given[image] for image in captions_of]
    statistics = prepared.bleu_statistics(candidates)
    means = {"rouge_l": prepared.rouge_l(candidates), "cider": prepared.cider(candidates)}
    totals = named_bleu(statistics.sum(axis=0))
    intervals: dict[str, list[float] | None] = dict.fromkeys([*totals, *means])
    if len(captions_of) >= FEWEST_IMAGES:
        image_ids = [str(image) for image in captions_of]
        intervals.update(corpus_intervals(statistics, named_bleu, image_ids))
        intervals.update({name: list(bootstrap_interval(scores, image_ids)) for name, scores in means.items()})
    return {
        "benchmark": "captions",
        "num_images": len(captions_of),
        "num_references": sum(map(len, captions_of.values())),
        **totals,
        **{name: float(scores.mean()) for name, scores in means.items()},
        "intervals": intervals,
        "signature": signature("captions", tokens="ptb3.4.1", cider="d", frequencies="references", n=len(captions_of)),
    }
