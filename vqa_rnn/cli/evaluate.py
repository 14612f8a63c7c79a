"""``vqa-rnn evaluate``: scores of a run or an ensemble, with intervals and floors."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vqa_rnn.cli.options import Json, check_split, print_json
from vqa_rnn.cli.runs import Ensemble, Questions, RunArgument, RunArguments, check_ensemble, is_model, runs_and_overrides
from vqa_rnn.errors import UserError


def evaluate(
    run: RunArgument,
    more: RunArguments = None,
    ensemble: Ensemble = False,
    split: Annotated[str | None, typer.Option(help="train, val or test; by default test if it has answers, else val.")] = None,
    question_only: Annotated[
        Path | None, typer.Option(help="A run trained with model.ablate=question_only; adds the image gain.")
    ] = None,
    ceiling: Annotated[
        str | None,
        typer.Option(metavar="hf:NAME", help="A ViLT or BLIP model of Hugging Face to evaluate on the same questions."),
    ] = None,
    config: Questions = None,
    json_: Json = False,
) -> None:
    """Evaluate a run: accuracy with a 95% interval, accuracy by question type, and floors (baselines without the image).

    RUN may be hf:OWNER/NAME, a ViLT or BLIP model of Hugging Face; it needs --config for the data set.

    Example: vqa-rnn evaluate runs/daquar --question-only runs/daquar-blind
    """
    check_split(split)
    runs, overrides = runs_and_overrides(run, more or ())
    uses_model = is_model(runs, config, ensemble=ensemble)
    check_ensemble(runs, ensemble=ensemble)
    if ensemble and (question_only or ceiling):
        raise UserError(f"--{'question-only' if question_only else 'ceiling'} is for a single run: leave out --ensemble")
    if uses_model:
        from vqa_rnn.commands.huggingface import evaluate_model
        from vqa_rnn.commands.tables import print_evaluation
        from vqa_rnn.config.files import load_config

        if question_only or ceiling:
            raise UserError(f"{run} is not a run: leave out --{'question-only' if question_only else 'ceiling'}")
        report = evaluate_model(str(run), load_config(str(config), overrides), split)  # type: ignore[arg-type]
        (print_json if json_ else print_evaluation)(report)
        return
    from vqa_rnn.commands.evaluate import evaluate, evaluate_ensemble
    from vqa_rnn.commands.tables import print_evaluation
    from vqa_rnn.engines import is_first

    which: Any = split  # checked above
    report = evaluate_ensemble(runs, which, overrides) if ensemble else evaluate(run, which, question_only, overrides, ceiling)
    if json_ and is_first():
        print_json(report)
    elif is_first():
        print_evaluation(report)
