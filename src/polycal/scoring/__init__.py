"""From questions and a checkpoint to the log-likelihood of every option."""
