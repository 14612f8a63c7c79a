"""The outputs of some layers of a backbone, as grids."""

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

LARGEST_CHANGE = 1e-3  # of features, by folding or compiling: the mean difference over their mean size


class LayerGrids:
    """A backbone that runs up to the last of some layers.

    Attributes:
        backbone: The network, with the weights and the images that it was trained with.
        model: The network itself.
        names: What the layers are called.
        image_size: Height and width of the images.
    """

    def __init__(self, config: FeaturesConfig, device: torch.device) -> None:
        """Load the backbone.

        Args:
            config: Which one, and which layers of it; by default the last that gives more than one region.
            device: Where to compute.

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
            For each layer (B, D, H, W): vectors as one cell, patches as a square without class token and registers.

        Raises:
            UserError: A layer is never run, or gives no grid.
        """
        outputs = self._run(batch) if self._compiled is None else self._compiled(batch)
        return [self._as_grid(output) for output in outputs]

    def fold_norms(self, sample: Tensor) -> bool:
        """Fold batch norms, unless there are none, or another function comes of it: then the backbone is loaded anew.

        Args:
            sample: A batch to compare by.

        Returns:
            Whether they are folded.
        """
        if not any(isinstance(module, nn.BatchNorm2d) for module in self.model.modules()):
            return False
        with torch.no_grad():  # what inference mode makes cannot be changed afterwards
            before = self(sample)
            if not fold_batch_norms(self.model, sample[:1], set(self._layers)):
                return False
            self._arrange()
            if relative_difference(self(sample), before) < LARGEST_CHANGE:
                return True
        self._load()
        return False

    def compile(self, sample: Tensor) -> bool:
        """Compile the backbone for batches of one shape, its weights made part of the program (``torch.compile``).

        Args:
            sample: A batch of the shape, to compare by.

        Returns:
            Whether it is compiled; if not, as there is no compiler of C++ or another function came of it, the log says so.
        """
        found: dict[str, Tensor] = {}

        def keep_as(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def keep(module: nn.Module, inputs: Any, output: Any) -> None:
                found[name] = _first_tensor(output).clone()  # a later layer may work in place

            return keep

        def run(batch: Tensor) -> list[Tensor]:
            self._forward(batch)
            outputs = [found[name] for name in self.names]
            found.clear()  # as it was before, or the next call is compiled anew
            return outputs

        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it remarks that there is no GPU
        with torch.inference_mode():
            before = self(sample)
            hooks = [layer.register_forward_hook(keep_as(name)) for name, layer in zip(self.names, self._layers, strict=True)]
            try:
                compiled = torch.compile(run, dynamic=False)
                with inductor.patch(freezing=True):  # while it is traced; as an option of compile it comes too late
                    outputs = compiled(sample)
                difference = relative_difference([self._as_grid(output) for output in outputs], before)
                why = f"its features would change by {100 * difference:.2g}%" if difference >= LARGEST_CHANGE else ""
            except Exception as error:  # the compiler and what it calls raise many kinds
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
        """Lay weights out for convolutions, and find the wanted layers."""
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
        """Run the backbone up to the last wanted layer."""
        found: dict[nn.Module, Tensor] = {}

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            is_last = len(found) + 1 == len(set(self._layers))
            tensor = _first_tensor(output)
            found[module] = tensor if is_last else tensor.clone()  # a later layer may work in place
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
        """The name of the last module that gives more than one region: what comes after it pools or classifies."""
        names = {module: name for name, module in self.model.named_modules() if name}
        found: list[str] = []

        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            with suppress(UserError, TypeError):
                if self._as_grid(_first_tensor(output)).shape[-1] > 1:
                    found.append(names[module])

        network, size = self.backbone.network, self.image_size
        if network.patch_size is None:
            size = max(size, network.preset.image_size)  # a small image has one region where a large one has several
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
        """Bring a layer's output to (B, D, H, W).

        Images are square, so their grids are: of the three sizes, that which is unlike the others is the channels'.
        """
        network = self.backbone.network
        if output.dim() == 4:
            _, *sizes = output.shape
            is_channels_last = sizes[0] == sizes[1] != sizes[2] or (len(set(sizes)) == 1 and network.channels_last)
            return output.permute(0, 3, 1, 2) if is_channels_last else output  # the former as in Swin transformers
        if output.dim() == 2:
            return output[:, :, None, None]
        if output.dim() != 3:
            raise UserError(f"{self._config.backbone}: a layer gives {output.dim()} dimensions: take another")
        count, num_prefix_tokens = output.shape[1], network.num_prefix_tokens
        if count == self.backbone.num_patches:  # a layer before the prefix, or of a network that ends with it
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
    """How much features differ.

    Args:
        features: Tensors.
        exact: Others of the same shapes.

    Returns:
        The mean difference over the mean size of the latter: of those tensors, the largest.
    """
    pairs = zip(features, exact, strict=True)
    return max(float((one.float() - other).abs().mean() / other.abs().mean().clamp(min=1e-12)) for one, other in pairs)


def _first_tensor(output: Any) -> Tensor:
    """What a module gives: the tensor, or the first of several."""
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise TypeError(f"a {type(output).__name__} is no tensor: take another layer")
    return output


class _EnoughError(Exception):
    """Raised in a hook once the last wanted layer has spoken: the rest of the backbone need not run."""
