import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

images = np.load("mnist.npy").reshape(-1, 784) / 255
pca = PCA(32).fit(images)
mixture = GaussianMixture(10).fit(pca.transform(images))
rebuilt = pca.inverse_transform(pca.transform(images))
samples = pca.inverse_transform(mixture.sample(10_000)[0]).clip(0, 1)
