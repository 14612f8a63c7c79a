"""Visual question answering and visual dialog with recurrent networks.

    import vqa_rnn

    session = vqa_rnn.load("runs/demo")
    answer = session.ask("photo.jpg", "What colour is the car?")
    print(answer.best, answer.probability)

``__init__.pyi`` lists the public names. Each is imported on first use, so that ``import vqa_rnn`` is fast.

The stages of the pipeline. Each is a module, and its inputs and outputs are plain data.

1. ``annotations``: official files -> ``records.Annotations`` (``Question`` records and image paths);
   ``benchmarks`` lists the reader, metrics, submission format and files of each data set
2. ``features.extractor``: image files -> (K, D) region features; ``features.store`` keeps them in one HDF5 file
3. ``text``, ``answers``: training questions -> ``WordTokenizer``, ``AnswerVocabulary``
4. ``data``: questions and features -> ``batch.Batch``, with each distinct image and text once
5. ``models``: ``Batch`` -> scores of answers or choices, and the loss
6. ``engines``: loader and model -> trained weights, predictions
7. ``metrics``: questions and ``records.Prediction`` -> scores, intervals, floors
8. ``checkpoint``: the run folder, which holds everything that a trained model needs
9. ``answering``: run folder, image and question -> answer

``cli`` and ``commands`` are the top layer: they may import any module, and the stages do not import them.
"""

import lazy_loader

from vqa_rnn.threads import wait_passively

wait_passively()  # must run before any module imports torch

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
