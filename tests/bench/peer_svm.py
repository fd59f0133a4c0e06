"""scikit-learn's liblinear and libsvm: `peer_svm.py liblinear|libsvm L2 IMAGES LABELS TEST_IMAGES TEST_LABELS`.

A turn is the seconds of a training; `accuracy` that on the test pictures.
"""
import sys

import peer

peer.need("sklearn")
from sklearn.svm import SVC, LinearSVC  # noqa: E402

kind, l2 = sys.argv[1], float(sys.argv[2])
x, y = peer.pictures(*sys.argv[3:5])
test_x, test_y = peer.pictures(*sys.argv[5:7])
if kind == "liblinear":
    machine = LinearSVC(C=1 / (2 * len(x) * l2), loss="squared_hinge", dual="auto")
else:
    machine = SVC(C=10, gamma="scale", cache_size=2000)
peer.serve(peer.seconds(lambda: machine.fit(x, y)), accuracy=lambda: machine.score(test_x, test_y))
