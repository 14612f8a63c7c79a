"""A reader of glimpses: it looks at one place of a scene after the other, and reads digits from left to right.

The deep recurrent attention model of Ba et al. 2015 (https://arxiv.org/abs/1412.7755), which follows Mnih et al. 2014
(https://arxiv.org/abs/1406.6247).

Shape letters: N scenes, S side of a scene, Z scales, P side of a glimpse in pixels, K looks, T targets, C classes,
H hidden size.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.rnn import RecurrentNetwork
from vqa_rnn.rnn.cells import State
from vqa_rnn.sequences.glimpses_data import END, IGNORED, SceneBatch

CHANNELS = 16


class Looks(NamedTuple):
    """What was seen and where.

    Attributes:
        logits: (N, T, C) float, the classes of the targets.
        places: (N, K, 2) float, x and y of the centre of each glimpse from -1 (left, top) to 1.
        log_p: (N, K) float, log-density of each place; 0 for places that were not drawn.
        baselines: (N, K) float, the expected reward before each look, as the baseline learned it. No gradient flows from it
            into other parts of the model.
    """

    logits: Tensor
    places: Tensor
    log_p: Tensor
    baselines: Tensor


def cut_patches(images_NSS: Tensor, places_N2: Tensor, size: int, num_scales: int) -> Tensor:
    """Cut the patches of a glimpse: each covers twice the side of the one before it and has the same number of pixels.

    Args:
        images_NSS: (N, S, S) float.
        places_N2: (N, 2) float, x and y of the centres from -1, the left and upper edge, to 1. Between pixels the values are
            interpolated; outside the image they are 0.
        size: P.
        num_scales: Z.

    Returns:
        (N, Z, P, P) float; the pixels of scale z are means over 2^z x 2^z pixels of the image.
    """
    side = images_NSS.shape[2]
    patches = []
    for scale in range(num_scales):
        width = size * 2**scale
        offset = (torch.arange(width, device=places_N2.device, dtype=places_N2.dtype) - (width - 1) / 2) * (2 / side)
        x_NW, y_NW = (places_N2[:, axis, None] + offset for axis in (0, 1))
        grid = torch.stack([x_NW[:, None, :].expand(-1, width, -1), y_NW[:, :, None].expand(-1, -1, width)], dim=3)
        patch = functional.grid_sample(images_NSS[:, None], grid, align_corners=False)
        patches.append(functional.avg_pool2d(patch, 2**scale) if scale else patch)
    return torch.cat(patches, dim=1)


class GlimpseNetwork(nn.Module):
    """What a glimpse shows, times where it is (Ba et al. 2015, section 2: ``g = G_image(x) ∘ G_loc(l)``)."""

    def __init__(self, glimpse_size: int, num_scales: int, hidden_size: int) -> None:
        """Make the layers.

        Args:
            glimpse_size: P.
            num_scales: Z.
            hidden_size: H.
        """
        super().__init__()
        self.size, self.num_scales = glimpse_size, num_scales
        self.what = nn.Sequential(
            nn.Conv2d(num_scales, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * CHANNELS * math.ceil(glimpse_size / 2) ** 2, hidden_size),
            nn.ReLU(),
        )
        self.where = nn.Sequential(nn.Linear(2, hidden_size), nn.ReLU())
        _start(self.what)
        _start(self.where, bias=1.0)  # at first a place neither hides nor stresses what is seen there

    def forward(self, images_NSS: Tensor, places_N2: Tensor) -> Tensor:
        """Look once.

        Args:
            images_NSS: (N, S, S) float.
            places_N2: (N, 2) float.

        Returns:
            (N, H) float.
        """
        return self.what(cut_patches(images_NSS, places_N2, self.size, self.num_scales)) * self.where(places_N2)


class ContextNetwork(nn.Module):
    """A coarse view of the scene, as the first state of the network that chooses places (Ba et al. 2015, section 2)."""

    def __init__(self, context_size: int, hidden_size: int, state_size: int) -> None:
        """Make the layers.

        Args:
            context_size: Side of the coarse view in pixels.
            hidden_size: Size of the hidden layer.
            state_size: Size of the state.
        """
        super().__init__()
        self.coarse = nn.AdaptiveAvgPool2d(context_size)
        self.hidden = nn.Linear(context_size**2, hidden_size)
        self.state = nn.Linear(hidden_size, state_size)
        _start(self)

    def forward(self, images_NSS: Tensor) -> Tensor:
        """Look at the whole scene.

        Args:
            images_NSS: (N, S, S) float.

        Returns:
            (N, state_size) float from -1 to 1.
        """
        return self.state(self.hidden(self.coarse(images_NSS).flatten(1)).relu()).tanh()


class GlimpseReader(nn.Module):
    """Scenes in, digits from left to right and the end out, after a fixed number of looks for each.

    The lower recurrent network reads the glimpses, and the classes are read from its state. The upper one reads the states of
    the lower one, and its state h gives the next place: drawn from a normal distribution around ``tanh(W h + b)`` in training,
    that mean itself in evaluation. The upper network starts from the context network, so the coarse view of the scene decides
    where to look but not what is read.

    Differs from Ba et al.: glimpses have several scales, as in Mnih et al.; fewer and smaller layers for a glimpse and for the
    context, because the digits are small; the context also starts the memory of an LSTM; ``W h + b`` is divided by sqrt(H),
    because Adam otherwise moves the places by noise to the corners, where the tanh is flat, before anything can be read; a
    drawn place outside the scene is moved to its edge.
    """

    def __init__(
        self,
        num_targets: int,
        num_classes: int,
        cell: str = "lstm",
        hidden_size: int = 128,
        *,
        num_layers: int = 1,
        glimpse_size: int = 8,
        num_scales: int = 2,
        looks_per_target: int = 2,
        context_size: int | None = 12,
        location_std: float = 0.2,
        **start: Any,
    ) -> None:
        """Make the layers.

        Args:
            num_targets: T, the digits and the end.
            num_classes: C.
            cell: A name from ``vqa_rnn.rnn.CELLS``, for both recurrent networks.
            hidden_size: H.
            num_layers: Layers of each of them.
            glimpse_size: P.
            num_scales: Z.
            looks_per_target: Looks before each target is read.
            context_size: Side of the coarse view; None starts without one.
            location_std: Standard deviation of the places in training.
            **start: Options of ``RecurrentNetwork`` for the first state and the first weights. The first state of the upper
                network is that of the context, if there is one.
        """
        super().__init__()
        self.num_targets, self.looks_per_target, self.location_std = num_targets, looks_per_target, location_std
        self.glimpse = GlimpseNetwork(glimpse_size, num_scales, hidden_size)
        self.lower = RecurrentNetwork(cell, hidden_size, hidden_size, num_layers=num_layers, **start)
        if context_size is not None:
            start = start | {"first_state": "zero"}
        self.upper = RecurrentNetwork(cell, hidden_size, hidden_size, num_layers=num_layers, **start)
        self.context: ContextNetwork | None = None
        if context_size is not None:
            state_size = self.upper.num_states * num_layers * hidden_size
            self.context = ContextNetwork(context_size, hidden_size, state_size)
        self.location = nn.Linear(hidden_size, 2)
        self.baseline = nn.Linear(hidden_size, 1)
        self.output = nn.Linear(hidden_size, num_classes)

    def forward(self, images_NSS: Tensor, places_NK2: Tensor | None = None) -> Looks:
        """Look at scenes and read them.

        Args:
            images_NSS: (N, S, S) float from 0 to 1.
            places_NK2: (N, K, 2) float, where to look; None lets the model choose.

        Returns:
            What was seen and where.
        """
        images_NSS = images_NSS.to(self.output.weight.dtype)
        lower, upper = self.lower.begin(len(images_NSS)), self._begin_upper(images_NSS)
        logits, places, log_p, baselines = [], [], [], []
        for look in range(self.num_targets * self.looks_per_target):
            top_NH = upper[0][-1]
            baselines.append(self.baseline(top_NH.detach()).squeeze(1))
            if places_NK2 is None:
                place_N2, log_p_N = self._choose(top_NH)
            else:
                place_N2, log_p_N = places_NK2[:, look].to(top_NH.dtype), torch.zeros_like(baselines[0])
            seen_NH = self.glimpse(images_NSS, place_N2)
            states_NH, lower = self.lower.step(seen_NH, lower)
            _, upper = self.upper.step(states_NH, upper)
            places.append(place_N2)
            log_p.append(log_p_N)
            if (look + 1) % self.looks_per_target == 0:
                logits.append(self.output(states_NH))
        return Looks(*(torch.stack(part, dim=1) for part in (logits, places, log_p, baselines)))

    def _begin_upper(self, images_NSS: Tensor) -> State:
        begin = self.upper.begin(len(images_NSS))
        if self.context is None:
            return begin
        parts = self.context(images_NSS).unflatten(1, (len(begin), len(begin[0]), -1))
        return tuple(part.transpose(0, 1) for part in parts.unbind(1))

    def _choose(self, top_NH: Tensor) -> tuple[Tensor, Tensor]:
        scaled_N2 = self.location(top_NH) / math.sqrt(top_NH.shape[1])
        mean_N2 = scaled_N2.to(self.location.weight.dtype).tanh()  # not the dtype of autocast
        if not self.training:
            return mean_N2, mean_N2.new_zeros(len(mean_N2))
        drawn_N2 = (mean_N2 + self.location_std * torch.randn_like(mean_N2)).detach()
        square_N = ((drawn_N2 - mean_N2) / self.location_std).square().sum(dim=1)
        log_p_N = -square_N / 2 - math.log(2 * math.pi * self.location_std**2)
        return drawn_N2.clamp(-1, 1), log_p_N


def _start(layers: nn.Module, bias: float = 0.0) -> None:
    """Initialise layers before ReLUs as in He et al. 2015: with torch's own start almost nothing of the dark images is left."""
    for layer in layers.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]


class Rewarded(nn.Module):
    """A reader that learns what to read by the cross-entropy and where to look by REINFORCE.

    Attributes:
        model: The reader.
    """

    def __init__(self, model: GlimpseReader, reinforce_weight: float = 1.0) -> None:
        """Wrap a reader.

        Args:
            model: The reader.
            reinforce_weight: λ of Ba et al. 2015, equation 12.
        """
        super().__init__()
        self.model = model
        self._weight = reinforce_weight

    def forward(self, batch: SceneBatch) -> Looks:
        """Read scenes.

        Args:
            batch: The scenes.

        Returns:
            What was seen and where.
        """
        looks: Looks = self.model(batch.images)
        return looks

    def losses(self, looks: Looks, batch: SceneBatch) -> tuple[Tensor, Tensor]:
        """Compute the loss.

        The value is the cross-entropy. The gradient is that of the cross-entropy, plus ``-λ Σ_k (R_k - b_k) ∂ log p(l_k)``
        (Ba et al. 2015, equations 11 to 13) and that of the baseline's squared error. R_k is the number of targets read right
        from look k on: a look cannot change what was read before it, so leaving that out only removes noise. One sample of the
        places per scene.

        Args:
            looks: From ``forward``.
            batch: The scenes they belong to.

        Returns:
            (N,) float, the summed cross-entropy of each scene in nats; (N,) int64, the number of its targets.
        """
        losses_N = functional.cross_entropy(
            looks.logits.transpose(1, 2), batch.targets, ignore_index=IGNORED, reduction="none"
        ).sum(dim=1)
        right_NT = (looks.logits.detach().argmax(dim=2) == batch.targets).to(looks.baselines.dtype)
        to_come_NT = right_NT.flip(1).cumsum(dim=1).flip(1)
        surplus_NK = to_come_NT.repeat_interleave(self.model.looks_per_target, dim=1) - looks.baselines
        chosen_N = (surplus_NK.square() - self._weight * surplus_NK.detach() * looks.log_p).sum(dim=1)
        return losses_N + (chosen_N - chosen_N.detach()), (batch.targets != IGNORED).sum(dim=1)


def right_sums(model: GlimpseReader) -> Callable[[SceneBatch], Tensor]:
    """Return a function that counts what a reader reads right, for ``build_sums_evaluator``.

    Args:
        model: The reader, in evaluation mode.

    Returns:
        A function of a batch. It returns (4,) float64: scenes of which every target is right, scenes, digits that are right,
        and digits.
    """

    def sums(batch: SceneBatch) -> Tensor:
        right_NT = read_right(model(batch.images).logits, batch.targets)
        is_digit_NT = (batch.targets != IGNORED) & (batch.targets != END)
        scenes = right_NT.all(dim=1)
        counts = scenes.sum(), torch.tensor(len(scenes)), (right_NT & is_digit_NT).sum(), is_digit_NT.sum()
        return torch.stack([count.double().cpu() for count in counts])

    return sums


def read_right(logits_NTC: Tensor, targets_NT: Tensor) -> Tensor:
    """Compare what was read with the targets.

    Args:
        logits_NTC: (N, T, C) float.
        targets_NT: (N, T) int64.

    Returns:
        (N, T) bool, True where the most probable class is the target, and behind the end.
    """
    return (logits_NTC.argmax(dim=2) == targets_NT) | (targets_NT == IGNORED)


def accuracies(sums: Sequence[float]) -> dict[str, float]:
    """Compute the metrics of a reader.

    Args:
        sums: The sums of ``right_sums`` over the scenes.

    Returns:
        ``accuracy``, the share of scenes of which every digit and the end is right, and ``digit_accuracy``.
    """
    scenes_right, scenes, digits_right, digits = sums
    return {"accuracy": scenes_right / scenes, "digit_accuracy": digits_right / digits}
