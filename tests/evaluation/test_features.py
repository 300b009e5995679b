from __future__ import annotations

import numpy as np

from hififace.evaluation.features import SFaceFeatures, create_feature_network, feature_network_name


class Embedder:
    def embed(self, image, points):
        return np.full(128, image.mean(), np.float32)


def test_without_the_fetched_network_sface_stands_in_by_its_own_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HIFIFACE_HOME", str(tmp_path))
    assert feature_network_name() == "sface"
    network = create_feature_network(Embedder())
    assert isinstance(network, SFaceFeatures)
    image = np.full((10, 10, 3), 7, np.uint8)
    np.testing.assert_array_equal(network.describe(image, np.zeros((5, 2))), np.full(128, 7.0))
