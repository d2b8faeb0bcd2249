"""From a picture at the scale of a Cellpose network to masks, by Cellpose's own functions."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from imganalysis.methods import CellposeMethod
    from imganalysis.segment._cellpose_network import CellposeNetwork

_LEAST = (2, 16, 16)  # (Z, Y, X) px: smaller images get a dark rim
_STEPS = 200  # along the flows, at the network's scale
_LARGEST = 0.4  # of the image: what is larger is no nucleus


def find_masks(
    stack: NDArray[np.float32],
    network: CellposeNetwork,
    settings: CellposeMethod,
    *,
    volume: bool,
) -> NDArray[np.integer[Any]]:
    """Run the network and make masks of its flows, at the network's scale.

    Parameters
    ----------
    stack
        (Z, Y, X), normalised.
    network
        As `imganalysis.segment._cellpose_network.load_network` gives it.
    settings
        Of the method: thresholds, batches and overlap of tiles.
    volume
        Whether nuclei are three-dimensional; if not, there is one plane.

    Returns
    -------
    masks : (Z, Y, X)
        Whole numbers, 0 = background; small objects are still there.

    Raises
    ------
    ModelError
        What the network says is not all finite.
    """
    import torch
    from cellpose import core, dynamics, utils

    least = _LEAST if volume else (1, *_LEAST[1:])
    rim = [(0, max(0, a - b)) for a, b in zip(least, stack.shape, strict=True)]
    padded = np.pad(stack, rim)
    pixels = np.zeros((*padded.shape, network.channels), np.float32)
    pixels[..., 0] = padded
    run = core.run_3D if volume else core.run_net
    # Cellpose follows flows in three dimensions with functions that Apple's GPU lacks.
    device = torch.device("cpu") if volume and network.device.type == "mps" else network.device
    # Cellpose counts where pixels end in a sparse tensor; torch wants to be told not to check it.
    with (
        _one_thread(),
        np.errstate(invalid="ignore", over="ignore"),  # of an answer that is refused below
        torch.sparse.check_sparse_tensor_invariants(  # type: ignore[no-untyped-call]
            enable=False
        ),
    ):
        out, _ = run(
            network.module,
            pixels,
            batch_size=settings.batch_size,
            augment=False,
            tile_overlap=settings.tile_overlap,
            bsize=network.tile_px,
        )
        if not np.isfinite(out).all():
            raise ModelError(
                f"{network.path}: what the network says is not all finite, so that its weights "
                "are damaged; copy the file again"
            )
        flows, logit = np.moveaxis(out[..., :-1], -1, 0), out[..., -1]
        if not volume:
            flows, logit = flows[:, 0], logit[0]
        masks = dynamics.compute_masks(
            np.ascontiguousarray(flows),
            np.ascontiguousarray(logit),
            niter=_STEPS,
            cellprob_threshold=settings.cellprob_threshold,
            flow_threshold=settings.flow_threshold,
            do_3D=volume,
            min_size=-1,  # Cellpose 3 takes the wrong ones where masks with bad flows went before
            max_size_fraction=_LARGEST,
            device=device,
        )
        masks = utils.fill_holes_and_remove_small_masks(masks, min_size=-1)
    masks = masks.reshape(padded.shape)
    return np.asarray(masks[tuple(slice(size) for size in stack.shape)])


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
