# %% [markdown]
# # What recurrent networks remember
#
# A recurrent network reads a sequence one element at a time, and remembers earlier elements only
# through its state. How far back does its memory reach? This notebook measures it in two ways, for
# several cells of `vqa_rnn.CELLS`:
#
# 1. **gradients**: how much the last output depends on an input many steps earlier, in an
#    untrained network;
# 2. **recall**: whether a network learns to name the first symbol after a delay of blanks.
#
# [Recurrent networks](../recurrent-networks.md) has the theory, and the same measurements for all
# cells.

# %%
from pathlib import Path

import vqa_rnn  # before torch: it settles how threads wait
import torch
from matplotlib import pyplot
from torch import nn

print(", ".join(vqa_rnn.CELLS))

# %% tags=["parameters"]
folder = Path("what_cells_remember")  # the pictures go there
length = 101  # of the sequences for the gradients
delay = 50  # of the recall task
num_steps = 400  # of training

# %% [markdown]
# ## A cell, step by step
#
# A cell computes the next state from the last one and the input: `h_t = f(h_{t-1}, x_t)`, with the
# same weights at every step. The network applies the cell to all steps. The loop below does the
# same by hand, and gives the same output:

# %%
torch.manual_seed(0)
network = vqa_rnn.RecurrentNetwork("elman", input_size=5, hidden_size=7)
inputs = torch.randn(3, 10, 5)  # 3 sequences of 10 steps
(cell,) = network.cells()
state = (torch.zeros(3, 7),)
for step in range(10):
    state = cell.step(cell.project(inputs[:, step]), state)
outputs, _ = network(inputs)
torch.testing.assert_close(outputs[:, -1], state[0])

# %% [markdown]
# ## 1. Gradients
#
# Each step back multiplies the gradient by the recurrent matrix and by the slope of the
# activation. Over 100 steps that is a product of 100 factors: it vanishes if they are below 1, and
# explodes if they are above.
#
# The Elman cell (the "vanilla" network) is shown with recurrent matrices whose singular values are
# all 0.9, 1 or 1.1. The inputs are tiny, so that the slope of tanh is 1 and only the matrix
# matters. The forget gate of an untrained LSTM is almost fully open with a bias of 3, and less
# open with a bias of 1.

# %%
SIZE = 64
LINES = {  # colours and lines that anybody can tell apart
    "elman": ("#0072B2", "-"),
    "elman, 0.9": ("#0072B2", "--"),
    "elman, 1": ("#0072B2", "-"),
    "elman, 1.1": ("#0072B2", ":"),
    "lstm, forget bias 1": ("#D55E00", "--"),
    "lstm, forget bias 3": ("#D55E00", "-"),
    "gru": ("#009E73", "-"),
}


def gradient_norms(cell: str, singular_value: float = 1.0, forget_bias: float | None = None) -> list[float]:
    """Norms of the gradient of a loss on the last output, at the inputs 0, 1, 2, … steps before it."""
    torch.manual_seed(0)
    network = vqa_rnn.RecurrentNetwork(cell, SIZE, SIZE, recurrent_start="orthogonal", forget_bias=forget_bias)
    (layer,) = network.cells()
    with torch.no_grad():
        layer.recurrent_weights().mul_(singular_value)  # those of an orthogonal matrix are 1
        for name, weights in network.named_parameters():
            if "bias" in name and forget_bias is None:
                weights.zero_()
    inputs = (1e-6 * torch.randn(16, length, SIZE)).requires_grad_()
    _, state = network(inputs)
    loss = (network.last_output(state) * torch.randn(16, SIZE)).sum()
    (gradient,) = torch.autograd.grad(loss, inputs)
    return gradient.norm(dim=2).mean(dim=0).flip(0).tolist()


def draw_lines(lines: dict[str, list[float]], x: list[int], file_name: str, **labels: str) -> None:
    figure, axes = pyplot.subplots(figsize=(7.5, 4), layout="constrained")
    for name, values in lines.items():
        colour, style = LINES[name]
        axes.plot(x, values, style, color=colour, label=name, linewidth=1.8)
    axes.set(**labels)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / file_name, dpi=130)


norms = {
    "elman, 0.9": gradient_norms("elman", 0.9),
    "elman, 1": gradient_norms("elman", 1.0),
    "elman, 1.1": gradient_norms("elman", 1.1),
    "lstm, forget bias 1": gradient_norms("lstm", forget_bias=1),
    "lstm, forget bias 3": gradient_norms("lstm", forget_bias=3),
    "gru": gradient_norms("gru"),
}
draw_lines(norms, list(range(length)), "gradients.png", xlabel="steps back", ylabel="norm of the gradient", yscale="log")

# %% [markdown]
# ![Norm of the gradient over the steps back, for each cell](../images/what_cells_remember_gradients.png)
#
# - Elman: with singular values of 0.9 the gradient vanishes, with 1.1 it explodes, and with 1 its
#   size stays the same.
# - LSTM: with a forget bias of 1 the gate keeps 0.73 of the cell state at each step, and the
#   gradient shrinks slowly. With a bias of 3 it keeps 0.95, and the gradient does not vanish.
# - GRU: gates alone are not a cure. Before training they are half open, and the gradient vanishes
#   faster than in any other network here.
#
# ## 2. Recall
#
# A sequence is one of eight symbols, followed by blanks, and the task is to name the symbol. A
# network that answers from its last state has to carry the symbol through the delay. Chance is
# 1 in 8. The recurrent matrices are initialised uniformly, which is the default.

# %%
NUM_SYMBOLS, BATCH = 8, 64


def learn_to_recall(cell: str, forget_bias: float | None = None) -> list[float]:
    """Accuracy in each twentieth of the training."""
    torch.manual_seed(0)
    embedding = nn.Embedding(NUM_SYMBOLS + 1, SIZE)  # the last one is the blank
    network = vqa_rnn.RecurrentNetwork(cell, SIZE, SIZE, forget_bias=forget_bias)
    answers = nn.Linear(SIZE, NUM_SYMBOLS)
    parameters = [*embedding.parameters(), *network.parameters(), *answers.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    right = []
    for _ in range(num_steps):
        symbols = torch.randint(NUM_SYMBOLS, (BATCH,))
        tokens = torch.full((BATCH, 1 + delay), NUM_SYMBOLS)
        tokens[:, 0] = symbols
        _, state = network(embedding(tokens))
        logits = answers(network.last_output(state))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, symbols).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        right.append((logits.argmax(dim=1) == symbols).float().mean())
    return [part.mean().item() for part in torch.stack(right).tensor_split(20)]


recalled = {
    "elman": learn_to_recall("elman"),
    "lstm, forget bias 1": learn_to_recall("lstm", 1),
    "lstm, forget bias 3": learn_to_recall("lstm", 3),
    "gru": learn_to_recall("gru"),
}
draw_lines(
    recalled, [num_steps * part // 20 for part in range(1, 21)], "recall.png", xlabel="training steps", ylabel="accuracy"
)
for name, accuracies in recalled.items():
    print(f"{name}: {accuracies[-1]:.0%}")

# %% [markdown]
# ![Accuracy over the training steps, for each cell](../images/what_cells_remember_recall.png)
#
# The Elman cell and the LSTM with a forget bias of 1 stay at chance. The LSTM with a bias of 3
# remembers even before training, so it learns quickly. The GRU learns quickly too, although its
# gradients vanish at the start: it can learn to keep its gates open. The Elman cell has no gates.
#
# Each curve is one seed. [Recurrent
# networks](../recurrent-networks.md#what-that-means-for-learning) has three seeds of all cells.
#
# ## In a model
#
# On short questions every cell works. Cells differ on dialogs and long questions
# ([cells compared](../ablations.md)).
#
# - `model.question.cell=gru` selects another cell, `model.question.forget_bias=3` opens the forget
#   gate of an LSTM, and `model.question.recurrent_start=orthogonal` selects orthogonal matrices.
# - `vqa-rnn gradients` draws the gradient plot for all cells, and `vqa-rnn gradients --run RUN`
#   for a trained model on its own questions.
# - `python scripts/recall.py` runs the recall task for all cells and several seeds.
