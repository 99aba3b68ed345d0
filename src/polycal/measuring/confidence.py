"""Normalisers: from summed log-likelihoods to the scores whose softmax is confidence.

Under option text the normaliser decides how confident a model looks. With `token`, a
language that the tokenizer cuts into many pieces looks less confident. `english`
divides by the tokens of the same option in English, so the tokenizer drops out.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def option_scores(
    rows: pa.Table, normaliser: str, english: pa.Table | None = None
) -> np.ndarray:
    """Return the scores [N, K] of the options in nats, -inf beyond a question's own.

    Args:
        rows: of a predictions table: `logprobs`, and what the normaliser needs.
        normaliser: `sum` leaves the summed log-likelihood L as it is; `token` gives
            L / tokens of the option, minus the log of its perplexity; `byte` L / UTF-8
            bytes; `english` L / tokens of the same option in English.
        english: `parallel` rows; for the normaliser `english`.

    Raises:
        ValueError: the normaliser is none of these, or lacks its English rows.
    """
    sizes = _sizes(rows)
    scores = np.full((len(sizes), sizes.max(initial=0)), -np.inf)
    is_option = np.arange(scores.shape[1]) < sizes[:, None]
    scores[is_option] = _flatten(rows, "logprobs") / _lengths(rows, normaliser, english)
    return scores


def parallel(rows: pa.Table, others: pa.Table) -> pa.Table | None:
    """Return the same questions in another language, row by row.

    Args:
        rows: of a predictions table, of one language and scoring.
        others: those of the other language and the same scoring.

    Returns:
        [N] rows of the others; None where they lack a question or have another number
        of options for it (which only `questions: own` lets through).
    """
    positions = pc.index_in(rows["question_id"], others["question_id"].combine_chunks())
    if positions.null_count:
        return None
    same = others.take(positions)
    return same if np.array_equal(_sizes(rows), _sizes(same)) else None


def token_premium(rows: pa.Table, english: pa.Table) -> float:
    """Return the tokens of the options over those of the same options in English.

    Petrov et al. 2023 (arXiv 2305.15425): above 1, the tokenizer cuts the language
    into more pieces.

    Returns:
        A ratio of sums; 1 for English itself, NaN for no rows.
    """
    own, reference = _flatten(rows, "n_tokens"), _flatten(english, "n_tokens")
    return float(own.sum() / reference.sum()) if len(reference) else float("nan")


def _lengths(
    rows: pa.Table, normaliser: str, english: pa.Table | None
) -> np.ndarray | float:
    """Return the divisor of each option's score, flat."""
    if normaliser == "sum":
        return 1.0
    if normaliser == "english":
        if english is None:
            raise ValueError("the normaliser 'english' needs the rows of English")
        return _flatten(english, "n_tokens")
    counts = {"token": "n_tokens", "byte": "n_bytes"}
    if normaliser not in counts:
        raise ValueError(f"there is no normaliser {normaliser!r}")
    return _flatten(rows, counts[normaliser])


def _sizes(rows: pa.Table) -> np.ndarray:
    """Return the number of options of each row."""
    return rows["logprobs"].combine_chunks().value_lengths().to_numpy()


def _flatten(rows: pa.Table, name: str) -> np.ndarray:
    return rows[name].combine_chunks().flatten().to_numpy().astype(np.float64)
