# %% [markdown]
# # Your first VQA model
#
# This notebook builds a model that answers questions about pictures, in a minute on two cores.
# You will
#
# 1. draw pictures and write questions about them, in the format for your own data,
# 2. extract the features of the pictures,
# 3. train a recurrent network with attention,
# 4. measure it, and compare it with baselines that do not see the right picture,
# 5. ask it questions, and see where it looks.

# %%
import json
import random
from pathlib import Path

import vqa_rnn
from PIL import Image, ImageDraw

# %% tags=["parameters"]
folder = Path("first_model")  # everything goes there
num_pictures = 300
num_epochs = 20

# %% [markdown]
# ## 1. Pictures and questions
#
# Each picture shows two objects that differ in shape and colour. So knowing the colours in a
# picture is not enough to answer "What colour is the square?": the model has to find the square.

# %%
COLOURS = {
    "orange": (230, 159, 0),
    "blue": (0, 114, 178),
    "green": (0, 158, 115),
    "black": (30, 30, 30),
}
SHAPES = ("circle", "square", "triangle")
Thing = tuple[str, str]  # its shape and its colour


def draw_picture(left: Thing, right: Thing) -> Image.Image:
    picture = Image.new("RGB", (128, 128), (235, 235, 235))
    pen = ImageDraw.Draw(picture)
    for (shape, colour), begin in ((left, 4), (right, 68)):
        x, y = begin + random.randint(0, 12), random.randint(4, 80)
        if shape == "circle":
            pen.ellipse((x, y, x + 44, y + 44), fill=COLOURS[colour])
        elif shape == "square":
            pen.rectangle((x, y, x + 44, y + 44), fill=COLOURS[colour])
        else:
            pen.polygon([(x, y + 44), (x + 44, y + 44), (x + 22, y)], fill=COLOURS[colour])
    return picture


random.seed(0)
(folder / "pictures").mkdir(parents=True, exist_ok=True)
lines = []
for number in range(num_pictures):
    shapes, colours = random.sample(SHAPES, 2), random.sample(list(COLOURS), 2)
    left, right = zip(shapes, colours, strict=True)
    draw_picture(left, right).save(folder / f"pictures/{number}.png")
    for shape, colour in (left, right):
        asked = {f"What colour is the {shape}?": colour, f"What shape is the {colour} thing?": shape}
        for question, answer in asked.items():
            line = {"image": f"pictures/{number}.png", "question": question, "answer": answer}
            lines.append(json.dumps(line))
(folder / "questions.jsonl").write_text("\n".join(lines))
print(lines[0])

# %% [markdown]
# ## 2. Features
#
# The config is the recipe `jsonl` with a few changes. `preprocess` computes the features of each
# picture once, with a CNN that was trained on photographs. The features come from an early layer
# (`blocks.3`), which still distinguishes colours. Its grid is averaged down to 4 x 4 regions.

# %%
config = vqa_rnn.load_config(
    "jsonl",
    [
        f"dataset.path={folder}/questions.jsonl",
        f"features.store={folder}/features.h5",
        "features.image_size=128",
        "features.layers=[blocks.3]",
        "features.grid_size=4",
        f"training.max_epochs={num_epochs}",
        f"run.folder={folder}/runs",
    ],
)
vqa_rnn.preprocess(config)

# %% [markdown]
# ## 3. Training
#
# An LSTM encodes the question. Its last state weights the regions (top-down attention). Their
# weighted mean is multiplied with the question, and a classifier picks the answer. A tenth of the
# pictures is held out for validation. The model of the best epoch is kept.

# %%
run = vqa_rnn.train(config, overwrite=True)

# %% [markdown]
# ## 4. How good is it, and does it look?
#
# `evaluate` returns the accuracy and the floors. A floor is the score of a baseline that does not
# see the right picture: the most frequent answer, or the same model with pictures shuffled among
# questions. Only the accuracy above the floors comes from looking at the picture.

# %%
report = vqa_rnn.evaluate(run.path, "val")
low, high = report["intervals"]["accuracy"]
print(f"accuracy {report['metrics']['accuracy']:.1%}, 95% interval {low:.1%} to {high:.1%}")
for name, floor in report["floors"].items():
    print(f"  {name}: {floor['accuracy']:.1%}")

# %% [markdown]
# ## 5. Ask it
#
# Ask about a new picture that was not used in training. Its features are computed once, so the
# second question is answered in milliseconds.

# %%
new_picture = draw_picture(("square", "blue"), ("triangle", "orange"))
session = vqa_rnn.load(run.path)
session.see(new_picture)
questions = ["What colour is the square?", "What colour is the triangle?"]
answers = [session.ask(question) for question in questions]
for answer in answers:
    print(answer.question, answer, f"{answer.probability:.1%}")

# %% [markdown]
# Where did it look? Bright regions have a large weight, and the outlined one has the largest. The
# picture is the same, but each question makes the model look at a different place.

# %%
vqa_rnn.draw(answers, folder / "where.png")
answers[0]  # in a notebook an answer is shown with its picture

# %% [markdown]
# ![Two questions about one picture: it looks at the square, then at the triangle](../images/first_model.png)
#
# ## Next
#
# - Change one option and compare: `"model.question.cell=gru"`, `"model.fusion.name=mutan"`,
#   `"model.attention.name=stacked"`. [Parts](../parts.md) lists all choices.
# - Use [your own photographs and questions](../own_data.md).
# - Read [what recurrent cells remember](what_cells_remember.py).
