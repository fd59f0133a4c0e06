#!/usr/bin/env python3
"""gm-compare beside scikit-learn and SciPy: compare_sklearn.py CASE REAL.csv FAKE.csv LABEL K
LABEL is the column of the class, or - for none: then a column of words is one of names.

Reads the same CSV files, scales and encodes them by itself, makes each figure with a library's own function, and prints it
beside gm-compare's (of --json). A difference counts as it is where a figure is below 1, else as a share of it. Exits 1 if
one is above 1e-4, or if a figure of gm-compare has no reference here.
"""
import csv
import json
import math
import subprocess
import sys

import numpy as np
from scipy.linalg import sqrtm
from scipy.optimize import brentq
from scipy.spatial.distance import cdist, chebyshev, cityblock
from scipy.stats import binomtest, ks_2samp, norm, pearsonr, wasserstein_distance
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.preprocessing import OneHotEncoder, StandardScaler

case, real_path, fake_path, label, k = sys.argv[1:5] + [int(sys.argv[5])]
command = ["gm-compare", "--json", "-k", str(k)] + (["--label", label] if label != "-" else [])
ours = json.loads(subprocess.run(command + [real_path, fake_path], check=True, stdout=subprocess.PIPE).stdout)
worst, unseen = 0.0, set(ours) - {"columns"}


def show(name, theirs):
    global worst
    at = ours
    for key in name.split(" "):
        at = at[key]
    difference = abs(at - theirs) / max(1.0, abs(theirs))
    worst = max(worst, difference) if math.isfinite(difference) else math.inf
    unseen.discard(name)
    if " " not in name:
        print("%-8s %-32s %15.8g %15.8g   %.1e" % (case, name, at, theirs, difference))
    return difference


def table(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


real, fake = table(real_path), table(fake_path)
columns = [c for c in real[0] if c != label]


def is_number(column):
    try:
        return [float(r[column]) for r in real] != []
    except ValueError:
        return False


numeric = [c for c in columns if is_number(c)]
raw = {c: [np.array([float(r[c]) for r in rows]) for rows in (real, fake)] for c in numeric}
parts = []
for c in columns:
    if c in numeric:
        scaler = StandardScaler().fit(raw[c][0][:, None])
        parts.append([scaler.transform(v[:, None]) for v in raw[c]])
    else:
        names = [np.array([[r[c]] for r in rows]) for rows in (real, fake)]
        encoder = OneHotEncoder(handle_unknown="ignore").fit(names[0])
        parts.append([encoder.transform(v).toarray() for v in names])
x, y = (np.hstack([p[i] for p in parts]) for i in (0, 1))
m, n, d = len(x), len(y), x.shape[1]
show("real_rows", m)
show("fake_rows", n)
show("features", d)

C, D = np.cov(x.T), np.cov(y.T)
root = sqrtm(sqrtm(C) @ D @ sqrtm(C)) if np.linalg.matrix_rank(C) == d else None
if root is None:  # constant columns: theirs are zeros, and sqrtm wants a matrix that is regular
    keep = np.diag(C) + np.diag(D) > 1e-12
    c, e = C[np.ix_(keep, keep)] + 1e-9 * np.eye(keep.sum()), D[np.ix_(keep, keep)] + 1e-9 * np.eye(keep.sum())
    root = sqrtm(c @ e)
show("frechet_distance", ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(C) + np.trace(D) - 2 * np.trace(root).real)


def mmd(a, b):
    def within(s):
        kernel = polynomial_kernel(s, degree=3, gamma=1 / d, coef0=1)
        return (kernel.sum() - np.trace(kernel)) / (len(s) * (len(s) - 1))

    return within(a) + within(b) - 2 * polynomial_kernel(a, b, degree=3, gamma=1 / d, coef0=1).mean()


show("kernel_distance", mmd(x, y))
if m + n <= 400:  # each estimate anew
    left = [np.array([mmd(np.delete(x, i, 0), y) for i in range(m)]), np.array([mmd(x, np.delete(y, i, 0)) for i in range(n)])]
    show("kernel_deviation", math.sqrt(sum(t.var() * (len(t) - 1) for t in left)))
else:
    unseen.discard("kernel_deviation")


def others(a, neighbours):  # distances to the nearest other rows: without a query a row is not its own neighbour
    return NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(a).kneighbors()[0]


def nearest(a, b):  # of a's rows among b
    return NearestNeighbors(n_neighbors=1, algorithm="kd_tree").fit(b).kneighbors(a)[0][:, 0]


# Naeem et al. 2020, as their package prdc computes it, with balls that hold their edge
radius_real, radius_fake, cross = others(x, k)[:, -1], others(y, k)[:, -1], cdist(x, y)
inside = cross <= radius_real[:, None] + 1e-9
show("precision", inside.any(0).mean())
show("recall", (cross <= radius_fake[None, :] + 1e-9).any(1).mean())
show("density", inside.sum(0).mean() / k)
show("coverage", (cross.min(1) <= radius_real + 1e-9).mean())

to_real, own = nearest(y, x), NearestNeighbors(n_neighbors=1, algorithm="kd_tree").fit(x).kneighbors()[0][:, 0]
show("nearest_median", np.median(to_real))
show("nearest_least", to_real.min())
show("real_nearest_median", np.median(own))
show("real_nearest_least", own.min())
rows = [tuple(float(r[c]) if c in numeric else r[c] for c in columns) for r in real]
show("copied_rows", sum(tuple(float(r[c]) if c in numeric else r[c] for c in columns) in set(rows) for r in fake))
show("real_duplicate_rows", sum(rows.count(r) > 1 for r in rows))
if m == n:
    own_fake, to_fake = others(y, 1)[:, 0], nearest(x, y)
    sides = np.concatenate([to_fake - own, to_real - own_fake])
    if (np.abs(sides) > 1e-9).all():
        nearest_one = KNeighborsClassifier(1, algorithm="brute")
        accuracy = cross_val_score(nearest_one, np.vstack([x, y]), [1] * m + [0] * n, cv=LeaveOneOut()).mean()
    else:  # ties are half
        accuracy = (1 + np.sign(np.where(np.abs(sides) > 1e-9, sides, 0))).mean() / 2
    show("nearest_accuracy", accuracy)
else:
    unseen.discard("nearest_accuracy")

# The network is gm-compare's own, its interval is not: the shares at which the score test just does not reject, for 1 / 2.25
# as many rows (Nadeau, Bengio 2003: 1 + K / (K - 1) with 5 folds); SciPy's, for as many, shows that this is Wilson's.
def interval(share, count):
    def score(p):
        return share - p, norm.ppf(0.975) * math.sqrt(p * (1 - p) / count)

    low = brentq(lambda p: score(p)[0] - score(p)[1], 0, share) if share > 0 else 0
    high = brentq(lambda p: score(p)[0] + score(p)[1], share, 1) if share < 1 else 1
    return low, high


judged = 2 * min(m, n)
hits = round(ours["two_sample_accuracy"] * judged)
wilson = binomtest(hits, judged).proportion_ci(0.95, "wilson")
assert np.allclose(interval(hits / judged, judged), wilson, rtol=0, atol=1e-9)
show("two_sample_accuracy", hits / judged)
low, high = interval(hits / judged, judged / 2.25)
show("two_sample_low", low)
show("two_sample_high", high)


def correlation(a, b):
    return pearsonr(a, b)[0] if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


pairs = [(a, b) for i, a in enumerate(numeric) for b in numeric[:i]]
show("largest_correlation_difference",
     max(abs(correlation(raw[a][0], raw[b][0]) - correlation(raw[a][1], raw[b][1])) for a, b in pairs))


def shares(column):
    names = sorted({r[column] for r in real} | {r[column] for r in fake})
    return [np.array([sum(r[column] == name for r in rows) for name in names]) / len(rows) for rows in (real, fake)]


most, ks, tv, frequency = 0.0, [], [], []
for c in columns:
    if c in numeric:
        a, b = raw[c]
        scale = a.std() or 1
        ks.append(ks_2samp(a, b).statistic)
        most = max(most, show("columns %s ks" % c, ks[-1]), show("columns %s shift" % c, (b.mean() - a.mean()) / scale),
                   show("columns %s wasserstein" % c, wasserstein_distance(a, b) / scale))
    else:
        tv.append(cityblock(*shares(c)) / 2)
        frequency.append(chebyshev(*shares(c)))
        most = max(most, show("columns %s tv" % c, tv[-1]), show("columns %s frequency" % c, frequency[-1]))
print("%-8s %-32s %15s %15s   %.1e" % (case, "%d columns" % len(columns), "", "", most))
show("largest_ks", max(ks))
if tv:
    show("largest_tv", max(tv))
if label != "-":
    show("label_tv", cityblock(*shares(label)) / 2)
    frequency.append(chebyshev(*shares(label)))
show("largest_frequency_difference", max(frequency))

for name in sorted(unseen):
    print("%s: %s has no reference" % (case, name), file=sys.stderr)
print("%-41s %15s %15s   %.1e   at most 1e-4" % ("compare_%s_largest_difference" % case, "", "", worst))
sys.exit(worst > 1e-4 or bool(unseen))
