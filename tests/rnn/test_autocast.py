"""Recurrent networks under autocast on a GPU: torch runs their kernel in float16, whatever autocast's own dtype."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from vqa_rnn.rnn import CELLS, RecurrentNetwork
from vqa_rnn.rnn.network import _run_fused

FUSED = [name for name in CELLS if RecurrentNetwork(name, 2, 2).cells()[0].fused is not None]


@pytest.fixture
def autocast() -> Iterator[None]:
    """As within ``torch.autocast("cuda", …)``, which looks for a GPU first; tests set the dtype."""
    torch.set_autocast_enabled("cuda", True)
    yield
    torch.set_autocast_enabled("cuda", False)
    torch.set_autocast_dtype("cuda", torch.float16)


class Kernel:
    """Stands for torch's kernel and notes how it is called."""

    def __init__(self, weight: Tensor) -> None:
        self.weight_hh_l0 = weight
        self.dtypes: set[torch.dtype] = set()
        self.under_autocast = False

    def __call__(self, data: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        self.dtypes = {data.dtype, *(part.dtype for part in state)}
        self.under_autocast = torch.is_autocast_enabled("cuda")
        return data.new_zeros(*data.shape[:2], state[0].shape[2]), state


@pytest.mark.parametrize(
    ("autocast_dtype", "kernel_dtypes", "under_autocast"),
    [(torch.bfloat16, {torch.float32}, False), (torch.float16, {torch.bfloat16, torch.float32}, True)],
)
def test_the_kernel_is_kept_out_of_bfloat16_autocast(
    autocast: None, autocast_dtype: torch.dtype, kernel_dtypes: set[torch.dtype], under_autocast: bool
):
    torch.set_autocast_dtype("cuda", autocast_dtype)
    with FakeTensorMode():  # tensors on a GPU that need not be there
        state = (torch.empty(2, 5, device="cuda"),) * 2
        words = torch.empty(
            6, 4, device="cuda", dtype=torch.bfloat16
        )  # 3 steps of 2 sequences, as a layer under autocast gives
        kernel = Kernel(torch.empty(20, 5, device="cuda"))
        output, _ = _run_fused(kernel, words, [2, 2, 2], state)  # type: ignore[arg-type]
        assert torch.is_autocast_enabled("cuda")
    assert kernel.dtypes == kernel_dtypes
    assert kernel.under_autocast == under_autocast
    assert output.shape == (6, 5)


@pytest.mark.gpu
@pytest.mark.parametrize("cell", FUSED)
@pytest.mark.parametrize("lengths", [None, (5, 3, 1)])
def test_small_gradients_survive_bfloat16_on_a_gpu(cell: str, lengths: tuple[int, ...] | None):
    torch.manual_seed(0)
    network = RecurrentNetwork(cell, 8, 16).cuda()
    words = torch.randn(3, 5, 8, device="cuda", requires_grad=True)
    told = None if lengths is None else torch.tensor(lengths)

    def gradient(enabled: bool) -> Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=enabled):
            states, _ = network(words, told)
        (found,) = torch.autograd.grad(1e-8 * states.float().sum(), words)  # below what float16 can hold
        return found

    torch.testing.assert_close(gradient(True), gradient(False), rtol=1e-2, atol=1e-12)
