"""``vqa-rnn score``: one command for each benchmark."""

import copy
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from vqa_rnn.cli.options import Json, check_split, print_json

ANY = "benchmark"


class _Benchmarks(TyperGroup):
    """The commands of this file, and the generic command for every other row of ``BENCHMARKS``."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*(name for name in super().list_commands(ctx) if name != ANY), *self._others(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        others = self._others(ctx)
        if cmd_name not in others:
            return None if cmd_name == ANY else super().get_command(ctx, cmd_name)
        command = copy.copy(super().get_command(ctx, ANY))
        assert isinstance(command, TyperCommand)
        command.name = cmd_name
        command.help = (command.help or "").replace("NAME", cmd_name).replace("TITLE", others[cmd_name])
        return command

    def _others(self, ctx: Any) -> dict[str, str]:
        """Return the titles of the benchmarks that have no command of their own, by name."""
        from vqa_rnn.benchmarks import BENCHMARKS

        here = super().list_commands(ctx)
        titles = {name: (row.options.__doc__ or "").partition("\n")[0] for name, row in BENCHMARKS.items()}
        return {name: title.rstrip(".") for name, title in titles.items() if name not in here}


app = typer.Typer(
    name="score",
    cls=_Benchmarks,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Score submission files with the official metric of a benchmark; needs no model and no GPU.",
)

Results = Annotated[Path, typer.Option("--results", metavar="FILE", help="The submission, as `vqa-rnn predict` writes it.")]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Count missing answers as wrong; by default they are an error.")
]


@app.command()
def vqa(
    questions: Annotated[Path, typer.Option(metavar="FILE", help="The official question file.")],
    annotations: Annotated[Path, typer.Option(metavar="FILE", help="The official annotation file, with the answers.")],
    results: Results,
    rule: Annotated[
        Literal["2021", "2015"],
        typer.Option(help="Version of the official script: 2021 is the current one; 2015 was used before March 2021."),
    ] = "2021",
    allow_missing: AllowMissing = False,
    json_: Json = False,
) -> None:
    """VQA v1 and v2, open-ended and multiple choice: consensus accuracy, overall and by question type.

    Example: vqa-rnn score vqa --questions v2_OpenEnded_mscoco_val2014_questions.json
    --annotations v2_mscoco_val2014_annotations.json --results results.json
    """
    from vqa_rnn.commands.score.vqa import score_vqa

    _show(score_vqa(questions, annotations, results, rule=rule, allow_missing=allow_missing), json_)


@app.command()
def visual7w(
    dataset: Annotated[Path, typer.Option(metavar="FILE", help="The official file, telling or pointing.")],
    results: Results,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="The split to score.")] = "test",
    allow_missing: AllowMissing = False,
    json_: Json = False,
) -> None:
    """Visual7W, telling and pointing: accuracy, overall and by question type.

    Example: vqa-rnn score visual7w --dataset dataset_v7w_telling.json --results results.json --split test
    """
    from vqa_rnn.commands.score.visual7w import score_visual7w

    _show(score_visual7w(dataset, results, split=split, allow_missing=allow_missing), json_)


@app.command()
def visdial(
    dialogs: Annotated[Path, typer.Option(metavar="FILE", help="The official dialog file, with the true answers.")],
    results: Results,
    dense: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The official file of graded relevance; adds NDCG.")
    ] = None,
    allow_missing: AllowMissing = False,
    json_: Json = False,
) -> None:
    """VisDial: R@1, R@5, R@10, mean rank, MRR and NDCG.

    Example: vqa-rnn score visdial --dialogs visdial_1.0_val.json --dense visdial_1.0_val_dense_annotations.json
    --results ranks.json
    """
    from vqa_rnn.commands.score.visdial import score_visdial

    _show(score_visdial(dialogs, results, dense=dense, allow_missing=allow_missing), json_)


@app.command()
def daquar(
    questions: Annotated[Path, typer.Option(metavar="FILE", help="The official file of questions and answers.")],
    results: Annotated[
        Path, typer.Option("--results", metavar="FILE", help="One answer per line, in the order of the questions.")
    ],
    wordnet: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of WordNet 3.0; by default in NLTK's data folder.")
    ] = None,
    json_: Json = False,
) -> None:
    """DAQUAR: accuracy and WUPS at 0.9 and 0.0.

    Example: vqa-rnn score daquar --questions qa.894.raw.test.txt --results answers.txt
    """
    from vqa_rnn.commands.score.daquar import score_daquar

    _show(score_daquar(questions, results, wordnet=wordnet), json_)


@app.command()
def captions(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The captions, in COCO's format of results.")],
    references: Annotated[
        Path, typer.Argument(metavar="REFERENCES", help="The reference captions, in COCO's format of annotations.")
    ],
    subset: Annotated[
        bool, typer.Option("--subset", help="Score only the images in RESULTS, such as a split of REFERENCES.")
    ] = False,
    json_: Json = False,
) -> None:
    """Image captions: BLEU-1 to 4, ROUGE-L and CIDEr-D, as in the official evaluation of COCO.

    METEOR and SPICE need Java: for them, use the package pycocoevalcap on the same files.

    Example: vqa-rnn score captions results.json captions_val2014.json
    """
    from vqa_rnn.commands.score.captions import score_captions

    _show(score_captions(results, references, subset=subset), json_)


@app.command(ANY)
def benchmark(
    context: typer.Context,
    results: Results,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[key=value …]", help="Options of the data set, such as dataset.root=data/NAME"),
    ] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    allow_missing: AllowMissing = False,
    json_: Json = False,
) -> None:
    """TITLE.

    Same metrics as `vqa-rnn evaluate`, overall and by question type.

    Example: vqa-rnn score NAME --results submission.json --split val
    """
    check_split(split)
    from vqa_rnn.commands.score.benchmark import score_benchmark

    name = context.info_name or ""
    report = score_benchmark(name, results, overrides or (), split=split, allow_missing=allow_missing)  # type: ignore[arg-type]  # checked above
    _show(report, json_)


def _show(report: dict[str, Any], json_: bool) -> None:
    if json_:
        print_json(report)
        return
    from vqa_rnn.commands.score.tables import print_scores

    print_scores(report)
