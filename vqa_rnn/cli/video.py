"""``vqa-rnn video``: train models that label videos or their frames, evaluate them, and label frames."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqa_rnn.cli.options import Json, Overrides, Overwrite, PrintConfig, Resume, Split, check_split, print_json, print_trained
from vqa_rnn.errors import UserError, printable

if TYPE_CHECKING:
    from vqa_rnn.config.video import VideoConfig

app = typer.Typer(
    name="video",
    help="Videos: one label for a sequence of images, or one for each image. Train, evaluate and predict.",
    no_args_is_help=True,
)

VideoRunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of vqa-rnn video train.")]
DataArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="moving_shapes, which is generated; or a JSONL file of your own videos.")
]


@app.command()
def train(
    data: DataArgument,
    overrides: Overrides = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    print_config: PrintConfig = False,
) -> None:
    """Train a model that labels videos or their frames. The run folder is runs/NAME, after the data.

    Examples: vqa-rnn video train moving_shapes;  vqa-rnn video train moving_shapes run.name=frames model.output=frame;
    vqa-rnn video train videos.jsonl --resume
    """
    from vqa_rnn.config.files import config_yaml

    config = _config(data, overrides)
    if print_config:
        typer.echo(config_yaml(config, comments=True))
        return
    from vqa_rnn.commands.video.train import train

    run = train(config, resume=resume, overwrite=overwrite)
    uses = {"Evaluate it": f"vqa-rnn video evaluate {run.path}", "Label a video": f"vqa-rnn video predict {run.path} FRAME …"}
    print_trained(run.path, uses)


@app.command()
def preprocess(file: DataArgument, overrides: Overrides = None, json_: Json = False) -> None:
    """Extract the features of all frames of your own videos. Run it again to continue an interrupted job.

    Example: vqa-rnn video preprocess videos.jsonl
    """
    from dataclasses import asdict

    from vqa_rnn.commands.tables import print_extraction
    from vqa_rnn.commands.video.preprocess import preprocess

    report = preprocess(_config(file, overrides))
    if json_:
        print_json({**asdict(report), "store": str(report.store)})
    else:
        print_extraction(report)


@app.command()
def evaluate(
    run: VideoRunPath,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[key=value …]", help="New locations of your own videos: data.path=…, data.features.store=…"),
    ] = None,
    split: Split = None,
    json_: Json = False,
) -> None:
    """Measure the accuracy with a 95% interval, by label, and beside it what the same model reaches without the order.

    Example: vqa-rnn video evaluate runs/moving_shapes
    """
    check_split(split)
    from vqa_rnn.commands.sequences.tables import print_evaluation
    from vqa_rnn.commands.video.evaluate import evaluate, parts_of
    from vqa_rnn.sequences.run import load_run
    from vqa_rnn.sequences.video_run import VIDEO

    report = evaluate(load_run(run, VIDEO), split, overrides or ())  # type: ignore[arg-type]
    if json_:
        print_json(report)
    else:
        print_evaluation(report, parts_of(report))


@app.command()
def predict(
    run: VideoRunPath,
    frames: Annotated[list[Path], typer.Argument(metavar="FRAME…", help="Image files in order, or the folder of them.")],
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the frames with the label under each to a PNG file.")
    ] = None,
    json_: Json = False,
) -> None:
    """Label a video, given as image files. For a model that labels videos, also show the label up to each frame.

    Example: vqa-rnn video predict runs/moving_shapes shapes/0000 --picture video.png
    """
    if picture is not None and picture.suffix.lower() != ".png":
        raise UserError(f"--picture {picture}: give the name of a .png file")
    from vqa_rnn.commands.video.predict import draw, list_frames, predict
    from vqa_rnn.sequences.run import load_run
    from vqa_rnn.sequences.video_run import VIDEO

    prediction = predict(load_run(run, VIDEO), list_frames(frames))
    if picture is not None:
        draw(prediction, picture)
    if json_:
        print_json(prediction.to_dict())
        return
    for frame, label, probability in zip(
        prediction.frames, prediction.frame_labels, prediction.frame_probabilities, strict=True
    ):
        typer.echo(printable(f"{frame}  {label}  {100 * probability:.1f}%"))
    if prediction.label is not None:
        typer.echo(printable(f"label: {prediction.label}  {100 * (prediction.probability or 0):.1f}%"))
    if picture is not None:
        typer.echo(f"picture: {picture}")


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write them: a new or empty folder.")],
    count: Annotated[int, typer.Option(min=1, help="Number of videos.")] = 10,
    split: Annotated[
        str,
        typer.Option(
            help="The split of moving_shapes that they are from. A model of moving_shapes has not seen those of test."
        ),
    ] = "test",
    seed: Annotated[int, typer.Option(min=0, help="data.seed of moving_shapes.")] = 0,
    json_: Json = False,
) -> None:
    """Write videos of moving_shapes as image files, with videos.jsonl: something to predict, and an example of your own data.

    The file has splits of its own: of every ten videos, eight are in train, one in val and one in test.

    Example: vqa-rnn video generate shapes --count 20
    """
    check_split(split)
    from vqa_rnn.commands.video.generate import generate

    file, counts = generate(folder, count, split, seed)  # type: ignore[arg-type]
    if json_:
        print_json({"file": str(file), "counts": counts})
    else:
        typer.echo(file)


def _config(data: str, overrides: list[str] | None) -> "VideoConfig":
    from vqa_rnn.config.files import override_config, with_name
    from vqa_rnn.config.video import VideoConfig
    from vqa_rnn.files import nearest

    is_name = "." not in data and "/" not in data
    if is_name and data != "moving_shapes" and not Path(data).exists():
        guess = ": did you mean moving_shapes?" if nearest(data, ["moving_shapes"]) else ""
        raise UserError(f"no file of videos at {data}{guess} (give moving_shapes or a JSONL file)")
    named = [] if data == "moving_shapes" else ["data.name=frames", f"data.path={data}"]
    config = override_config(VideoConfig(), [*named, *(overrides or [])])
    return with_name(config, Path(data).stem)
