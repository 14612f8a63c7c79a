"""Folding of batch norms into convolutions. A network that is not trained then computes the same function in less time."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(model: nn.Module, sample: Tensor, keep: set[nn.Module]) -> int:
    """Fold every batch norm that directly follows a convolution.

    The pairs are found by running the network: a norm is folded if its input is the same tensor object that a convolution
    returned (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2).

    Args:
        model: The network, in evaluation mode; changed in place. If a norm contains an activation, as in timm, the activation
            stays, under the same name.
        sample: (1, 3, H, W) images; the network is run on them once.
        keep: Modules whose outputs are used; a convolution among them is not changed.

    Returns:
        The number of folded norms.
    """
    convolutions: dict[int, nn.Conv2d] = {}
    pairs: dict[nn.BatchNorm2d, nn.Conv2d] = {}
    runs: dict[nn.Module, int] = {}
    alive: list[Tensor] = []  # keeps tensors alive, so that their ids are not reused

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        runs[module] = runs.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            convolutions[id(output)] = module
            alive.append(output)
        elif isinstance(module, nn.BatchNorm2d) and id(inputs[0]) in convolutions:
            pairs[module] = convolutions.pop(id(inputs[0]))

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    hooks = [module.register_forward_hook(note) for module in model.modules() if isinstance(module, kinds)]
    try:
        with torch.no_grad():
            model(sample)
    finally:
        for hook in hooks:
            hook.remove()
    names = {module: name for name, module in model.named_modules()}
    folded = 0
    for norm, convolution in pairs.items():
        if convolution in keep or runs[norm] > 1 or runs[convolution] > 1 or norm.training:
            continue
        fused = fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        parent, _, name = names[norm].rpartition(".")
        setattr(model.get_submodule(parent), name, _what_is_left(norm))
        folded += 1
    return folded


def _what_is_left(norm: nn.Module) -> nn.Module:
    """Return the other parts of a norm: timm's ``BatchNormAct2d`` also has dropout and an activation."""
    names = [name for name in ("drop", "act") if isinstance(getattr(norm, name, None), nn.Module)]
    return nn.Sequential(OrderedDict((name, getattr(norm, name)) for name in names))
