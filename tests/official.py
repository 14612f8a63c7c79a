"""Small data sets in the benchmarks' official file formats, drawn: four coloured shapes an image, and questions about them."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 180, 30),
    "blue": (40, 40, 230),
    "yellow": (230, 220, 40),
    "white": (250, 250, 250),
}
SHAPES = ("circle", "square")
SIZE, CELL = 64, 32
Thing = tuple[str, str, tuple[int, int, int, int]]
MOST_ROUNDS = 3
DENSE_KEY = {"train": "relevance", "val": "gt_relevance"}  # as the official files have it


def draw_scene(path: Path, number: int) -> list[Thing]:
    """Draw four things of different colours, one a quarter of the image: their colour, shape and box (x, y, width, height)."""
    generator = random.Random(number)
    image = Image.new("RGB", (SIZE, SIZE), (90, 90, 90))
    pen = ImageDraw.Draw(image)
    things = []
    for quarter, colour in enumerate(generator.sample(sorted(COLOURS), 4)):
        shape = generator.choice(SHAPES)
        x, y = CELL * (quarter % 2) + generator.randint(2, 6), CELL * (quarter // 2) + generator.randint(2, 6)
        side = generator.randint(18, 23)
        (pen.ellipse if shape == "circle" else pen.rectangle)((x, y, x + side, y + side), fill=COLOURS[colour])
        things.append((colour, shape, (x, y, side + 1, side + 1)))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="JPEG", quality=95)
    return things


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def ten(answer: str, generator: random.Random, agreement: float) -> list[dict[str, Any]]:
    """What ten people say: most of them the answer."""
    said = [answer if generator.random() < agreement else generator.choice(["yes", "no", "2"]) for _ in range(10)]
    return [{"answer": text, "answer_confidence": "yes", "answer_id": i + 1} for i, text in enumerate(said)]


def draw_vqa(root: Path, version: str = "v2", task: str = "open_ended", images: int = 10, unanimous: bool = False) -> Path:
    """VQA: three questions an image; train, val, and test without answers."""
    prefix = "v2_" if version == "v2" else ""
    kind = "MultipleChoice" if task == "multiple_choice" else "OpenEnded"
    for offset, subset in enumerate(("train2014", "val2014", "test2015")):
        questions, annotations = [], []
        for number in range(images):
            image_id = 1000 * (offset + 1) + number
            generator = random.Random(image_id)
            things = draw_scene(root / subset / f"COCO_{subset}_{image_id:012d}.jpg", image_id)
            asked = [
                ("What color is the thing at the top left?", things[0][0], "other", "what color is the"),
                (f"Is there a {things[1][0]} circle?", "yes" if things[1][1] == "circle" else "no", "yes/no", "is there a"),
                ("How many circles are there?", str(sum(t[1] == "circle" for t in things)), "number", "how many"),
            ]
            for i, (text, answer, answer_type, question_type) in enumerate(asked):
                question = {"question_id": 10 * image_id + i, "image_id": image_id, "question": text}
                if task == "multiple_choice":
                    others = [*COLOURS, "yes", "no", *map(str, range(15))]
                    others.remove(answer)
                    choices = [answer, *generator.sample(others, 17)]
                    generator.shuffle(choices)
                    question["multiple_choices"] = choices
                questions.append(question)
                annotation = {key: question[key] for key in ("question_id", "image_id")}
                annotation |= {"question_type": question_type, "answer_type": answer_type, "multiple_choice_answer": answer}
                annotations.append(annotation | {"answers": ten(answer, generator, 1.0 if unanimous else 0.8)})
        data = {"info": {"version": "test"}, "task_type": kind, "data_type": "mscoco", "data_subtype": subset}
        write(root / f"{prefix}{kind}_mscoco_{subset}_questions.json", data | {"questions": questions})
        if subset != "test2015":
            write(root / f"{prefix}mscoco_{subset}_annotations.json", data | {"annotations": annotations})
    return root


def draw_visual7w(root: Path, task: str = "telling", images: tuple[int, int, int] = (14, 5, 5)) -> Path:
    """Visual7W, all splits in one file. Telling: the colour at a place, four choices; pointing: which thing has a colour."""
    records, boxes, number = [], [], 0
    for split, count in zip(("train", "val", "test"), images, strict=True):
        for _ in range(count):
            number += 1
            things = draw_scene(root / "images" / f"v7w_{number}.jpg", number)
            pairs = []
            for i, (colour, _, (x, y, width, height)) in enumerate(things):
                pair: dict[str, Any] = {"qa_id": 10 * number + i, "image_id": number}
                if task == "pointing":
                    box = {"box_id": 100 * number + i, "image_id": number, "name": "thing"}
                    boxes.append(box | {"x": x, "y": y, "width": width, "height": height})
                    decoys: list[Any] = [100 * number + j for j in range(4) if j != i]
                    pair |= {"question": f"Which thing is {colour}?", "type": "which", "answer": box["box_id"]}
                else:
                    place = ("top left", "top right", "bottom left", "bottom right")[i]
                    decoys = [other for other, _, _ in things if other != colour]
                    pair |= {"question": f"What colour is at the {place}?", "type": "what", "answer": colour}
                pairs.append(pair | {"multiple_choices": decoys})
            records.append({"image_id": number, "filename": f"v7w_{number}.jpg", "split": split, "qa_pairs": pairs})
    content = {"dataset": f"visual7w-{task}", "images": records}
    write(root / f"dataset_v7w_{task}.json", content | ({"boxes": boxes} if task == "pointing" else {}))
    return root


def draw_visdial(root: Path, images: int = 6, num_answers: int = 8) -> Path:
    """VisDial 1.0: three rounds an image, every answer a choice; the second judged on train and val; test stops early."""
    answers = [*COLOURS, "yes", "no", "maybe", *map(str, range(num_answers - 8))]
    questions = ["what color is the top left one", "is there a circle", "what color is the bottom right one"]
    for offset, split in enumerate(("train", "val", "test")):
        dialogs, dense = [], []
        for number in range(images):
            image_id = 1000 * (offset + 1) + number
            folder = "train2014" if split == "train" else f"VisualDialog_{split}2018"
            prefix = "COCO_train2014" if split == "train" else folder
            things = draw_scene(root / folder / f"{prefix}_{image_id:012d}.jpg", image_id)
            generator = random.Random(image_id)
            has_circle = any(thing[1] == "circle" for thing in things)
            truth = [things[0][0], "yes" if has_circle else "no", things[3][0]]
            asked = generator.randint(1, MOST_ROUNDS) if split == "test" else MOST_ROUNDS
            rounds = []
            for i in range(asked):
                options = generator.sample(range(len(answers)), len(answers))
                correct = answers.index(truth[i])
                turn: dict[str, Any] = {"question": i}
                if split != "test" or i < asked - 1:
                    turn["answer"] = correct
                if split != "test":
                    turn |= {"answer_options": options, "gt_index": options.index(correct)}
                elif i == asked - 1:
                    turn["answer_options"] = options
                rounds.append(turn)
            dialogs.append({"image_id": image_id, "caption": "four things", "dialog": rounds})
            if split != "test":
                relevance = [float(option == answers.index(truth[1])) for option in rounds[1]["answer_options"]]
                dense.append({"image_id": image_id, "round_id": 2, DENSE_KEY[split]: relevance})
        data = {"questions": questions, "answers": answers, "dialogs": dialogs}
        write(root / f"visdial_1.0_{split}.json", {"version": "1.0", "split": f"{split}2018", "data": data})
        if dense:
            write(root / f"visdial_1.0_{split}_dense_annotations.json", dense)
    return root


def draw_clevr(root: Path, images: int = 10) -> Path:
    """CLEVR: two questions an image; test without answers."""
    for offset, split in enumerate(("train", "val", "test")):
        questions: list[dict[str, Any]] = []
        for number in range(images):
            name = f"CLEVR_{split}_{number:06d}.png"
            things = draw_scene(root / "images" / split / name, 1000 * offset + number)
            asked = [
                ("What color is the thing at the top left?", things[0][0], "query_color"),
                ("How many circles are there?", str(sum(thing[1] == "circle" for thing in things)), "count"),
            ]
            for text, answer, function in asked:
                question = {"image_index": number, "image_filename": name, "question_index": len(questions), "question": text}
                if split != "test":
                    question |= {"answer": answer, "program": [{"function": "scene", "inputs": []}, {"function": function}]}
                questions.append(question)
        write(root / "questions" / f"CLEVR_{split}_questions.json", {"info": {"split": split}, "questions": questions})
    return root


def draw_clevr_dialog(root: Path, images: int = 10) -> Path:
    """CLEVR-Dialog: two dialogs an image, of three rounds; test stops at the asked round and says nothing of co-reference."""
    for offset, split in enumerate(("train", "val", "test")):
        content = []
        for number in range(images):
            name = f"CLEVR_{split}_{number:06d}.png"
            things = draw_scene(root / "images" / split / name, 1000 * offset + number)
            generator = random.Random(number)
            dialogs = [_clevr_dialog(things, thing) for thing in generator.sample(range(len(things)), 2)]
            if split == "test":
                dialogs = [_stopped(dialog, generator.randint(1, MOST_ROUNDS)) for dialog in dialogs]
            content.append({"image_index": number, "split": split, "image_filename": name, "dialogs": dialogs})
        write(root / f"clevr_dialog_{split}_raw.json", content)
    return root


def _clevr_dialog(things: list[Thing], thing: int) -> dict[str, Any]:
    """A dialog about one of the things; it takes the caption to know which."""
    colour, shape, _ = things[thing]
    num_circles = sum(other == "circle" for _, other, _ in things)
    side = f"Is the earlier {colour} thing at the left?"
    asked = [
        ("What shape is it?", shape, "seek-attr-imm", -1),
        ("How many circles are there?", str(num_circles), "count-attribute", None),
        (side, "no" if thing % 2 else "yes", "exist-obj-rel-early", -1),
    ]
    history = [{"round": 0, "objects": [{"id": thing, "color": colour}]}]
    history += [{"round": i, "objects": [], "dependence": place} for i, (*_, place) in enumerate(asked, start=1)]
    return {
        "caption": f"There is a {colour} thing.",
        "dialog": [{"question": text, "answer": answer, "template": template} for text, answer, template, _ in asked],
        "template_info": [{"label": "unique-obj"}, *({"label": template} for _, _, template, _ in asked)],
        "graph": {"relationships": {}, "counts": {}, "exists": {}, "history": history, "objects": {}},
    }


def _stopped(dialog: dict[str, Any], num_rounds: int) -> dict[str, Any]:
    """A dialog as in a test file: its last round has no answer."""
    rounds = [{"question": turn["question"], "answer": turn["answer"]} for turn in dialog["dialog"][:num_rounds]]
    del rounds[-1]["answer"]
    return {"caption": dialog["caption"], "dialog": rounds}


DRAW: dict[str, Callable[..., Path]] = {
    "vqa": draw_vqa,
    "visual7w": draw_visual7w,
    "visdial": draw_visdial,
    "clevr": draw_clevr,
    "clevr_dialog": draw_clevr_dialog,
}


def draw_medical(root: Path, name: str, images: int = 8) -> Path:
    """SLAKE or VQA-RAD: an open and a closed question an image; test without answers."""
    splits = (
        {"train": "train", "val": "validate", "test": "test"} if name == "slake" else {"train": "trainset", "test": "testset"}
    )
    number = 0
    for split, file in splits.items():
        records: list[dict[str, Any]] = []
        for _ in range(images):
            place = f"xmlab{number}/source.jpg" if name == "slake" else f"synpic{number}.jpg"
            (colour, shape, _box), *_ = draw_scene(root / ("imgs" if name == "slake" else "images") / place, number)
            said = {"img_name": place, "q_lang": "en"} if name == "slake" else {"image_name": place, "phrase_type": "freeform"}
            asked = [("What is at the top left?", shape, "OPEN"), (f"Is a {colour} {shape} there?", "Yes", "CLOSED")]
            for question, answer, kind in asked:
                truth = {} if split == "test" else {"answer": answer}
                records.append(said | truth | {"qid": len(records) + 1000 * number, "question": question, "answer_type": kind})
            number += 1
        write(root / f"{file}.json", records)
    return root
