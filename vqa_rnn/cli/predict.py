"""``vqa-rnn predict``: the official submission file of a split."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from vqa_rnn.cli.options import Json, check_split, print_json
from vqa_rnn.cli.runs import Ensemble, Questions, RunArgument, RunArguments, check_ensemble, is_model, runs_and_overrides
from vqa_rnn.errors import UserError


def predict(
    run: RunArgument,
    more: RunArguments = None,
    ensemble: Ensemble = False,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write; by default evaluation/SPLIT_submission.json in the run folder."),
    ] = None,
    config: Questions = None,
    json_: Json = False,
) -> None:
    """Answer a split and write the official submission file, for `vqa-rnn score` and evaluation servers.

    Example: vqa-rnn predict runs/vqa --split test --output vqa_OpenEnded_mscoco_test2015_results.json
    """
    check_split(split)
    runs, overrides = runs_and_overrides(run, more or ())
    uses_model = is_model(runs, config, ensemble=ensemble)
    check_ensemble(runs, ensemble=ensemble)
    if ensemble and output is None:
        raise UserError("an ensemble has no run folder to write to: give --output FILE")
    from vqa_rnn.commands.predict import predict
    from vqa_rnn.engines import is_first

    which: Any = split  # checked above
    if uses_model:
        from vqa_rnn.commands.huggingface import predict_model
        from vqa_rnn.config.files import load_config

        if output is None:
            raise UserError(f"{run} has no run folder: give --output FILE")
        report = predict_model(str(run), load_config(str(config), overrides), which, output)
    else:
        report = predict(runs, which, output or run / "evaluation" / f"{split}_submission.json", overrides)
    if not is_first():
        return
    if json_:
        print_json({**asdict(report), "output": str(report.output)})
    else:
        from vqa_rnn.benchmarks import BENCHMARKS
        from vqa_rnn.progress import counted

        answers = counted(report.num_questions, BENCHMARKS[report.benchmark].options.nouns().answers)
        typer.echo(f"{report.output}: {answers} for the {report.split} split of {report.benchmark}")
