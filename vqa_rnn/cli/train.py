"""``vqa-rnn train``: a training from a config."""

from vqa_rnn.cli.options import ConfigArgument, ConfigOverrides, Overwrite, PrintConfig, Resume, load_or_print, print_trained
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
        use, command = ("Describe an image", "caption") if run.config.dataset.has_captions else ("Ask it", "ask")
        uses = {"Evaluate it": f"vqa-rnn evaluate {run.path}"}
        if run.config.training.refit:  # it has learned from the validation questions
            uses["Evaluate it"] += " --split test"
            uses["Or answer test questions without answers"] = f"vqa-rnn predict {run.path} --split test"
        print_trained(run.path, {**uses, use: f"vqa-rnn {command} {run.path}"})
