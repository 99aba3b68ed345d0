"""Calibration metrics of multiple-choice answers: NumPy arrays in, numbers out.

The names are those of the literature; each docstring gives the formula and its source.
In every function, `confidence` [N] is from 0 to 1 and `correct` [N] 0 or 1, one of each
per question; `probs` [N, K] are probabilities of options, `scores` [N, K] are nats and
-inf where a question has fewer than K options, and `gold` [N] is the index of the right
option. `n_bins` is the number of bins, and `ties` are the `blocks` of confidences,
where they are known. Vectors of other lengths or values raise a ValueError; a number
about no questions is NaN.

All arithmetic is float64. Bins of equal width have the edges i/M; a bin holds its lower
edge and not its upper one, and the last bin holds 1 (as netcal does; torchmetrics puts
exactly 1.0 into a hidden bin of its own). Questions of equal confidence are never told
apart: no metric depends on the order of the rows. The one exception is
`rms_hendrycks`, which is what its authors published.

>>> from polycal.calibration import ece
>>> round(ece([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1], n_bins=10), 6)
0.4
"""

from polycal.calibration.answers import (
    Answers,
    TopLabel,
    above_chance,
    answer,
    chance,
    letter_shares,
    probabilities,
    tie_credit,
    tie_rate,
    top_label,
)
from polycal.calibration.binned import (
    cancellation,
    ece,
    ece_all,
    ece_debiased,
    ece_mass,
    l2_debiased,
    mce,
    overconfidence,
    rms_ce,
    rms_hendrycks,
    rms_mass,
)
from polycal.calibration.bins import (
    N_BINS,
    Bins,
    mass_bins,
    reliability_bins,
    width_bins,
)
from polycal.calibration.catalogue import METRICS, all_metrics
from polycal.calibration.metric import Metric
from polycal.calibration.proper import (
    Decomposition,
    brier,
    brier_top,
    corp,
    isotonic,
    nll,
)
from polycal.calibration.ranking import (
    accuracy_at_coverage,
    augrc,
    aurc,
    auroc,
    risk_coverage,
)
from polycal.calibration.smooth import ks, smooth_ece

__all__ = [
    "METRICS",
    "N_BINS",
    "Answers",
    "Bins",
    "Decomposition",
    "Metric",
    "TopLabel",
    "above_chance",
    "accuracy_at_coverage",
    "all_metrics",
    "answer",
    "augrc",
    "aurc",
    "auroc",
    "brier",
    "brier_top",
    "cancellation",
    "chance",
    "corp",
    "ece",
    "ece_all",
    "ece_debiased",
    "ece_mass",
    "isotonic",
    "ks",
    "l2_debiased",
    "letter_shares",
    "mass_bins",
    "mce",
    "nll",
    "overconfidence",
    "probabilities",
    "reliability_bins",
    "risk_coverage",
    "rms_ce",
    "rms_hendrycks",
    "rms_mass",
    "smooth_ece",
    "tie_credit",
    "tie_rate",
    "top_label",
    "width_bins",
]
