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
    Answers as Answers,
    TopLabel as TopLabel,
    above_chance as above_chance,
    answer as answer,
    chance as chance,
    letter_shares as letter_shares,
    probabilities as probabilities,
    tie_credit as tie_credit,
    tie_rate as tie_rate,
    top_label as top_label,
)
from polycal.calibration.binned import (
    cancellation as cancellation,
    ece as ece,
    ece_all as ece_all,
    ece_debiased as ece_debiased,
    ece_mass as ece_mass,
    l2_debiased as l2_debiased,
    mce as mce,
    overconfidence as overconfidence,
    rms_ce as rms_ce,
    rms_hendrycks as rms_hendrycks,
    rms_mass as rms_mass,
)
from polycal.calibration.bins import (
    N_BINS as N_BINS,
    Bins as Bins,
    mass_bins as mass_bins,
    reliability_bins as reliability_bins,
    width_bins as width_bins,
)
from polycal.calibration.catalogue import METRICS as METRICS, all_metrics as all_metrics
from polycal.calibration.metric import Metric as Metric
from polycal.calibration.proper import (
    Decomposition as Decomposition,
    brier as brier,
    brier_top as brier_top,
    corp as corp,
    isotonic as isotonic,
    nll as nll,
)
from polycal.calibration.ranking import (
    accuracy_at_coverage as accuracy_at_coverage,
    augrc as augrc,
    aurc as aurc,
    auroc as auroc,
    risk_coverage as risk_coverage,
)
from polycal.calibration.smooth import ks as ks, smooth_ece as smooth_ece
