#!/usr/bin/env python3
"""gm-compare's measures by NumPy alone: compare_reference.py REAL.csv FAKE.csv K [standard]
Files of numbers without a header; `standard`: scaled by the means and deviations of REAL, a constant column by 1.

Frechet distance |m-w|^2 + tr(C + D - 2 (C D)^1/2), the root by the eigenvalues of C D; kernel distance, unbiased, with
k(x,y) = (x.y/d + 1)^3 and the jackknife's deviation; precision, recall, density, coverage with balls to the K-th nearest;
distances to the nearest row; accuracy of the nearest neighbour (equal numbers of rows only); the largest difference of
correlations; Kolmogorov-Smirnov and Wasserstein-1 of the first column.
"""
import sys
import numpy as np

x, y = (np.loadtxt(name, delimiter=",", ndmin=2) for name in sys.argv[1:3])
k, d = int(sys.argv[3]), x.shape[1]
if sys.argv[4:] == ["standard"]:
    mean, deviation = x.mean(0), np.where(np.ptp(x, 0) > 0, x.std(0), 1)
    x, y = (((a - mean) / deviation).astype(np.float32).astype(float) for a in (x, y))


def show(name, value):
    print(name, repr(float(value)))


C, D = np.cov(x.T), np.cov(y.T)
roots = np.sqrt(np.maximum(np.linalg.eigvals(C @ D).real, 0)).sum()
show("frechet_distance", ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(C) + np.trace(D) - 2 * roots)


def mmd(xx, yy, xy):
    m, n = len(xx), len(yy)
    return (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1)) - 2 * xy.mean()


xx, yy, xy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
show("kernel_distance", mmd(xx, yy, xy))
parts = []
for i in range(len(x)):
    rest = np.arange(len(x)) != i
    parts.append(mmd(xx[np.ix_(rest, rest)], yy, xy[rest]))
variance = np.var(parts) * (len(x) - 1)
parts = []
for i in range(len(y)):
    rest = np.arange(len(y)) != i
    parts.append(mmd(xx, yy[np.ix_(rest, rest)], xy[:, rest]))
show("kernel_deviation", np.sqrt(variance + np.var(parts) * (len(y) - 1)))


def distances(a, b):
    return np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(2))


real, fake, cross = distances(x, x), distances(y, y), distances(x, y)
np.fill_diagonal(real, np.inf)
np.fill_diagonal(fake, np.inf)
of_real, of_fake = np.sort(real, 1)[:, k - 1], np.sort(fake, 1)[:, k - 1]
held = cross <= of_real[:, None]
show("precision", held.any(0).mean())
show("recall", (cross <= of_fake[None, :]).any(1).mean())
show("density", held.sum(0).mean() / k)
show("coverage", (cross.min(1) <= of_real).mean())
show("nearest_median", np.median(cross.min(0)))
show("nearest_least", cross.min())
show("real_nearest_median", np.median(real.min(1)))
show("real_nearest_least", real.min())
if len(x) == len(y):
    hits = [np.sign(cross.min(1) - real.min(1)), np.sign(cross.min(0) - fake.min(1))]
    show("nearest_accuracy", (1 + np.concatenate(hits)).mean() / 2)


def correlations(a):
    with np.errstate(all="ignore"):
        c = np.nan_to_num(np.corrcoef(a.T))
    constant = np.ptp(a, 0) == 0  # these correlate with nothing
    c[constant, :] = c[:, constant] = 0
    np.fill_diagonal(c, 0)
    return c


difference = np.abs(correlations(x) - correlations(y))
show("largest_correlation_difference", difference.max())
a, b = np.sort(x[:, 0]), np.sort(y[:, 0])
grid = np.sort(np.concatenate([a, b]))
gap = np.abs(np.searchsorted(a, grid, "right") / len(a) - np.searchsorted(b, grid, "right") / len(b))
show("ks", gap.max())
show("wasserstein", (gap[:-1] * np.diff(grid)).sum() / (a.std() or 1))
