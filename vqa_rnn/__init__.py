"""Visual question answering and visual dialog with recurrent networks.

    import vqa_rnn

    session = vqa_rnn.load("runs/demo")
    answer = session.ask("photo.jpg", "What colour is the car?")
    print(answer.best, answer.probability)

``__init__.pyi`` lists the public names. Each is loaded when it is first used, so that the import takes no time.

How a question travels. Every stage is a module; what it takes and gives is plain data.

1. ``annotations``: official files -> ``records.Annotations`` (``Question`` records and image paths);
   ``benchmarks`` has a row for each, with its reader, metrics, submission and files
2. ``features.extractor``: image files -> (K, D) region features; ``features.store`` keeps them in one HDF5 file
3. ``text``, ``answers``: training questions -> ``WordTokenizer``, ``AnswerVocabulary``
4. ``data``: questions and features -> ``batch.Batch``, every distinct image and text once
5. ``models``: ``Batch`` -> scores of answers or choices, and the loss
6. ``engines``: loader and model -> trained weights, predictions
7. ``metrics``: questions and ``records.Prediction`` -> scores, intervals, floors
8. ``checkpoint``: the run folder that holds it all
9. ``answering``: run folder, image and question -> answer

``cli`` and ``commands`` are the roof: they may import everything, nothing imports them.
"""

import lazy_loader

from vqa_rnn.threads import wait_passively

wait_passively()  # here, so that it is settled before any module loads torch

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
