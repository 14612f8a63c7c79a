"""Outputs of selected layers of a backbone, as grids."""

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch._inductor import config as inductor

from vqa_rnn.config import FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones import load_backbone
from vqa_rnn.features.backbones.folding import fold_batch_norms
from vqa_rnn.files import unknown_name

log = logging.getLogger("vqa_rnn")

LARGEST_CHANGE = 1e-3  # of features by folding or compiling: mean absolute difference, over their mean absolute value


class LayerGrids:
    """A backbone that runs up to the last of the selected layers.

    Attributes:
        backbone: The network with its weights and image size.
        model: The network itself.
        names: Names of the selected layers.
        image_size: Height and width of the images.
    """

    def __init__(self, config: FeaturesConfig, device: torch.device) -> None:
        """Load the backbone.

        Args:
            config: The backbone and its layers; by default the last layer that gives more than one region.
            device: The device to compute on.

        Raises:
            UserError: The backbone, its weights or a layer does not exist.
        """
        self._config, self._device = config, device
        self._compiled: Callable[[Tensor], list[Tensor]] | None = None
        self._load()

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Run the backbone.

        Args:
            batch: (B, 3, image_size, image_size), normalised.

        Returns:
            For each layer (B, D, H, W). Vectors become one cell; patch tokens become a square grid, without class token and
            registers.

        Raises:
            UserError: A layer is never run, or its output is not a grid.
        """
        outputs = self._run(batch) if self._compiled is None else self._compiled(batch)
        return [self._as_grid(output) for output in outputs]

    def fold_norms(self, sample: Tensor) -> bool:
        """Fold batch norms into convolutions. If that changes the features, the backbone is loaded again instead.

        Args:
            sample: A batch to compare features on.

        Returns:
            Whether batch norms were folded.
        """
        if not any(isinstance(module, nn.BatchNorm2d) for module in self.model.modules()):
            return False
        with torch.no_grad():  # tensors made in inference mode cannot be changed later
            before = self(sample)
            if not fold_batch_norms(self.model, sample[:1], set(self._layers)):
                return False
            self._arrange()
            if relative_difference(self(sample), before) < LARGEST_CHANGE:
                return True
        self._load()
        return False

    def compile(self, sample: Tensor) -> bool:
        """Compile the backbone with ``torch.compile``, for batches of one shape and with its weights as constants.

        Args:
            sample: A batch of that shape, to compare features on.

        Returns:
            Whether the backbone is compiled. If not, because there is no C++ compiler or the features would change, a warning
            is logged.
        """
        found: dict[str, Tensor] = {}

        def keep_as(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def keep(module: nn.Module, inputs: Any, output: Any) -> None:
                found[name] = _first_tensor(output).clone()  # a later layer may change it in place

            return keep

        def run(batch: Tensor) -> list[Tensor]:
            self._forward(batch)
            outputs = [found[name] for name in self.names]
            found.clear()  # else the next call compiles again
            return outputs

        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns that there is no GPU
        with torch.inference_mode():
            before = self(sample)
            hooks = [layer.register_forward_hook(keep_as(name)) for name, layer in zip(self.names, self._layers, strict=True)]
            try:
                compiled = torch.compile(run, dynamic=False)
                with inductor.patch(freezing=True):  # needed during tracing; an option of ``compile`` is too late
                    outputs = compiled(sample)
                difference = relative_difference([self._as_grid(output) for output in outputs], before)
                why = f"its features would change by {100 * difference:.2g}%" if difference >= LARGEST_CHANGE else ""
            except Exception as error:  # the compiler raises many kinds of errors
                why = str(error).strip().splitlines()[0]
        if why:
            log.warning("%s is not compiled: %s", self._config.backbone, why)
            for hook in hooks:
                hook.remove()
            return False
        self._compiled = compiled
        return True

    def _load(self) -> None:
        self.backbone = load_backbone(self._config)
        self.image_size = self.backbone.image_size
        self.model = self.backbone.network.model.eval().requires_grad_(False).to(self._device)
        self.names: Sequence[str] = self._config.layers or (self._last_grid(),)
        self._arrange()

    def _arrange(self) -> None:
        """Convert the weights to channels-last layout, and find the selected layers."""
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        modules = {name: module for name, module in self.model.named_modules() if name}
        for name in self.names:
            if name not in modules:
                raise UserError(
                    f"{self._config.backbone}: {unknown_name('layer', name, modules)}; the last one that gives more than one "
                    f"region is {self._last_grid()}"
                )
        self._layers = [modules[name] for name in self.names]

    def _forward(self, batch: Tensor) -> Any:
        return self.model(batch, **self.backbone.network.options)

    def _run(self, batch: Tensor) -> list[Tensor]:
        """Run the backbone up to the last selected layer."""
        found: dict[nn.Module, Tensor] = {}

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            is_last = len(found) + 1 == len(set(self._layers))
            tensor = _first_tensor(output)
            found[module] = tensor if is_last else tensor.clone()  # a later layer may change it in place
            if is_last:
                raise _EnoughError

        hooks = [layer.register_forward_hook(keep) for layer in self._layers]
        try:
            self._forward(batch)
        except _EnoughError:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        for name, layer in zip(self.names, self._layers, strict=True):
            if layer not in found:
                raise UserError(f"{self._config.backbone} has a layer {name} but never runs it as a module: take another")
        return [found[layer] for layer in self._layers]

    def _last_grid(self) -> str:
        """Return the name of the last module that gives more than one region. Later modules pool or classify."""
        names = {module: name for name, module in self.model.named_modules() if name}
        found: list[str] = []

        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            with suppress(UserError, TypeError):
                if self._as_grid(_first_tensor(output)).shape[-1] > 1:
                    found.append(names[module])

        network, size = self.backbone.network, self.image_size
        if network.patch_size is None:
            size = max(size, network.preset.image_size)  # a small image may give a single region
        hooks = [module.register_forward_hook(note) for module in names]
        try:
            with torch.inference_mode():
                self._forward(torch.zeros(1, 3, size, size, device=self._device))
        finally:
            for hook in hooks:
                hook.remove()
        if not found:
            raise UserError(f"no layer of {self._config.backbone} gives more than one region: name one with features.layers")
        return found[-1]

    def _as_grid(self, output: Tensor) -> Tensor:
        """Convert a layer's output to (B, D, H, W).

        Images are square, and so are their grids: of the three sizes after B, the one that differs is that of the channels.
        """
        network = self.backbone.network
        if output.dim() == 4:
            _, *sizes = output.shape
            is_channels_last = sizes[0] == sizes[1] != sizes[2] or (len(set(sizes)) == 1 and network.channels_last)
            return output.permute(0, 3, 1, 2) if is_channels_last else output  # channels last: Swin transformers
        if output.dim() == 2:
            return output[:, :, None, None]
        if output.dim() != 3:
            raise UserError(f"{self._config.backbone}: a layer gives {output.dim()} dimensions: take another")
        count, num_prefix_tokens = output.shape[1], network.num_prefix_tokens
        if count == self.backbone.num_patches:  # a layer before the prefix tokens are added
            num_prefix_tokens = 0
        patches = output[:, num_prefix_tokens:]
        side = math.isqrt(patches.shape[1])
        if side == 0 or side * side != patches.shape[1]:
            raise UserError(
                f"{', '.join(self.names)} of {self._config.backbone} gives {count} tokens; {count} - "
                f"{num_prefix_tokens} for class and registers is not a square number: take another layer"
            )
        return patches.transpose(1, 2).unflatten(2, (side, side))


def relative_difference(features: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """Compute the relative difference of features.

    Args:
        features: Tensors.
        exact: Reference tensors of the same shapes.

    Returns:
        The mean absolute difference over the mean absolute value of the reference; the maximum over the tensors.
    """
    pairs = zip(features, exact, strict=True)
    return max(float((one.float() - other).abs().mean() / other.abs().mean().clamp(min=1e-12)) for one, other in pairs)


def _first_tensor(output: Any) -> Tensor:
    """Return the output of a module; of several tensors, the first."""
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise TypeError(f"a {type(output).__name__} is no tensor: take another layer")
    return output


class _EnoughError(Exception):
    """Raised by a hook after the last selected layer, to skip the rest of the backbone."""
