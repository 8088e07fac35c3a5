"""How much of a picture comes back from the highest layer, against principal components."""

from typing import Any

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from convdbn.images import Images
from convdbn.learning.layer_inputs import prepared
from convdbn.learning.refine import check, decoded, encoded
from convdbn.models.stack import Stack

CHUNK = 1000


@torch.no_grad()
def reconstruction(stack: Stack, train: Images, test: Images) -> dict[str, Any]:
    """Squared error of a picture as layer 1 sees it, summed over its pixels, mean over the test pictures.

    `pca_squared_error` is that of as many principal components of the training pictures as the highest layer has
    units.
    """
    check(stack)
    x, unseen = prepared(stack, train), prepared(stack, test)
    code = stack.layers[-1].unit.n
    pca = PCA(min(code, *x.shape), svd_solver="covariance_eigh").fit(x.double().cpu().numpy())
    rows = unseen.double().cpu().numpy()
    linear = torch.from_numpy(pca.inverse_transform(pca.transform(rows)) - rows)
    return {
        "pictures": len(unseen),
        "code": code,
        "squared_error": squared_error(stack, unseen),
        "train_squared_error": squared_error(stack, x),
        "pca_squared_error": float(linear.square().sum(1).mean()),
    }


@torch.no_grad()
def squared_error(stack: Stack, x: Tensor) -> float:
    """Of vectors `(N, n)`, summed over the pixels, mean over the pictures."""
    return float(
        torch.cat([(decoded(stack, encoded(stack, part)) - part).square().sum(1) for part in x.split(CHUNK)]).mean()
    )
