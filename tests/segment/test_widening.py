"""A wider network begins where the narrower one ended."""

from __future__ import annotations

import pytest
import torch

from imganalysis.segment.network import Architecture, Network
from imganalysis.segment.widening import may_widen, widened


def trained(width: tuple[int, ...], channels: int = 2) -> Network:
    """A network with weights, means and variances unlike any other's."""
    random = torch.Generator().manual_seed(1)
    network = Network(Architecture(channels=channels, width=width))
    state = {
        name: value
        if value.ndim == 0
        else torch.rand(value.shape, generator=random) * 0.5 + (0.5 if "var" in name else -0.2)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network.eval()


def answers(network: Network) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    with torch.inference_mode():
        return network.eval()(torch.rand((2, 2, 32, 48), generator=random))


@pytest.mark.parametrize("width", [(4, 8, 12), (6, 8, 12), (4, 11, 12), (8, 16, 24)])
def test_the_answer_stays(width: tuple[int, ...]) -> None:
    narrow = trained((4, 8, 12))
    wide = widened(narrow, Architecture(width=width), seed=3)
    assert wide.architecture.width == width
    before = answers(narrow)
    torch.testing.assert_close(
        answers(wide), before, rtol=1e-4, atol=1e-4 * float(before.abs().max())
    )


def test_where_some_of_the_coarsest_maps_are_doubled_it_nearly_stays() -> None:
    narrow = trained((4, 8, 12))
    before = answers(narrow)
    after = answers(widened(narrow, Architecture(width=(4, 8, 18)), seed=3))
    assert 0 < float((after - before).abs().max()) < 0.05 * float(before.abs().max())


def test_doubled_maps_go_on_apart() -> None:
    wide = widened(trained((4, 8)), Architecture(width=(8, 8)), seed=3)
    kernels = wide.state_dict()["output.2.weight"]
    assert not torch.allclose(kernels[:, :4], kernels[:, 4:], rtol=1e-3)


@pytest.mark.parametrize(
    "asked",
    [
        Architecture(width=(4, 7)),
        Architecture(width=(9, 8)),
        Architecture(width=(4, 8, 16)),
        Architecture(width=(4, 8), channels=1),
    ],
)
def test_a_network_that_cannot_be_had_so_is_refused(asked: Architecture) -> None:
    assert not may_widen(Architecture(width=(4, 8)), asked)
    with pytest.raises(ValueError, match="cannot be widened"):
        widened(trained((4, 8)), asked, seed=1)
