"""The error of pictures decoded from the highest layer, compared with principal components."""

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
    """Squared error of the input of layer 1, summed over the pixels, mean over the test pictures.

    `pca_squared_error` is the error with principal components of the training pictures, as many as the highest layer
    has units.
    """
    check(stack)
    x, test_x = prepared(stack, train), prepared(stack, test)
    code = stack.layers[-1].unit.n
    pca = PCA(min(code, *x.shape), svd_solver="covariance_eigh").fit(x.double().cpu().numpy())
    rows = test_x.double().cpu().numpy()
    residual = torch.from_numpy(pca.inverse_transform(pca.transform(rows)) - rows)
    return {
        "pictures": len(test_x),
        "code": code,
        "squared_error": squared_error(stack, test_x),
        "train_squared_error": squared_error(stack, x),
        "pca_squared_error": float(residual.square().sum(1).mean()),
    }


@torch.no_grad()
def squared_error(stack: Stack, x: Tensor) -> float:
    """Squared error of vectors `(N, n)`, summed over the pixels, mean over the pictures."""
    return float(
        torch.cat([(decoded(stack, encoded(stack, part)) - part).square().sum(1) for part in x.split(CHUNK)]).mean()
    )
