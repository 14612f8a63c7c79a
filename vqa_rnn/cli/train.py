"""``vqa-rnn train``: a training from a config."""

import typer

from vqa_rnn.cli.options import ConfigArgument, ConfigOverrides, Overwrite, PrintConfig, Resume, load_or_print
from vqa_rnn.errors import UserError


def train(
    config: ConfigArgument,
    overrides: ConfigOverrides = None,
    print_config: PrintConfig = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model and save it in runs/NAME. The best epoch is selected by validation score.

    Example: vqa-rnn train easy_vqa model.fusion.name=concat run.name=concat
    """
    loaded = load_or_print(config, overrides, print_config)
    if resume and overwrite:
        raise UserError("--resume and --overwrite contradict each other: give one")
    from vqa_rnn.commands.train import train
    from vqa_rnn.engines import is_first

    run = train(loaded, resume=resume, overwrite=overwrite)
    if is_first():
        use = "Describe an image: vqa-rnn caption" if run.config.dataset.has_captions else "Ask it: vqa-rnn ask"
        hint = f"Evaluate it: vqa-rnn evaluate {run.path}    {use} {run.path}"
        typer.echo(f"{run.path} is trained. {hint}", err=True)
